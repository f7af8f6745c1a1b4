/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control loop: takes items from the stream in order, has their frames backed, hands their
 * contents to the copy workers, and puts a barrier where a control record needs one. While there is
 * nothing to take it lets populate work ahead.
 */
#include "base/clock.h"
#include "base/trace.h"
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Items held back so that populate sees what follows: more than a 2M region in small records. */
#define LOOKAHEAD 16u
#define TICK_MS 50u

struct pump {
	struct xr_restore *r;
	struct xr_item *queue[LOOKAHEAD];
	unsigned int head, used;
	bool ended; /* END or ERROR is in the queue: nothing follows */

	bool window;   /* a window over the whole current record is open */
	size_t filled; /* frames of it that have got their contents */

	uint64_t pfns[XR_CHUNK];
	uint32_t page[XR_CHUNK];
};

static struct xr_item *peek(const struct pump *p, unsigned int i)
{
	return p->queue[(p->head + i) % LOOKAHEAD];
}

static void push(struct pump *p, struct xr_item *it)
{
	p->queue[(p->head + p->used++) % LOOKAHEAD] = it;
	p->ended |= it->kind == XR_ITEM_END || it->kind == XR_ITEM_ERROR;
}

static struct xr_item *pop(struct pump *p)
{
	struct xr_item *it = peek(p, 0);

	p->head = (p->head + 1) % LOOKAHEAD;
	p->used--;
	return it;
}

int xr_pulse(struct xr_restore *r, struct xr_error *err)
{
	int rc = xr_check_cancel(r, err);

	if (rc)
		return rc;
	rc = xr_copy_check(r->copy, err);
	if (rc)
		return rc;
	xr_progress_tell(r);
	return 0;
}

static void take_ready(struct pump *p)
{
	struct xr_item *it;

	while (!p->ended && p->used < LOOKAHEAD && (it = xr_stream_next(p->r->stream, 0)))
		push(p, it);
}

/* Wait for an item, working ahead meanwhile. */
static int fill(struct pump *p, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	struct xr_item *it;
	uint64_t begun, span;
	int rc;

	take_ready(p);
	while (!p->used) {
		rc = xr_pulse(r, err);
		if (rc)
			return rc;
		/* Memory comes after static data, by the rule of the stream. */
		rc = r->guest.static_done ? xr_physmap_ahead(r->pm, err) : 0;
		if (rc < 0)
			return rc;
		begun = xr_now();
		span = XR_SPAN_BEGIN(wait, rc);
		it = xr_stream_next(r->stream, rc ? 0 : TICK_MS);
		XR_SPAN_END(wait, span, rc, it != NULL);
		r->starved += xr_now() - begun;
		if (it)
			push(p, it);
	}
	return 0;
}

/* Wait for a worker to have room; what there is to populate comes first. */
static int make_room(struct xr_restore *r, struct xr_error *err)
{
	int rc = 1;

	while (rc > 0 && !xr_copy_has_room(r->copy))
		rc = xr_physmap_ahead(r->pm, err);
	return rc < 0 ? rc : 0;
}

static struct xr_entries entries_of(const struct xr_item *it)
{
	return (struct xr_entries){ .where = it->where, .n = it->n, .entry = it->entries };
}

static int open_window(struct pump *p, const struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	size_t n = 0;
	int rc;

	for (unsigned int i = 0; i < it->n; i++)
		if (xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(it->entries[i])))
			p->pfns[n++] = XR_ENTRY_PFN(it->entries[i]);
	if (!n)
		return 0;
	rc = make_room(r, err);
	if (!rc)
		rc = xr_copy_begin(r->copy, &it->where, p->pfns, n, r->verify, err);
	p->window = !rc;
	p->filled = 0;
	return rc;
}

static int do_types(struct pump *p, const struct xr_item *it, struct xr_error *err)
{
	const unsigned int whole = XR_ITEM_FIRST | XR_ITEM_LAST;
	struct xr_entries now = entries_of(it), next[LOOKAHEAD];
	const struct xr_entries *nextp[LOOKAHEAD];
	size_t n = 0;
	int rc;

	for (unsigned int i = 0; i < p->used; i++) {
		if (peek(p, i)->kind != XR_ITEM_TYPES)
			continue;
		next[n] = entries_of(peek(p, i));
		nextp[n] = &next[n];
		n++;
	}
	rc = xr_physmap_apply(p->r->pm, &now, nextp, n, err);
	if (!rc && p->r->guest.ops->types)
		rc = p->r->guest.ops->types(p->r, it, err);
	if (!rc && (it->flags & whole) == whole)
		rc = open_window(p, it, err);
	return rc;
}

/* Which entries of a DATA item are to be written, as a window: pfns[] from source pages page[]. */
static size_t select_entries(struct pump *p, const struct xr_item *it)
{
	struct xr_restore *r = p->r;
	struct xr_pfnset *later = r->index ? r->index->later : NULL;
	size_t n = 0;

	for (unsigned int i = 0; i < it->n; i++) {
		uint64_t pfn = XR_ENTRY_PFN(it->entries[i]);

		if (later) {
			if (xr_pfnset_has(later, pfn) != (it->pass > 1) ||
			    !xr_pfnset_has(r->index->want, pfn))
				continue;
		} else if (!xr_physmap_has(r->pm, pfn)) {
			continue;
		}
		p->pfns[n] = pfn;
		p->page[n++] = it->flags & XR_ITEM_SPARSE ? it->page[i] : i;
	}
	return n;
}

static int mark_written(struct pump *p, const struct xr_item *it, size_t n, struct xr_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (xr_pfnset_del(p->r->index->later, p->pfns[i], 1))
			return xr_fail_host(err, -ENOMEM, XR_STAGE_ENGINE, &it->where, p->pfns[i],
					    "no memory");
	return 0;
}

/* A window of its own for this item. Consumes the item's buffer. */
static int write_alone(struct pump *p, const struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	size_t n = select_entries(p, it);
	int rc = 0;

	r->live += n;

	if (r->index && n) {
		rc = xr_physmap_ensure(r->pm, &it->where, p->pfns, n, err);
		if (!rc && it->pass > 1)
			rc = mark_written(p, it, n, err);
	}
	if (!rc && n)
		rc = make_room(r, err);
	if (!rc && n)
		rc = xr_copy_begin(r->copy, &it->where, p->pfns, n, it->flags & XR_ITEM_VERIFY,
				   err);
	if (rc || !n) {
		if (it->buffer >= 0)
			xr_bufpool_drop(r->pool, (unsigned int)it->buffer);
		return rc;
	}
	rc = xr_copy_data(r->copy, 0, n, p->page, it->buffer, it->file_offset, err);
	return rc ? rc : xr_copy_end(r->copy, err);
}

static int do_data(struct pump *p, const struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	int rc;

	if (!p->window)
		return write_alone(p, it, err);
	rc = xr_copy_data(r->copy, p->filled, it->n, it->flags & XR_ITEM_SPARSE ? it->page : NULL,
			  it->buffer, it->file_offset, err);
	p->filled += it->n;
	if (!rc && it->flags & XR_ITEM_LAST) {
		p->window = false;
		rc = xr_copy_end(r->copy, err);
	}
	return rc;
}

static int do_control(struct pump *p, struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	int rc;

	xr_receipt_record(r, it);
	rc = xr_control_common(r, it, err);
	return rc == -ENOENT ? r->guest.ops->control(r, it, err) : rc;
}

static void account(struct xr_restore *r, const struct xr_item *it)
{
	const struct xr_stream_info *in = xr_stream_info(r->stream);
	const uint64_t begin = in->start_offset + in->libxc_offset;

	if (it->kind == XR_ITEM_ERROR)
		return;
	r->at = it->where;
	if (it->where.record != XR_NO_RECORD && it->where.record + 1 > r->records)
		r->records = it->where.record + 1;
	if (it->end_offset > begin && it->end_offset - begin > r->bytes)
		r->bytes = it->end_offset - begin;
	if (it->kind == XR_ITEM_TYPES || it->kind == XR_ITEM_DATA)
		r->pass = it->pass;
	if (it->kind == XR_ITEM_DATA)
		r->pages_received += it->n;
}

/* An item that changes the guest. */
static int apply(struct pump *p, struct xr_item *it, struct xr_error *err)
{
	if (it->kind == XR_ITEM_CONTROL)
		return do_control(p, it, err);
	return it->kind == XR_ITEM_TYPES ? do_types(p, it, err) : do_data(p, it, err);
}

/* Its body, which may be large, is only there from now on. */
static int apply_kept(struct pump *p, struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	int rc = xr_backlog_load(r->backlog, it, err);

	r->at = it->where;
	if (!rc)
		rc = apply(p, it, err);
	xr_backlog_release(r->backlog, it);
	return rc ? rc : xr_pulse(r, err);
}

static int take_kept(struct pump *p, struct xr_error *err)
{
	struct xr_item *it;
	int rc = 1;

	while (rc > 0 && p->used < LOOKAHEAD) {
		rc = xr_backlog_next(p->r->backlog, &it, err);
		if (rc > 0)
			push(p, it);
	}
	return rc < 0 ? rc : 0;
}

/* All of a checkpoint that is good. The stream rests, so the queue is free. */
static int apply_backlog(struct pump *p, struct xr_error *err)
{
	int rc;

	do {
		rc = take_kept(p, err);
		if (!rc && p->used)
			rc = apply_kept(p, pop(p), err);
	} while (!rc && p->used);
	while (p->used)
		xr_backlog_release(p->r->backlog, pop(p));
	return rc;
}

/* 1: failover. */
static int do_checkpoint(struct pump *p, const struct xr_item *it, struct xr_error *err)
{
	struct xr_restore *r = p->r;
	int rc = xr_checkpoint_ask(r, &it->where, err);

	if (!rc && r->check.buffering)
		rc = apply_backlog(p, err);
	if (!rc)
		rc = xr_checkpoint_taken(r, &it->where, err);
	if (!rc)
		xr_stream_resume(r->stream);
	return rc;
}

/* 1: the end. */
static int handle(struct pump *p, struct xr_item *it, struct xr_error *err)
{
	switch (it->kind) {
	case XR_ITEM_CONTROL:
	case XR_ITEM_TYPES:
	case XR_ITEM_DATA:
		if (p->r->check.buffering)
			return xr_checkpoint_keep(p->r, it, err);
		return apply(p, it, err);
	case XR_ITEM_CHECKPOINT:
		return do_checkpoint(p, it, err);
	case XR_ITEM_END:
	case XR_ITEM_ERROR:
		break;
	}
	return xr_checkpoint_end(p->r, it, err);
}

static void drop_queue(struct pump *p)
{
	while (p->used) {
		struct xr_item *it = pop(p);

		if (it->kind == XR_ITEM_DATA && it->buffer >= 0)
			xr_bufpool_drop(p->r->pool, (unsigned int)it->buffer);
		xr_stream_release(p->r->stream, it);
	}
}

/* What an index promised and the second reading did not bring was changed in between. */
static int check_index(struct xr_restore *r, struct xr_error *err)
{
	if (!r->index || r->live == r->index->live_pages)
		return 0;
	return xr_fail(err, -EBADMSG, XR_STAGE_STREAM, NULL, XR_NO_PFN,
		       "the file changed while it was read: it held %" PRIu64
		       " pages to restore, then %" PRIu64,
		       r->index->live_pages, r->live);
}

static void sample(const struct pump *p)
{
	const struct xr_restore *r = p->r;
	struct xr_copy_stats cs;

	if (!xr_trace_on)
		return;
	xr_copy_stats(r->copy, &cs);
	XR_SAMPLE(queued, p->used, cs.queued);
	XR_SAMPLE(moved, r->bytes, cs.pages_written);
	XR_SAMPLE(pass, r->pass, r->pages_received);
}

int xr_pump(struct xr_restore *r, struct xr_error *err)
{
	struct pump p = { .r = r };
	int rc = 0;

	xr_progress_start(r);
	while (!rc) {
		struct xr_item *it;
		uint64_t span;

		rc = fill(&p, err);
		if (rc)
			break;
		take_ready(&p);
		it = pop(&p);
		account(r, it);
		span = XR_SPAN_BEGIN(item, it->kind);
		rc = handle(&p, it, err);
		XR_SPAN_END(item, span, it->kind, rc);
		sample(&p);
		xr_stream_release(r->stream, it);
		if (!rc)
			rc = xr_pulse(r, err);
	}
	drop_queue(&p);
	if (rc > 0)
		rc = check_index(r, err);
	return rc;
}
