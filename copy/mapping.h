/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frames that one worker has mapped: the window it works on, and windows that are finished but
 * not unmapped yet. Unmapping costs more than mapping (PTE by PTE, and an interrupt to every core
 * of the process), so when it is done is a matter of strategy, kept in this one place.
 */
#ifndef XR_COPY_MAPPING_H
#define XR_COPY_MAPPING_H

#include "copy/arena.h"

enum xr_unmap {
	XR_UNMAP_AT_CLOSE,  /* as soon as the window is finished */
	XR_UNMAP_AT_BUDGET, /* when there is nothing else to do, or too much is kept */
	XR_UNMAP_AT_EXIT,   /* never: the worker process is replaced, the kernel cleans up */
};

struct xr_keep {
	enum xr_unmap when;
	uint32_t pages; /* kept at most, the window in work aside; AT_EXIT: then leave */
};

/* What threads and processes do unless a test or a measurement says otherwise. */
extern const struct xr_keep xr_keep_threads, xr_keep_processes;

#define XR_KEPT_MAX 256u /* windows; bounds `pages` for sparse windows */

struct xr_kept {
	void *addr;
	size_t n;
	uint64_t lowest, highest; /* pfn */
	struct xr_where where;
};

/* Windows to come that are mapped already. */
#define XR_EXPECTED_MAX 16u

struct xr_expected {
	struct xr_kept kept;
	uint64_t pfns[XR_WINDOW];
};

struct xr_mappings {
	struct xr_mapper *mapper;
	const struct xr_p2m *p2m; /* by which frames are found; NULL: by their pfns */
	struct xr_lane_stats *stats;
	struct xr_keep keep;
	struct xr_kept now;		  /* the open window; addr NULL: none */
	struct xr_kept kept[XR_KEPT_MAX]; /* a queue, the oldest at `oldest` */
	unsigned int oldest, nkept;
	uint64_t pages_kept;
	struct xr_expected *expected; /* NULL before the first */
	unsigned int nexpected;
	uint64_t pages_expected;
};

/* Map the frames of a window. Fails with the first frame that cannot be had. */
int xr_mappings_open(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err);

/* Map the frames of a window to come, if there is room for that; whatever prevents it is for the
 * window itself to tell. */
int xr_mappings_expect(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err);

/* The window is finished. 1: too much is kept, this worker should leave. */
int xr_mappings_close(struct xr_mappings *m, struct xr_error *err);

/* Unmap every kept or expected window that may hold one of these frames. */
int xr_mappings_retire(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err);

/* Use idle time: unmap one window if that is due some time. 1: did, 0: nothing to do. */
int xr_mappings_idle(struct xr_mappings *m, struct xr_error *err);

/* Unmap all. 1 (AT_EXIT): nothing was done, this worker should leave instead. */
int xr_mappings_drop(struct xr_mappings *m, struct xr_error *err);

/* Unmap all, come what may. */
void xr_mappings_free(struct xr_mappings *m);

#endif
