/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore restore`. */
#include "command.h"
#include "files.h"
#include "guest_digest.h"
#include "report.h"
#include "restore_options.h"
#include "signals.h"

#include "base/trace.h"
#include "progress/metrics.h"
#include "progress/show.h"
#include "receipt/receipt.h"
#include "report/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <xentoollog.h>

#define TRACE_EVENTS ((size_t)4 << 20) /* some 200 MiB, of what is used */

static void show_progress(const struct xr_progress *p, void *opaque)
{
	xr_show_progress(opaque, p);
}

/* Nothing but the libxc stream is on the fd. */
static int take_checkpoint(void *opaque)
{
	(void)opaque;
	return XR_ANSWER_GO_ON;
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

static const char *source_name(const struct restore_options *o)
{
	if (!o->path)
		return "an inherited descriptor";
	return strcmp(o->path, "-") ? o->path : "standard input";
}

static int report(const struct restore_options *o, const struct xr_result *res)
{
	char hex[65];
	struct xr_report rep = {
		.set = &o->set,
		.res = res,
		.source = source_name(o),
	};
	int rc;

	if (o->set.model)
		rep.model_without_huge =
			!o->without_memory && !xr_model_has_huge_pages(o->set.model);
	if (res->verify_differences)
		fprintf(stderr,
			"xenrestore restore: %" PRIu64
			" pages differ from what the stream repeats, the first of them is pfn "
			"%#" PRIx64 "\n",
			res->verify_differences, res->verify_lowest_pfn);
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
	return xr_printed(&xr_command_restore, "the summary", rc < 0);
}

/* What watches a restore. All files are opened before it begins. */
struct watchers {
	struct xr_show show;
	struct xr_outfile metrics, receipt, report;
	FILE *trace;
};

static int not_written(const char *path, int rc, int code)
{
	if (!rc)
		return code;
	fprintf(stderr, "xenrestore restore: cannot write %s: %s\n", path, strerror(-rc));
	return code == XR_EXIT_OK ? XR_EXIT_HOST : code;
}

static int write_metrics(struct watchers *w, const struct restore_options *o,
			 const struct xr_result *res, int code)
{
	return not_written(o->metrics, xr_metrics_write(&w->metrics, &o->set, res, code), code);
}

/* Of a restore that succeeded. */
static int write_receipt(struct watchers *w, const struct restore_options *o,
			 const struct xr_result *res, const struct xr_restore *r, int code)
{
	const struct receipt_context c = {
		.set = &o->set, .res = res, .source = source_name(o), .ended = (double)time(NULL)
	};

	if (!o->receipt)
		return code;
	receipt_write(w->receipt.f, &c, r);
	return not_written(o->receipt, xr_outfile_keep(&w->receipt), code);
}

/* Of one that failed, too: it tells how far it came. */
static int write_run_report(struct watchers *w, const struct restore_options *o,
			    const struct xr_result *res, const struct xr_error *err, int code)
{
	const struct run_report rep = { .set = &o->set,
					.res = res,
					.err = err,
					.source = source_name(o),
					.ended = (double)time(NULL) };
	int rc;

	if (!o->report)
		return code;
	rc = run_report_write(w->report.f, &rep);
	return not_written(o->report, rc ? rc : xr_outfile_keep(&w->report), code);
}

static int write_trace(struct watchers *w, const struct restore_options *o, int code)
{
	return not_written(o->trace, w->trace ? xr_trace_write(w->trace) : 0, code);
}

static int restore(struct restore_options *o, struct watchers *w)
{
	struct xr_restore *r = NULL;
	struct xr_result res;
	struct xr_error err = { 0 };
	bool ran;
	int rc;

	o->set.callbacks.progress = show_progress;
	o->set.callbacks.checkpoint = take_checkpoint;
	o->set.opaque = &w->show;
	rc = xr_open(&r, &o->set, &err);
	ran = !rc;
	if (ran) {
		xr_signals_cancel(r);
		xr_show_start(&w->show);
		rc = xr_run(r, &res, &err);
	}
	xr_signals_release();
	xr_show_end(&w->show, rc ? xr_report_exit(&err) : XR_EXIT_OK, &res, rc ? &err : NULL);
	if (rc)
		xr_report_error(stderr, &err);
	rc = rc ? xr_report_exit(&err) : write_receipt(w, o, &res, r, report(o, &res));
	rc = write_trace(w, o, rc);
	if (ran)
		rc = write_run_report(w, o, &res, err.code ? &err : NULL, rc);
	rc = write_metrics(w, o, ran ? &res : NULL, rc);
	xr_close(&r);
	return rc;
}

static int open_file(struct xr_outfile *f, const char *path)
{
	const int rc = xr_outfile_open(f, path);

	if (!rc)
		return 0;
	return xr_usage(&xr_command_restore, "cannot write %s: %s", path, strerror(-rc));
}

static int open_trace(struct watchers *w, const struct restore_options *o)
{
	int rc = 0;

	if (o->trace)
		w->trace = fopen(o->trace, "we");
	if (o->trace && !w->trace)
		rc = -errno;
	if (!rc && (o->trace || o->report))
		rc = xr_trace_begin(TRACE_EVENTS);
	if (!rc)
		return 0;
	return xr_usage(&xr_command_restore, "cannot trace for %s: %s",
			o->trace ? o->trace : o->report, strerror(-rc));
}

static int open_watchers(struct watchers *w, const struct restore_options *o)
{
	int rc = xr_show_open(&w->show, o->progress, o->progress_fd, o->quiet);

	if (rc)
		return xr_usage(&xr_command_restore, "cannot show progress on descriptor %d: %s",
				o->progress_fd, strerror(-rc));
	rc = open_file(&w->metrics, o->metrics);
	if (!rc)
		rc = open_file(&w->receipt, o->receipt);
	if (!rc)
		rc = open_file(&w->report, o->report);
	return rc ? rc : open_trace(w, o);
}

static void close_watchers(struct watchers *w)
{
	xr_show_close(&w->show);
	xr_outfile_close(&w->metrics);
	xr_outfile_close(&w->receipt);
	xr_outfile_close(&w->report);
	xr_trace_end();
	if (w->trace)
		fclose(w->trace);
}

int xr_cmd_restore(int argc, char **argv)
{
	struct restore_options o;
	struct watchers w = { .show.fd = -1,
			      .show.notify.fd = -1,
			      .metrics = XR_OUTFILE_NONE,
			      .receipt = XR_OUTFILE_NONE,
			      .report = XR_OUTFILE_NONE };
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
	rc = open_watchers(&w, &o);
	if (!rc && o.path)
		rc = xr_source_open(&xr_command_restore, o.path, &o.set.fd);
	if (!rc)
		rc = make_model(&o);
	rc = rc ? write_metrics(&w, &o, NULL, rc) : restore(&o, &w);
	close_watchers(&w);
	if (o.set.model)
		xr_model_destroy(&o.set.model);
	if (o.path)
		xr_source_close(o.set.fd);
	if (log)
		xtl_logger_destroy((struct xentoollog_logger *)log);
	return rc;
}
