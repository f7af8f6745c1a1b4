/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_FILTER_RULES_H
#define XR_FILTER_RULES_H

#include "base/filter.h"

#include <seccomp.h>
#include <stdbool.h>

#define XR_FILTER_ARGS 2u

/* Rules for the same call are alternatives; the conditions of one hold together. */
struct xr_filter_rule {
	int call;
	unsigned int roles; /* bits, 1 << enum xr_filter_role */
	int error;	    /* 0: allowed; else what it fails with */
	unsigned int nargs;
	struct scmp_arg_cmp arg[XR_FILTER_ARGS];
	bool self; /* argument 0 is this process's id */
};

extern const struct xr_filter_rule xr_filter_rules[];
extern const size_t xr_filter_nrules;

#endif
