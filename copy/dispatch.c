/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows and parts: who gets which frames. */
#include "copy/dispatch.h"

#include "base/trace.h"

#include <errno.h>
#include <string.h>

/* A caller that goes on after an error hears of that again, not of what came of it. */
static int misused(struct xr_copy *c, struct xr_error *err, const char *what)
{
	int rc = xr_arena_check(c->arena, err);

	if (rc)
		return rc;
	return xr_fail(err, -EINVAL, XR_STAGE_COPY, NULL, XR_NO_PFN, "copy stage misused: %s",
		       what);
}

static bool one_owner(const struct xr_copy *c, const uint64_t *pfns, size_t n)
{
	uint64_t region = pfns[0] >> 10;
	unsigned int owner = xr_owner(c, pfns[0]);

	for (size_t i = 1; i < n; i++) {
		if (pfns[i] >> 10 == region)
			continue;
		if (xr_owner(c, pfns[i]) != owner)
			return false;
		region = pfns[i] >> 10;
	}
	return true;
}

static uint64_t frames_queued(const struct xr_copy *c, unsigned int lane)
{
	return c->end[lane].frames_opened - xr_read(&c->arena->lane[lane].stats.frames_closed);
}

/* The least loaded lane with a slot; if none has one, the least loaded of all. */
static unsigned int best_lane(struct xr_copy *c)
{
	unsigned int best = c->turn;
	bool best_slot = xr_lane_has_slot(c, best);
	uint64_t best_queued = frames_queued(c, best);

	for (unsigned int k = 1; k < c->nlanes; k++) {
		unsigned int i = (c->turn + k) % c->nlanes;
		bool slot = xr_lane_has_slot(c, i);
		uint64_t queued = frames_queued(c, i);

		if (slot < best_slot || (slot == best_slot && queued >= best_queued))
			continue;
		best = i;
		best_slot = slot;
		best_queued = queued;
	}
	c->turn = (best + 1) % c->nlanes;
	return best;
}

static bool any_slot(const struct xr_copy *c, unsigned int unused)
{
	(void)unused;
	for (unsigned int i = 0; i < c->nlanes; i++) {
		if (xr_lane_has_slot(c, i))
			return true;
	}
	return false;
}

static int open_on(struct xr_copy *c, unsigned int lane, struct xr_error *err)
{
	struct xr_lane_end *e = &c->end[lane];

	c->arena->lane[lane].slots[e->slot].n = e->filled;
	e->frames_opened += e->filled;
	e->dirty = true;
	return xr_lane_push(c, lane, (struct xr_copy_item){ .op = XR_OP_OPEN, .buffer = -1 }, err);
}

static int begin_whole(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns,
		       size_t n, bool verify, struct xr_error *err)
{
	struct xr_window *win = &c->win;
	struct xr_lane_end *e;
	int rc = 0;

	if (c->ordered) {
		win->lane = xr_owner(c, pfns[0]);
	} else {
		rc = xr_copy_wait(c, any_slot, 0, err);
		win->lane = best_lane(c);
	}
	if (!rc)
		rc = xr_lane_take_slot(c, win->lane, where, verify, err);
	if (rc)
		return rc;
	win->lanes = (uint64_t)1 << win->lane;
	e = &c->end[win->lane];
	memcpy(c->arena->lane[win->lane].slots[e->slot].pfns, pfns, n * sizeof(*pfns));
	e->filled = (uint32_t)n;
	return open_on(c, win->lane, err);
}

static int split_frame(struct xr_copy *c, const struct xr_where *where, size_t i, uint64_t pfn,
		       bool verify, struct xr_error *err)
{
	struct xr_window *win = &c->win;
	unsigned int lane = xr_owner(c, pfn);
	struct xr_lane_end *e = &c->end[lane];
	int rc;

	if (!(win->lanes >> lane & 1)) {
		rc = xr_lane_take_slot(c, lane, where, verify, err);
		if (rc)
			return rc;
		win->lanes |= (uint64_t)1 << lane;
	}
	win->lane_of[i] = (uint8_t)lane;
	win->place_in[i] = (uint16_t)e->filled;
	c->arena->lane[lane].slots[e->slot].pfns[e->filled++] = pfn;
	return 0;
}

/* Push to every lane of the window. */
static int for_lanes(struct xr_copy *c,
		     int (*push)(struct xr_copy *, unsigned int, struct xr_error *),
		     struct xr_error *err)
{
	int rc = 0;

	for (uint64_t left = c->win.lanes; !rc && left; left &= left - 1)
		rc = push(c, (unsigned int)__builtin_ctzll(left), err);
	return rc;
}

static int begin_split(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns,
		       size_t n, bool verify, struct xr_error *err)
{
	for (size_t i = 0; i < n; i++) {
		int rc = split_frame(c, where, i, pfns[i], verify, err);

		if (rc)
			return rc;
	}
	return for_lanes(c, open_on, err);
}

int xr_copy_begin(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns, size_t n,
		  bool verify, struct xr_error *err)
{
	struct xr_window *win = &c->win;

	if (win->open)
		return misused(c, err, "a window is open already");
	if (n > XR_WINDOW)
		return misused(c, err, "too many frames for a window");
	win->open = true;
	win->n = n;
	win->next = 0;
	win->lanes = 0;
	win->split = n && c->ordered && !one_owner(c, pfns, n);
	if (!n)
		return xr_arena_check(c->arena, err);
	if (win->split)
		return begin_split(c, where, pfns, n, verify, err);
	return begin_whole(c, where, pfns, n, verify, err);
}

/* A part in the making: what each lane gets of it. */
struct part {
	struct xr_copy_item item;
	uint64_t lanes;
	uint32_t first[XR_LANES_MAX], n[XR_LANES_MAX];
};

static void share_whole(struct xr_copy *c, struct part *p, size_t first, size_t n,
			const uint32_t *page)
{
	unsigned int lane = c->win.lane;
	struct xr_copy_slot *s = &c->arena->lane[lane].slots[c->end[lane].slot];

	p->lanes = (uint64_t)1 << lane;
	p->first[lane] = (uint32_t)first;
	p->n[lane] = (uint32_t)n;
	p->item.listed = page != NULL;
	if (page)
		memcpy(s->page + first, page, n * sizeof(*page));
}

static void share_split(struct xr_copy *c, struct part *p, size_t first, size_t n,
			const uint32_t *page)
{
	const struct xr_window *win = &c->win;

	p->item.listed = true;
	for (size_t i = 0; i < n; i++) {
		unsigned int lane = win->lane_of[first + i];
		uint16_t place = win->place_in[first + i];

		if (!(p->lanes >> lane & 1)) {
			p->lanes |= (uint64_t)1 << lane;
			p->first[lane] = place;
			p->n[lane] = 0;
		}
		p->n[lane]++;
		c->arena->lane[lane].slots[c->end[lane].slot].page[place] =
			page ? page[i] : (uint32_t)i;
	}
}

/* Each lane is handed one user of the buffer; those that could not be, are dropped. */
static int push_part(struct xr_copy *c, const struct part *p, struct xr_error *err)
{
	uint64_t left = p->lanes;
	int rc = 0;

	for (; left; left &= left - 1) {
		unsigned int lane = (unsigned int)__builtin_ctzll(left);
		struct xr_copy_item item = p->item;

		item.first = p->first[lane];
		item.n = p->n[lane];
		rc = xr_lane_push(c, lane, item, err);
		if (rc)
			break;
	}
	for (; left && p->item.buffer >= 0; left &= left - 1)
		xr_bufpool_drop(c->crew.pool, (unsigned int)p->item.buffer);
	return rc;
}

static int file_of(const struct xr_copy *c, int buffer)
{
	const unsigned int file = (unsigned int)XR_FROM(buffer);

	if (!file)
		return c->crew.fd;
	return file <= XR_COPY_KEPT ? c->crew.kept[file - 1] : -1;
}

static int check_part(struct xr_copy *c, size_t first, size_t n, int buffer, struct xr_error *err)
{
	const struct xr_window *win = &c->win;

	if (!win->open)
		return misused(c, err, "contents without a window");
	if (first < win->next || first > win->n || n > win->n - first)
		return misused(c, err, "contents that don't fit the window");
	if (buffer < 0 ? file_of(c, buffer) < 0 : !c->crew.pool)
		return misused(c, err, "contents from a file or pool, but there is none");
	return xr_arena_check(c->arena, err);
}

int xr_copy_data(struct xr_copy *c, size_t first, size_t n, const uint32_t *page, int buffer,
		 uint64_t file_offset, struct xr_error *err)
{
	struct part p = { .item = { .op = XR_OP_WRITE,
				    .buffer = buffer,
				    .from_file = buffer < 0,
				    .file = buffer < 0 ? (uint8_t)XR_FROM(buffer) : 0,
				    .file_offset = file_offset } };
	int users, rc = check_part(c, first, n, buffer, err);

	if (rc || !n) {
		if (buffer >= 0 && c->crew.pool)
			xr_bufpool_drop(c->crew.pool, (unsigned int)buffer);
		return rc;
	}
	c->win.next = first + n;
	if (c->win.split)
		share_split(c, &p, first, n, page);
	else
		share_whole(c, &p, first, n, page);
	users = __builtin_popcountll(p.lanes);
	if (buffer >= 0 && users > 1)
		xr_bufpool_hold(c->crew.pool, (unsigned int)buffer, (uint32_t)users - 1);
	return push_part(c, &p, err);
}

static int close_on(struct xr_copy *c, unsigned int lane, struct xr_error *err)
{
	return xr_lane_push(c, lane, (struct xr_copy_item){ .op = XR_OP_CLOSE, .buffer = -1 }, err);
}

int xr_copy_end(struct xr_copy *c, struct xr_error *err)
{
	int rc;

	if (!c->win.open)
		return misused(c, err, "the end of a window that is not open");
	rc = for_lanes(c, close_on, err);
	if (!rc)
		c->win.open = false;
	return rc;
}

static int localise_on(struct xr_copy *c, unsigned int lane, struct xr_error *err)
{
	return xr_lane_push(c, lane, (struct xr_copy_item){ .op = XR_OP_LOCALISE, .buffer = -1 },
			    err);
}

int xr_copy_localise(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns,
		     size_t n, struct xr_error *err)
{
	int rc = xr_copy_begin(c, where, pfns, n, false, err);

	if (!rc)
		rc = for_lanes(c, localise_on, err);
	return rc ? rc : xr_copy_end(c, err);
}

bool xr_copy_has_room(const struct xr_copy *c)
{
	if (xr_arena_check(c->arena, NULL))
		return true;
	if (!c->ordered)
		return any_slot(c, 0);
	for (unsigned int i = 0; i < c->nlanes; i++) {
		if (!xr_lane_has_slot(c, i) || !xr_lane_has_item(c, i))
			return false;
	}
	return true;
}

static int wait_all_done(struct xr_copy *c, struct xr_error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < c->nlanes; i++)
		rc = xr_copy_wait(c, xr_lane_is_done, i, err);
	return rc;
}

/* Frames given to a lane's slot for OP, which is sent when the slot is full. */
static int retire_on(struct xr_copy *c, unsigned int lane, enum xr_copy_op op, uint64_t pfn,
		     struct xr_error *err)
{
	struct xr_lane_end *e = &c->end[lane];
	struct xr_copy_slot *s;
	int rc;

	if (!(c->win.lanes >> lane & 1)) {
		rc = xr_lane_take_slot(c, lane, &c->win.where, false, err);
		if (rc)
			return rc;
		c->win.lanes |= (uint64_t)1 << lane;
	}
	s = &c->arena->lane[lane].slots[e->slot];
	s->pfns[e->filled++] = pfn;
	s->n = e->filled;
	if (e->filled < XR_WINDOW)
		return 0;
	c->win.lanes &= ~((uint64_t)1 << lane);
	return xr_lane_push(c, lane, (struct xr_copy_item){ .op = op, .buffer = -1 }, err);
}

static int retire_rest(struct xr_copy *c, enum xr_copy_op op, struct xr_error *err)
{
	int rc = 0;

	for (; !rc && c->win.lanes; c->win.lanes &= c->win.lanes - 1)
		rc = xr_lane_push(c, (unsigned int)__builtin_ctzll(c->win.lanes),
				  (struct xr_copy_item){ .op = op, .buffer = -1 }, err);
	return rc;
}

/* To the owner of each frame, or (everyone) to all lanes. Returns when they are done. */
static int retire_step(struct xr_copy *c, const uint64_t *pfns, size_t n, enum xr_copy_op op,
		       bool everyone, struct xr_error *err)
{
	int rc = 0;

	c->win.lanes = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		if (!everyone)
			rc = retire_on(c, xr_owner(c, pfns[i]), op, pfns[i], err);
		for (unsigned int k = 0; everyone && !rc && k < c->nlanes; k++)
			rc = retire_on(c, k, op, pfns[i], err);
	}
	if (!rc)
		rc = retire_rest(c, op, err);
	return rc ? rc : wait_all_done(c, err);
}

static int retire(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns, size_t n,
		  bool clear, struct xr_error *err)
{
	int rc = 0;

	if (c->win.open)
		return misused(c, err, "frames retired while a window is open");
	if (!n)
		return xr_arena_check(c->arena, err);
	c->win.where = where ? *where : XR_NOWHERE;
	if (c->ordered)
		return retire_step(c, pfns, n, clear ? XR_OP_CLEAR : XR_OP_RETIRE, false, err);
	/* Anyone may have them: all must be done with them before one clears them. */
	rc = retire_step(c, pfns, n, XR_OP_RETIRE, true, err);
	if (!rc && clear)
		rc = retire_step(c, pfns, n, XR_OP_CLEAR, false, err);
	return rc;
}

int xr_copy_retire(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns, size_t n,
		   bool clear, struct xr_error *err)
{
	const uint64_t span = XR_SPAN_BEGIN(retire, n);
	const int rc = retire(c, where, pfns, n, clear, err);

	XR_SPAN_END(retire, span, n, rc);
	return rc;
}

/* Each lane maps its share, as it will be its window. */
int xr_copy_expect(struct xr_copy *c, const uint64_t *pfns, size_t n, struct xr_error *err)
{
	int rc = 0;

	if (c->win.open)
		return misused(c, err, "a window expected while one is open");
	if (n > XR_WINDOW)
		return misused(c, err, "too many frames for a window");
	if (!c->ordered || !xr_copy_has_room(c))
		return xr_arena_check(c->arena, err);
	c->win.where = XR_NOWHERE;
	c->win.lanes = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		const unsigned int lane = xr_owner(c, pfns[i]);

		c->end[lane].dirty = true;
		rc = retire_on(c, lane, XR_OP_EXPECT, pfns[i], err);
	}
	return rc ? rc : retire_rest(c, XR_OP_EXPECT, err);
}

int xr_copy_sync(struct xr_copy *c, struct xr_error *err)
{
	return c->win.open ? misused(c, err, "awaited while a window is open")
			   : wait_all_done(c, err);
}

static int drain(struct xr_copy *c, struct xr_error *err)
{
	int rc = 0;

	if (c->win.open)
		return misused(c, err, "drained while a window is open");
	for (unsigned int i = 0; !rc && i < c->nlanes; i++)
		if (c->end[i].dirty)
			rc = xr_lane_push(
				c, i, (struct xr_copy_item){ .op = XR_OP_DROP, .buffer = -1 }, err);
	if (!rc)
		rc = wait_all_done(c, err);
	for (unsigned int i = 0; !rc && i < c->nlanes; i++)
		c->end[i].dirty = false;
	return rc;
}

int xr_copy_drain(struct xr_copy *c, struct xr_error *err)
{
	const uint64_t span = XR_SPAN_BEGIN(drain, c->nlanes);
	const int rc = drain(c, err);

	XR_SPAN_END(drain, span, c->nlanes, rc);
	return rc;
}
