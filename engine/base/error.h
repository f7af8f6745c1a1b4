/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error of a restore, and how stages fill it. */
#ifndef XR_ERROR_H
#define XR_ERROR_H

#include "xenrestore.h"

/* The record that is being worked on. Travels with every item of the pipeline. */
struct xr_where {
	uint64_t offset; /* of its header, as in struct xr_error */
	uint64_t record;
	uint32_t type;
};

#define XR_NOWHERE ((struct xr_where){ XR_NO_OFFSET, XR_NO_RECORD, XR_NO_TYPE })

/*
 * Fill *err (which may be NULL), unless it already holds an error: the first cause stays. Returns
 * code, so that a failing function ends in one return. where may be NULL. xr_fail blames the
 * stream, the caller or the settings; xr_fail_host a host that did not do what it should.
 */
int xr_fail(struct xr_error *err, int code, enum xr_stage stage, const struct xr_where *where,
	    uint64_t pfn, const char *fmt, ...) __attribute__((format(printf, 6, 7), cold));
int xr_fail_host(struct xr_error *err, int code, enum xr_stage stage, const struct xr_where *where,
		 uint64_t pfn, const char *fmt, ...) __attribute__((format(printf, 6, 7), cold));

/* Does this negative errno of a read or write say that the other side, or the way to it, is gone?
 */
bool xr_peer_gone(int code);

/* Or, of a read, that the bytes can't be had where they are? Any other error is of this side. */
bool xr_stream_lost(int code);

void xr_error_clear(struct xr_error *err);

#endif
