/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore restore`. */
#include "command.h"
#include "files.h"
#include "guest_digest.h"
#include "report.h"
#include "restore_options.h"
#include "signals.h"

#include "progress/show.h"
#include "run-files/run_files.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <xentoollog.h>

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
	return xr_printed(&xr_command_restore, "the summary", rc < 0) ? XR_EXIT_FILES : XR_EXIT_OK;
}

static void cannot_write(const char *path, int rc, void *opaque)
{
	(void)opaque;
	fprintf(stderr, "xenrestore restore: cannot write %s: %s\n", path, strerror(-rc));
}

static int restore(struct restore_options *o, struct xr_show *show, struct run_files *files)
{
	struct xr_restore *r = NULL;
	struct xr_result res;
	struct xr_error err = { 0 };
	struct run_outcome told = { .set = &o->set, .source = source_name(o) };
	int rc, shown = XR_EXIT_OK;

	o->set.callbacks.progress = show_progress;
	o->set.callbacks.checkpoint = take_checkpoint;
	o->set.opaque = show;
	rc = xr_open(&r, &o->set, &err);
	if (!rc) {
		xr_signals_cancel(r);
		xr_show_start(show);
		rc = xr_run(r, &res, &err);
		told.res = &res;
	}
	/* To the very end: who is told that the program was killed would end a guest that is
	 * complete. A second signal still does it. */
	xr_signals_cancel(NULL);
	told.restore = r;
	told.err = rc ? &err : NULL;
	told.exit_code = rc ? xr_exit_of(&err) : XR_EXIT_OK;
	xr_show_end(show, told.exit_code, &res, told.err);
	if (rc)
		xr_report_error(stderr, &err);
	else
		shown = report(o, &res);
	if (run_files_write(files, &told, cannot_write, NULL) && !shown)
		shown = XR_EXIT_FILES;
	xr_close(&r);
	return rc ? told.exit_code : shown;
}

static int open_watchers(struct xr_show *show, struct run_files *files,
			 const struct restore_options *o)
{
	const int rc = xr_show_open(show, o->progress, o->progress_fd, o->quiet);

	if (rc)
		return xr_usage(&xr_command_restore, "cannot show progress on descriptor %d: %s",
				o->progress_fd, strerror(-rc));
	files->path[RUN_METRICS] = o->metrics;
	files->path[RUN_RECEIPT] = o->receipt;
	files->path[RUN_REPORT] = o->report;
	files->path[RUN_TRACE] = o->trace;
	return run_files_open(files, cannot_write, NULL) ? XR_EXIT_USAGE : 0;
}

/* Of a restore that never began. */
static void tell_nothing_began(struct run_files *files, const struct restore_options *o, int code)
{
	const struct run_outcome told = { .set = &o->set, .exit_code = code };

	run_files_write(files, &told, cannot_write, NULL);
}

int xr_cmd_restore(int argc, char **argv)
{
	struct restore_options o;
	struct xr_show show = { .fd = -1, .notify.fd = -1 };
	struct run_files files;
	xentoollog_logger_stdiostream *log = NULL;
	int rc;

	run_files_init(&files);
	rc = restore_options_parse(&o, argc, argv);
	if (rc)
		return rc - 1;
	if (o.verbose)
		log = xtl_createlogger_stdiostream(stderr, o.verbose > 1 ? XTL_DEBUG : XTL_DETAIL,
						   0);
	o.set.logger = (struct xentoollog_logger *)log;
	xr_signals_catch();
	signal(SIGPIPE, SIG_IGN); /* who reads what is told may die: the restore does not */
	rc = open_watchers(&show, &files, &o);
	if (!rc && o.path)
		rc = xr_source_open(&xr_command_restore, o.path, &o.set.fd);
	if (!rc)
		rc = make_model(&o);
	if (rc)
		tell_nothing_began(&files, &o, rc);
	else
		rc = restore(&o, &show, &files);
	xr_show_close(&show);
	run_files_close(&files);
	if (o.set.model)
		xr_model_destroy(&o.set.model);
	if (o.path)
		xr_source_close(o.set.fd);
	if (log)
		xtl_logger_destroy((struct xentoollog_logger *)log);
	return rc;
}
