/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore tells its user: a summary for people, or JSON with stable keys. */
#ifndef XR_REPORT_H
#define XR_REPORT_H

#include "xenrestore.h"

#include <stdio.h>

struct xr_report {
	const struct xr_settings *set;
	const struct xr_result *res;
	const char *source;
	const char *digest;	 /* NULL: not asked for */
	bool model_without_huge; /* 2M extents of the model are not huge pages here */
};

void xr_report_text(FILE *to, const struct xr_report *r);
int xr_report_json(FILE *to, const struct xr_report *r);

/* One line: where, what, at which offset, record and pfn, and what to do next. */
void xr_report_error(FILE *to, const struct xr_error *e);

#endif
