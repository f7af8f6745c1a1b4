/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/worker.h"

#include "base/clock.h"
#include "base/trace.h"
#include "copy/kernel.h"
#include "copy/localise.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct worker {
	const struct xr_crew_config *cfg;
	struct xr_lane *lane;
	unsigned int number;
	bool reported;
	bool leaving;
	unsigned char *scratch;
	struct xr_mappings map;
};

static void report(struct worker *w)
{
	if (!w->reported)
		xr_arena_report(w->cfg->arena, w->number);
	w->reported = true;
}

/* As they are in the guest now. */
static void note_digests(const struct worker *w, const struct xr_contents *c)
{
	for (size_t i = 0; i < c->n; i++)
		xr_digests_set(w->cfg->digests, c->pfns[i],
			       xr_digest_page(c->pfns[i], c->to + i * XR_PAGE_SIZE));
}

static int take_contents(struct worker *w, const struct xr_copy_item *item,
			 const struct xr_copy_slot *s)
{
	struct xr_contents c = {
		.to = (unsigned char *)w->map.now.addr + (size_t)item->first * XR_PAGE_SIZE,
		.n = item->n,
		.page = item->listed ? s->page + item->first : NULL,
		.fd = item->file ? w->cfg->kept[item->file - 1] : w->cfg->fd,
		.ours = item->file,
		.offset = item->file_offset,
		.looked_at = w->cfg->digests,
		.scratch = w->scratch,
		.pfns = s->pfns + item->first,
		.where = &s->where,
	};
	struct xr_differing found = { 0, XR_NO_PFN };
	int rc;

	if (!item->from_file)
		c.from = xr_bufpool_data(w->cfg->pool, (unsigned int)item->buffer);
	if (!s->verify) {
		rc = xr_contents_write(&c, &w->lane->error);
		if (!rc && w->cfg->digests)
			note_digests(w, &c);
		if (!rc)
			xr_count(&w->lane->stats.written, item->n);
		return rc;
	}
	rc = xr_contents_compare(&c, &found, &w->lane->error);
	xr_count(&w->lane->stats.verified, item->n);
	xr_count(&w->lane->stats.differing, found.n);
	if (found.n && found.lowest < xr_read(&w->lane->stats.lowest_differing))
		__atomic_store_n(&w->lane->stats.lowest_differing, found.lowest, __ATOMIC_RELAXED);
	return rc;
}

static int blame_table(struct worker *w, const struct xr_copy_slot *s, uint32_t i, uint64_t pfn)
{
	return xr_fail(&w->lane->error, -EBADMSG, XR_STAGE_COPY, &s->where, s->pfns[i],
		       "the page table at pfn %#" PRIx64 " refers to pfn %#" PRIx64
		       ", the guest ends at %#" PRIx64,
		       s->pfns[i], pfn, xr_p2m_max(w->cfg->p2m));
}

static int localise(struct worker *w, const struct xr_copy_slot *s)
{
	unsigned char *page = w->map.now.addr;
	uint64_t pfn = 0;

	for (uint32_t i = 0; i < s->n; i++, page += XR_PAGE_SIZE) {
		int rc = xr_localise(page, w->cfg->p2m, &pfn);

		if (rc == -ERANGE)
			return blame_table(w, s, i, pfn);
		if (!rc)
			xr_p2m_localised(w->cfg->p2m, s->pfns[i]);
		xr_count(rc ? &w->lane->stats.lacking : &w->lane->stats.localised, 1);
	}
	return 0;
}

static int close_window(struct worker *w, const struct xr_copy_slot *s)
{
	int rc = xr_mappings_close(&w->map, &w->lane->error);

	w->leaving = rc > 0;
	xr_count(&w->lane->stats.frames_closed, s->n);
	return rc < 0 ? rc : 0;
}

static int clear_frames(struct worker *w, const struct xr_copy_slot *s)
{
	struct xr_kept *now = &w->map.now;
	int rc = xr_mappings_open(&w->map, s, &w->lane->error);
	uint64_t span;

	if (rc)
		return rc;
	memset(now->addr, 0, now->n * XR_PAGE_SIZE);
	xr_count(&w->lane->stats.cleared, now->n);
	span = XR_SPAN_BEGIN(unmap, now->n);
	rc = w->map.mapper->ops->unmap(w->map.mapper, now->addr, now->n);
	XR_SPAN_END(unmap, span, now->n, rc);
	xr_count(&w->lane->stats.unmap_calls, 1);
	if (!rc)
		now->addr = NULL;
	else
		xr_fail_host(&w->lane->error, rc, XR_STAGE_COPY, &s->where, s->pfns[0],
			     "cannot unmap frames that were cleared (error %d)", -rc);
	return rc;
}

static int drop_all(struct worker *w)
{
	int rc = xr_mappings_drop(&w->map, &w->lane->error);

	w->leaving = rc > 0;
	return rc < 0 ? rc : 0;
}

static int work_on(struct worker *w, const struct xr_copy_item *item)
{
	const struct xr_copy_slot *s = &w->lane->slots[item->slot];
	int rc;

	w->map.p2m = __atomic_load_n(&w->cfg->arena->pv, __ATOMIC_ACQUIRE) ? w->cfg->p2m : NULL;
	switch (item->op) {
	case XR_OP_OPEN:
		return xr_mappings_open(&w->map, s, &w->lane->error);
	case XR_OP_WRITE:
		return take_contents(w, item, s);
	case XR_OP_LOCALISE:
		return localise(w, s);
	case XR_OP_CLOSE:
		return close_window(w, s);
	case XR_OP_RETIRE:
		return xr_mappings_retire(&w->map, s, &w->lane->error);
	case XR_OP_CLEAR:
		rc = xr_mappings_retire(&w->map, s, &w->lane->error);
		return rc ? rc : clear_frames(w, s);
	case XR_OP_EXPECT:
		return xr_mappings_expect(&w->map, s, &w->lane->error);
	case XR_OP_DROP:
		return drop_all(w);
	}
	return -EINVAL;
}

static int work_traced(struct worker *w, const struct xr_copy_item *item)
{
	const uint64_t span = XR_SPAN_BEGIN(copy, item->op);
	const int rc = work_on(w, item);

	XR_SPAN_END(copy, span, item->op, rc);
	return rc;
}

static void finish(struct worker *w, struct xr_copy_item *item)
{
	xr_item_drop(item, w->cfg->pool);
	if (w->leaving)
		xr_count(&w->lane->leaving, 1);
	xr_count(&w->lane->done, 1);
	xr_event_signal(&w->cfg->arena->progress);
}

/* Wait for an item, or use the time. False: the arena says stop. */
static bool next_item(struct worker *w, struct xr_copy_item **item)
{
	struct xr_lane *l = w->lane;
	uint64_t place, began = xr_now(), busy = 0;
	bool stop;

	for (;;) {
		uint32_t seen = xr_event_value(&l->work);
		uint64_t t;
		int rc;

		stop = __atomic_load_n(&w->cfg->arena->stop, __ATOMIC_ACQUIRE);
		if (stop || xr_ring_pop(xr_lane_ring(l), &place))
			break;
		t = xr_now();
		rc = w->reported ? 0 : xr_mappings_idle(&w->map, &l->error);
		if (rc < 0)
			report(w);
		if (rc > 0)
			busy += xr_now() - t;
		else
			xr_event_wait(&l->work, seen, 1000);
	}
	xr_count(&l->stats.busy, busy);
	xr_count(&l->stats.starved, xr_now() - began - busy);
	if (!stop)
		*item = &l->items[place];
	return !stop;
}

static void loop(struct worker *w)
{
	struct xr_copy_item *item;

	while (!w->leaving && next_item(w, &item)) {
		uint64_t began = xr_now();

		if (!xr_arena_failed(w->cfg->arena) && work_traced(w, item))
			report(w);
		xr_count(&w->lane->stats.busy, xr_now() - began);
		finish(w, item);
	}
}

static int confine(struct worker *w, const struct xr_filter *filter)
{
	const int rc = filter ? xr_filter_put_on(filter) : 0;

	if (!rc || rc == -ENOSYS)
		return 0;
	errno = -rc;
	return xr_fail_host(&w->lane->error, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			    "copy worker %u cannot be confined: %m", w->number);
}

static int set_up(struct worker *w, const struct xr_filter *filter)
{
	struct xr_host *host = w->cfg->host;
	int rc = 0;

	w->scratch = malloc((size_t)XR_SCRATCH_PAGES * XR_PAGE_SIZE);
	if (!w->scratch)
		return xr_fail_host(&w->lane->error, -ENOMEM, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no memory for copy worker %u", w->number);
	rc = host->ops->mapper_open(host, &w->map.mapper);
	if (rc)
		xr_fail_host(&w->lane->error, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			     "copy worker %u cannot map memory of the guest (error %d)", w->number,
			     -rc);
	else if (w->map.mapper->unrestricted)
		__atomic_store_n(&w->cfg->arena->unrestricted, w->map.mapper->unrestricted,
				 __ATOMIC_RELAXED);
	return rc ? rc : confine(w, filter);
}

/* The last thing that touches the lane: from here on it is the successor's. */
static void hand_over(struct worker *w)
{
	if (w->leaving)
		xr_count(&w->lane->left, 1);
}

void xr_worker_run(const struct xr_crew_config *cfg, unsigned int lane,
		   const struct xr_filter *filter)
{
	struct worker w = {
		.cfg = cfg,
		.lane = &cfg->arena->lane[lane],
		.number = lane,
		.map = { .keep = cfg->keep, .stats = &cfg->arena->lane[lane].stats },
	};

	xr_trace_row = XR_TRACE_WORKER + lane;
	if (set_up(&w, filter))
		report(&w);
	__atomic_store_n(&w.lane->ready, 1, __ATOMIC_RELEASE);
	xr_event_signal(&cfg->arena->progress);
	loop(&w);
	if (cfg->keep.when != XR_UNMAP_AT_EXIT && w.map.mapper)
		xr_mappings_free(&w.map);
	if (cfg->keep.when != XR_UNMAP_AT_EXIT && w.map.mapper)
		cfg->host->ops->mapper_close(w.map.mapper);
	free(w.scratch);
	hand_over(&w);
}
