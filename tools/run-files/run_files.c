/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run-files/run_files.h"

#include "base/trace.h"
#include "progress/metrics.h"
#include "receipt/receipt.h"
#include "report/report.h"

#include <errno.h>
#include <time.h>

#define TRACE_EVENTS ((size_t)4 << 20) /* some 200 MiB, of what is used */

void run_files_init(struct run_files *f)
{
	for (unsigned int i = 0; i < RUN_FILES; i++) {
		f->path[i] = NULL;
		f->file[i] = XR_OUTFILE_NONE;
	}
}

/* Whether an earlier one is the same, however it is spelt. */
static bool is_double(const struct run_files *f, unsigned int i)
{
	for (unsigned int k = 0; k < i; k++)
		if (xr_outfile_same(&f->file[i], &f->file[k]))
			return true;
	return false;
}

unsigned int run_files_open(struct run_files *f, run_file_lost lost, void *opaque)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RUN_FILES; i++) {
		const bool traces = i == RUN_REPORT || i == RUN_TRACE;
		int rc = xr_outfile_open(&f->file[i], f->path[i]);

		if (!rc && is_double(f, i))
			rc = -EEXIST;
		if (!rc && f->path[i] && traces && !xr_trace_on)
			rc = xr_trace_begin(TRACE_EVENTS);
		if (!rc)
			continue;
		lost(f->path[i], rc, opaque);
		xr_outfile_close(&f->file[i]);
		f->path[i] = NULL;
		n++;
	}
	return n;
}

static void write_receipt(FILE *to, const struct run_outcome *o)
{
	const struct receipt_context c = {
		.set = o->set, .res = o->res, .source = o->source, .ended = (double)time(NULL)
	};

	receipt_write(to, &c, o->restore);
}

static int write_report(FILE *to, const struct run_outcome *o)
{
	const struct run_report r = { .set = o->set,
				      .res = o->res,
				      .err = o->err,
				      .source = o->source,
				      .ended = (double)time(NULL) };

	return run_report_write(to, &r);
}

/* Whether there is anything to tell in a file of this kind. */
static bool is_due(enum run_file kind, const struct run_outcome *o)
{
	switch (kind) {
	case RUN_RECEIPT:
		return o->res && !o->err;
	case RUN_REPORT:
	case RUN_TRACE:
		return o->res || o->err;
	default:
		return true;
	}
}

static int write_one(enum run_file kind, FILE *to, const struct run_outcome *o)
{
	switch (kind) {
	case RUN_REPORT:
		return write_report(to, o);
	case RUN_TRACE:
		return xr_trace_write(to);
	case RUN_RECEIPT:
		write_receipt(to, o);
		return 0;
	default:
		xr_metrics_write(to, o->set, o->res, o->exit_code);
		return 0;
	}
}

unsigned int run_files_write(struct run_files *f, const struct run_outcome *o, run_file_lost lost,
			     void *opaque)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RUN_FILES; i++) {
		int rc;

		if (!f->file[i].f || !is_due(i, o))
			continue;
		rc = write_one(i, f->file[i].f, o);
		if (!rc)
			rc = xr_outfile_keep(&f->file[i]);
		if (!rc)
			continue;
		lost(f->path[i], rc, opaque);
		n++;
	}
	return n;
}

void run_files_close(struct run_files *f)
{
	for (unsigned int i = 0; i < RUN_FILES; i++)
		xr_outfile_close(&f->file[i]);
	xr_trace_end();
}
