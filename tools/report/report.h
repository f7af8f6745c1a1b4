/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One restore as a page with plots: what took the time, and what to change. */
#ifndef XR_RUN_REPORT_H
#define XR_RUN_REPORT_H

#include "xenrestore.h"

#include <jansson.h>
#include <stdio.h>

struct run_report {
	const struct xr_settings *set;
	const struct xr_result *res; /* NULL: it never began */
	const struct xr_error *err;  /* NULL: it succeeded */
	const char *source;
	double ended; /* seconds since the epoch */
};

/* Of the restore that the present trace (base/trace.h) is of. 0 or a negative errno. */
int run_report_write(FILE *to, const struct run_report *r);

/* The figures of the page. NULL: no memory. */
json_t *run_report_json(const struct run_report *r);

/* What held it up, "source" or a stage, and what can be done about it. */
const char *run_report_limit(const struct xr_result *res);
const char *run_report_advice(const struct run_report *r);

#endif
