/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the dispatcher and its workers share: memory without a pointer to itself, as a worker
 * process may have it at another address. Each worker has a lane: a queue of items, the windows
 * they refer to, counters.
 *
 * A lane has one producer (the dispatcher) and one consumer (the lane's present worker: a worker
 * process may hand its lane to a successor). Items are finished in the order they were pushed, so
 * all that comes back is the count `done`.
 */
#ifndef XR_COPY_ARENA_H
#define XR_COPY_ARENA_H

#include "base/error.h"
#include "base/event.h"
#include "base/ring.h"
#include "copy/copy.h"

#define XR_LANES_MAX 64u
#define XR_LANE_SLOTS 8u   /* windows in flight per worker */
#define XR_LANE_ITEMS 256u /* items in flight per worker; a power of two */

enum xr_copy_op {
	XR_OP_OPEN,	/* map the window in `slot` */
	XR_OP_WRITE,	/* contents for frames [first, first + n) of it */
	XR_OP_LOCALISE, /* the page tables that the window's frames are */
	XR_OP_CLOSE,	/* unmap it, now or later; the slot is free when this is done */
	XR_OP_RETIRE,	/* drop every mapping of the frames in `slot`; frees the slot, too */
	XR_OP_CLEAR,	/* the same, then zero the frames */
	XR_OP_DROP,	/* drop every mapping */
};

struct xr_copy_item {
	enum xr_copy_op op;
	uint32_t slot;
	uint32_t first, n;
	bool listed;	/* slot->page[] says where in the source; else in order from 0 */
	int32_t buffer; /* whoever swaps in -1 owes the pool the drop; -1: from the file */
	bool from_file; /* contents come from file_offset on */
	uint64_t file_offset;
};

/* Written by the dispatcher before the items that refer to it; page[i] before frame i's WRITE. */
struct xr_copy_slot {
	struct xr_where where;
	uint32_t n;
	bool verify;
	uint64_t pfns[XR_WINDOW];
	uint32_t page[XR_WINDOW];
};

/* Written by the lane's worker only, read at any time. Atomically accessed. */
struct xr_lane_stats {
	uint64_t written, verified, differing, cleared;
	uint64_t lowest_differing; /* pfn, or XR_NO_PFN */
	uint64_t localised, lacking;
	uint64_t map_calls, unmap_calls, pages_mapped;
	uint64_t busy, starved;
	uint64_t frames_closed; /* frames of windows that are closed */
};

/*
 * Generations: a worker process that gives up its lane counts `leaving` before it finishes its last
 * item, and `left` as the very last thing it does here; the nursery then starts a successor, and
 * counts `reaped` when the old one and all its mappings are gone.
 */
struct xr_lane {
	struct xr_event work; /* signalled when an item was pushed, and to stop */
	uint64_t done;
	uint32_t ready; /* a worker of this lane has its mapper open */
	uint64_t leaving, left, reaped;
	struct xr_lane_stats stats;
	struct xr_error error; /* of this lane's worker; read only once `first` names it */
	struct xr_copy_item items[XR_LANE_ITEMS];
	struct xr_copy_slot slots[XR_LANE_SLOTS];
	size_t ring_at; /* from here to its ring, of places in items[] */
} __attribute__((aligned(64)));

#define XR_NURSERY_LANE XR_LANES_MAX /* as the reporter of an error */

struct xr_arena {
	struct xr_event progress; /* signalled on every change the dispatcher may wait for */
	uint32_t stop;		  /* leave at once: drop what is queued */
	uint32_t first;		  /* 0, or 1 + the reporter whose error is the first */
	struct xr_error nursery_error;
	unsigned int nlanes;
	uint32_t pv; /* frames are found by the p2m */
	size_t bytes;
	int fd;		     /* of this memory, where it was created */
	int unrestricted;    /* errno: why mappers reach other domains, too; 0: they don't */
	int32_t spawner;     /* pid of the parent of the worker program, if there is one */
	int32_t spawn_errno; /* why there is none */
	struct xr_lane lane[];
};

/* 0 or -ENOMEM. */
int xr_arena_create(struct xr_arena **out, unsigned int nlanes);
void xr_arena_destroy(struct xr_arena *a); /* by the creator */
/* The same arena in another program. 0 or a negative errno. */
int xr_arena_attach(struct xr_arena **out, int fd);

static inline struct xr_ring *xr_lane_ring(struct xr_lane *l)
{
	return (struct xr_ring *)((char *)l + l->ring_at);
}

/*
 * The struct a reporter (a lane's worker, or the nursery) fills before it calls xr_arena_report().
 * A reporter reports once; only the first report of all is ever read.
 */
struct xr_error *xr_arena_error(struct xr_arena *a, unsigned int reporter);
void xr_arena_report(struct xr_arena *a, unsigned int reporter);

/* The first error, copied to *err (may be NULL) unless it holds one already. 0: none. */
int xr_arena_check(struct xr_arena *a, struct xr_error *err);

/* True once work must no longer be done, only thrown away. */
static inline bool xr_arena_failed(const struct xr_arena *a)
{
	return __atomic_load_n(&a->first, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&a->stop, __ATOMIC_ACQUIRE);
}

/* Make all workers leave. */
void xr_arena_stop(struct xr_arena *a);

/* Throw an item's buffer user away, if it is still there. */
void xr_item_drop(struct xr_copy_item *item, struct xr_bufpool *pool);

/* Drop the buffer users of everything that a lane without a worker still holds. */
void xr_lane_discard(struct xr_lane *l, uint64_t pushed, struct xr_bufpool *pool);

/* A counter with one writer. */
static inline void xr_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELEASE);
}

static inline uint64_t xr_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

#endif
