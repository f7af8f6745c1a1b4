/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The items of a checkpoint that is not complete yet, in order. All that is kept of them lies in a
 * spill (base/spill.h): what it takes of memory does not depend on the stream. Contents that came
 * in a buffer are kept page by page, so that the copy workers read them from there straight into
 * the guest; of contents in a regular file only the place is kept.
 */
#ifndef XR_BACKLOG_H
#define XR_BACKLOG_H

#include "base/spill.h"
#include "stream/stream.h"

struct xr_backlog;

/* Before the workers start: they take the spill's files along. */
int xr_backlog_open(struct xr_backlog **out, uint64_t in_memory, struct xr_error *err);
void xr_backlog_close(struct xr_backlog **b);
const struct xr_spill *xr_backlog_spill(const struct xr_backlog *b);

/* How many bytes a checkpoint may take, in memory and on disk; else it is refused. */
void xr_backlog_limit(struct xr_backlog *b, uint64_t bytes);

/* Keep a CONTROL, TYPES or DATA item. The buffer stays the caller's. */
int xr_backlog_add(struct xr_backlog *b, const struct xr_item *it, const struct xr_bufpool *pool,
		   struct xr_error *err);

/*
 * The next item, from the first on: 1; 0: that was all; or an error. A DATA item's buffer is then
 * XR_FROM(n), with file 0 the stream's and 1 on those of the spill. A CONTROL item has no body yet:
 * that is only there once load was called. At most XR_BACKLOG_OUT items are out at a time; they
 * come back in the order they went.
 */
#define XR_BACKLOG_OUT 17u
int xr_backlog_next(struct xr_backlog *b, struct xr_item **it, struct xr_error *err);
int xr_backlog_load(struct xr_backlog *b, struct xr_item *it, struct xr_error *err);
void xr_backlog_release(struct xr_backlog *b, struct xr_item *it);

/* Forget all. No item is out, nobody reads contents. */
void xr_backlog_clear(struct xr_backlog *b);

#endif
