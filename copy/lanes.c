/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dispatcher's end of the lanes: room, pushing, and the one place where it waits. */
#include "base/clock.h"
#include "copy/dispatch.h"
#include "copy/spawn.h"

#include <errno.h>
#include <string.h>

#define WAIT_MS 50u /* how long a cancel or the death of the nursery may go unnoticed */

static bool canceled(const struct xr_copy *c)
{
	return c->cancel && __atomic_load_n(c->cancel, __ATOMIC_ACQUIRE);
}

void xr_copy_notice_death(struct xr_copy *c)
{
	struct xr_error *e;
	int why;

	if (c->kind != XR_WORKER_PROCESS || xr_nursery_alive(&c->nursery))
		return;
	if (xr_arena_check(c->arena, NULL))
		return;
	/* It may have died in the middle of a report: nobody else writes here any more. */
	e = xr_arena_error(c->arena, XR_NURSERY_LANE);
	xr_error_clear(e);
	why = __atomic_load_n(&c->arena->spawn_errno, __ATOMIC_ACQUIRE);
	if (why)
		xr_fail_host(e, -why, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			     "cannot start the copy workers' program %s: %s", xr_spawn_program(),
			     strerror(why));
	else
		xr_fail_host(e, -EIO, XR_STAGE_COPY, NULL, XR_NO_PFN,
			     "the process that looks after the copy workers died");
	xr_arena_report(c->arena, XR_NURSERY_LANE);
}

static int wait_slowly(struct xr_copy *c, xr_condition holds, unsigned int lane,
		       struct xr_error *err)
{
	for (;;) {
		uint32_t seen = xr_event_value(&c->arena->progress);
		bool held = holds(c, lane);
		int rc = xr_arena_check(c->arena, err);

		if (rc || held)
			return rc;
		if (canceled(c))
			return xr_fail(err, -ECANCELED, XR_STAGE_COPY, NULL, XR_NO_PFN,
				       "the restore was cancelled");
		if (!xr_event_wait(&c->arena->progress, seen, WAIT_MS))
			xr_copy_notice_death(c);
	}
}

int xr_copy_wait(struct xr_copy *c, xr_condition holds, unsigned int lane, struct xr_error *err)
{
	uint64_t began;
	/* In this order: work that failed counts as done, too, but its error comes before. */
	bool held = holds(c, lane);
	int rc = xr_arena_check(c->arena, err);

	if (rc || held)
		return rc;
	began = xr_now();
	rc = wait_slowly(c, holds, lane, err);
	c->blocked += xr_now() - began;
	return rc;
}

bool xr_lane_has_slot(const struct xr_copy *c, unsigned int lane)
{
	const struct xr_lane_end *e = &c->end[lane];

	return xr_read(&c->arena->lane[lane].done) >=
	       e->slot_free_at[e->slots_used % XR_LANE_SLOTS];
}

bool xr_lane_has_item(const struct xr_copy *c, unsigned int lane)
{
	return c->end[lane].pushed - xr_read(&c->arena->lane[lane].done) < XR_LANE_ITEMS;
}

bool xr_lane_is_done(const struct xr_copy *c, unsigned int lane)
{
	const struct xr_lane *l = &c->arena->lane[lane];

	return xr_read(&l->done) == c->end[lane].pushed &&
	       xr_read(&l->reaped) == xr_read(&l->leaving);
}

int xr_lane_take_slot(struct xr_copy *c, unsigned int lane, const struct xr_where *where,
		      bool verify, struct xr_error *err)
{
	struct xr_lane_end *e = &c->end[lane];
	struct xr_copy_slot *s;
	int rc = xr_copy_wait(c, xr_lane_has_slot, lane, err);

	if (rc)
		return rc;
	e->slot = (unsigned int)(e->slots_used++ % XR_LANE_SLOTS);
	e->slot_free_at[e->slot] = UINT64_MAX;
	e->filled = 0;
	s = &c->arena->lane[lane].slots[e->slot];
	s->where = where ? *where : XR_NOWHERE;
	s->verify = verify;
	s->n = 0;
	return 0;
}

int xr_lane_push(struct xr_copy *c, unsigned int lane, struct xr_copy_item item,
		 struct xr_error *err)
{
	struct xr_lane_end *e = &c->end[lane];
	struct xr_lane *l = &c->arena->lane[lane];
	uint64_t place = e->pushed % XR_LANE_ITEMS;
	int rc = xr_copy_wait(c, xr_lane_has_item, lane, err);

	if (rc)
		return rc;
	item.slot = e->slot;
	l->items[place] = item;
	e->pushed++;
	if (item.op == XR_OP_CLOSE || item.op == XR_OP_RETIRE || item.op == XR_OP_CLEAR ||
	    item.op == XR_OP_EXPECT)
		e->slot_free_at[e->slot] = e->pushed;
	xr_ring_push(xr_lane_ring(l), place);
	xr_event_signal(&l->work);
	return 0;
}
