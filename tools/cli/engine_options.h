/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The settings of the engine that several commands take: their words, and rows for their tables. */
#ifndef XR_ENGINE_OPTIONS_H
#define XR_ENGINE_OPTIONS_H

#include "cli/options.h"
#include "xenrestore.h"

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

/* The rest of how a restore goes about it; fields of a struct xr_settings that begins at base. */
#define XR_TUNING_OPTIONS(base)                                                                    \
	XR_POLICY_OPTION((base) + offsetof(struct xr_settings, policy),                            \
			 "when a page is large: exact, speculative or 4k"),                        \
		XR_MAX_ORDER_OPTION((base) + offsetof(struct xr_settings, max_order),              \
				    "largest extent: 0 (4K), 9 (2M) or 18 (1G)"),                  \
		XR_OPTION(INT, "ahead", 0, "MIB",                                                  \
			  (base) + offsetof(struct xr_settings, ahead_mib), "64",                  \
			  "how far to allocate ahead of a pipe", .max = 1u << 20),                 \
		XR_OPTION(INT, "workers", 0, "N", (base) + offsetof(struct xr_settings, workers),  \
			  "one per core and 64 MiB, at most 8", "copy workers", .max = 64),        \
		XR_OPTION(WORD, "worker-kind", 0, "K",                                             \
			  (base) + offsetof(struct xr_settings, worker_kind), "auto",              \
			  "auto, process or thread", .words = xr_worker_kind_words)
#define XR_IO_OPTION(base)                                                                         \
	XR_OPTION(WORD, "io", 0, "I", (base) + offsetof(struct xr_settings, io), "auto",           \
		  "auto, uring or plain", .words = xr_io_words)
#define XR_BUFFER_OPTION(base)                                                                     \
	XR_OPTION(INT, "buffer", 0, "MIB", (base) + offsetof(struct xr_settings, buffer_mib),      \
		  "128", "remus: of a checkpoint, in memory; the rest on disk", .max = 1u << 20)

#endif
