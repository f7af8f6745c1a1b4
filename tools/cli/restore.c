/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore restore`. */
#include "command.h"
#include "guest_digest.h"
#include "report.h"
#include "restore_options.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <xentoollog.h>

static void show_progress(const struct xr_progress *p, void *opaque)
{
	(void)opaque;
	fprintf(stderr, "\rpass %u  %.2f GiB", p->pass, (double)p->bytes_done / (1u << 30));
	if (p->bytes_total)
		fprintf(stderr, " of %.2f", (double)p->bytes_total / (1u << 30));
	fprintf(stderr, "  %.2f GiB/s ", (double)p->bytes_done / (1u << 30) / p->seconds);
}

static int open_source(struct restore_options *o)
{
	if (!o->path)
		return 0;
	if (!strcmp(o->path, "-")) {
		o->set.fd = STDIN_FILENO;
		return 0;
	}
	o->set.fd = open(o->path, O_RDONLY | O_CLOEXEC);
	if (o->set.fd >= 0)
		return 0;
	if (errno == EINTR && xr_signals_came()) { /* a FIFO without a writer waits for one */
		fputs("xenrestore: setup: cancelled\n", stderr);
		return XR_EXIT_CANCELLED;
	}
	fprintf(stderr, "xenrestore restore: cannot open %s: %s\n", o->path, strerror(errno));
	return XR_EXIT_USAGE;
}

static int make_model(struct restore_options *o)
{
	struct xr_model_settings ms;
	int rc;

	if (o->set.host != XR_HOST_MODEL)
		return 0;
	xr_model_settings_default(&ms);
	if (o->max_mib)
		ms.max_pages = o->max_mib << (20 - XR_PAGE_SHIFT);
	ms.without_memory = o->without_memory;
	ms.follow = true;
	rc = xr_model_create(&o->set.model, &ms);
	if (!rc)
		return 0;
	fprintf(stderr, "xenrestore restore: cannot make the model host: %s\n", strerror(-rc));
	return XR_EXIT_HOST;
}

static int exit_code(const struct xr_error *e)
{
	if (e->code == -ECANCELED)
		return XR_EXIT_CANCELLED;
	if (e->host_failed || e->code == -E2BIG) /* the domain is too small */
		return XR_EXIT_HOST;
	if (e->code == -EOPNOTSUPP)
		return XR_EXIT_STREAM;
	return e->stage == XR_STAGE_SETUP ? XR_EXIT_USAGE : XR_EXIT_STREAM;
}

static int report(const struct restore_options *o, const struct xr_result *res)
{
	char hex[65];
	struct xr_report rep = {
		.set = &o->set,
		.res = res,
		.source = o->path ? o->path : "an inherited descriptor",
	};
	int rc;

	if (o->set.model)
		rep.model_without_huge =
			!o->without_memory && !xr_model_has_huge_pages(o->set.model);
	if (res->verify_differences)
		fprintf(stderr,
			"xenrestore restore: %" PRIu64
			" pages differ from what the stream repeats\n",
			res->verify_differences);
	if (o->digest) {
		rc = xr_guest_digest(o->set.model, hex);
		if (rc) {
			fprintf(stderr, "xenrestore restore: cannot read the guest back: %s\n",
				strerror(-rc));
			return XR_EXIT_HOST;
		}
		rep.digest = hex;
	}
	if (o->quiet && !o->json && !o->digest)
		return XR_EXIT_OK;
	if (o->json)
		rc = xr_report_json(stdout, &rep);
	else if (o->quiet)
		rc = puts(rep.digest);
	else
		xr_report_text(stdout, &rep), rc = 0;
	if (fflush(stdout) || rc < 0) {
		fprintf(stderr, "xenrestore restore: cannot write the summary: %s\n",
			strerror(errno));
		return XR_EXIT_HOST;
	}
	return XR_EXIT_OK;
}

static int restore(struct restore_options *o)
{
	struct xr_restore *r = NULL;
	struct xr_result res;
	struct xr_error err;
	const bool progress = !o->quiet && isatty(STDERR_FILENO);
	int rc;

	if (progress)
		o->set.callbacks.progress = show_progress;
	rc = xr_open(&r, &o->set, &err);
	if (!rc) {
		xr_signals_cancel(r);
		rc = xr_run(r, &res, &err);
	}
	xr_signals_release();
	if (progress)
		fputs("\r\033[K", stderr);
	if (rc)
		xr_report_error(stderr, &err);
	rc = rc ? exit_code(&err) : report(o, &res);
	xr_close(&r);
	return rc;
}

int xr_cmd_restore(int argc, char **argv)
{
	struct restore_options o;
	xentoollog_logger_stdiostream *log = NULL;
	int rc;

	rc = restore_options_parse(&o, argc, argv);
	if (rc)
		return rc - 1;
	if (o.verbose)
		log = xtl_createlogger_stdiostream(stderr, o.verbose > 1 ? XTL_DEBUG : XTL_DETAIL,
						   0);
	o.set.logger = (struct xentoollog_logger *)log;
	xr_signals_catch();
	rc = open_source(&o);
	if (!rc)
		rc = make_model(&o);
	if (!rc)
		rc = restore(&o);
	if (o.set.model)
		xr_model_destroy(&o.set.model);
	if (o.path && o.set.fd > STDIN_FILENO)
		close(o.set.fd);
	if (log)
		xtl_logger_destroy((struct xentoollog_logger *)log);
	return rc;
}
