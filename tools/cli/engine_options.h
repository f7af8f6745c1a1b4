/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The settings of the engine that several commands take: their words, and rows for their tables. */
#ifndef XR_ENGINE_OPTIONS_H
#define XR_ENGINE_OPTIONS_H

#include "cli/options.h"

/* By the values of the enums in xenrestore.h. NULL-terminated. */
extern const char *const xr_host_words[], *const xr_policy_words[];
extern const char *const xr_worker_kind_words[], *const xr_io_words[], *const xr_type_words[];
extern const char *const xr_max_order_words[]; /* those that there are, as numbers */

/* take() of an unsigned int: an order that the engine has. */
int xr_take_max_order(void *options, const struct xr_option *o, const char *arg, const char **why);

#define XR_POLICY_OPTION(at_, help_)                                                               \
	XR_OPTION(WORD, "policy", 0, "P", at_, "exact", help_, .words = xr_policy_words)
#define XR_MAX_ORDER_OPTION(at_, help_)                                                            \
	XR_OPTION(CALL, "max-order", 0, "N", at_, "9", help_, .words = xr_max_order_words,         \
		  .take = xr_take_max_order)

#endif
