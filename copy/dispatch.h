/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dispatcher's own state; what it shares with workers is in arena.h. */
#ifndef XR_COPY_DISPATCH_H
#define XR_COPY_DISPATCH_H

#include "copy/arena.h"
#include "copy/crew.h"

/* The dispatcher's end of a lane. */
struct xr_lane_end {
	uint64_t pushed; /* items */
	uint64_t slots_used;
	uint64_t slot_free_at[XR_LANE_SLOTS]; /* free once lane->done reaches this */
	uint64_t frames_opened;
	bool dirty;	   /* windows were opened since it was last drained */
	unsigned int slot; /* of the current window */
	uint32_t filled;   /* frames in it */
};

/* The current window. A window of frames of several owners is split: each gets its own frames. */
struct xr_window {
	bool open;
	bool split;
	size_t n;
	size_t next;		      /* lowest index that a part may begin with */
	struct xr_where where;	      /* of frames that are retired */
	uint64_t lanes;		      /* a bit for each that has frames of it */
	unsigned int lane;	      /* not split: the only one */
	uint8_t lane_of[XR_WINDOW];   /* split */
	uint16_t place_in[XR_WINDOW]; /* split: index among its lane's frames */
};

struct xr_copy {
	struct xr_crew_config crew;
	struct xr_arena *arena;
	unsigned int nlanes;
	bool ordered;
	enum xr_worker_kind kind;
	bool spawned;
	const uint32_t *cancel;
	uint64_t blocked;  /* ns */
	uint64_t looked;   /* when xr_copy_check() last looked after the nursery */
	unsigned int turn; /* unordered: where the search for a lane begins */
	struct xr_window win;
	struct xr_lane_end end[XR_LANES_MAX];
	struct xr_threads threads;
	struct xr_nursery nursery;
};

typedef bool (*xr_condition)(const struct xr_copy *c, unsigned int lane);

/*
 * Wait until the condition holds for the lane. Ends early with the stage's first error, a dead
 * nursery or worker, or -ECANCELED.
 */
int xr_copy_wait(struct xr_copy *c, xr_condition holds, unsigned int lane, struct xr_error *err);

/* Report the death of the nursery, if it died. (It reports that of a worker itself.) */
void xr_copy_notice_death(struct xr_copy *c);

/* Conditions. */
bool xr_lane_has_slot(const struct xr_copy *c, unsigned int lane);
bool xr_lane_has_item(const struct xr_copy *c, unsigned int lane);
bool xr_lane_is_done(const struct xr_copy *c, unsigned int lane); /* and leavers are gone */

/* Take the lane's next slot, waiting for it, and fill in what is not pfns. */
int xr_lane_take_slot(struct xr_copy *c, unsigned int lane, const struct xr_where *where,
		      bool verify, struct xr_error *err);

/* Wait for room and push. The op decides whether the current slot becomes free with it. */
int xr_lane_push(struct xr_copy *c, unsigned int lane, struct xr_copy_item item,
		 struct xr_error *err);

/* The lane that owns a frame in ordered mode. */
static inline unsigned int xr_owner(const struct xr_copy *c, uint64_t pfn)
{
	return (unsigned int)((pfn >> 10) % c->nlanes);
}

#endif
