/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread of the stream stage: records become items, in stream order or in the index's. */
#include "stream/stage.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENDED 1 /* END was sent */

static bool stopped(const struct xr_stream *s)
{
	return __atomic_load_n(&s->stopping, __ATOMIC_ACQUIRE) ||
	       xr_io_poll(-1, s->stop, 0) == -ECANCELED;
}

static int fail_stopped(struct xr_stream *s)
{
	return xr_fail(&s->error, -ECANCELED, XR_STAGE_STREAM, &s->frame.rec.where, XR_NO_PFN,
		       "stopped while waiting for the stages behind the stream");
}

static void note_waits(struct xr_stream *s, uint64_t blocked_since)
{
	if (blocked_since)
		__atomic_fetch_add(&s->blocked, xr_now() - blocked_since, __ATOMIC_RELAXED);
	__atomic_store_n(&s->starved, xr_reader_waited(&s->frame.rd), __ATOMIC_RELAXED);
}

static void fill_head(struct xr_stream *s, struct xr_item *item, enum xr_item_kind kind)
{
	item->kind = kind;
	item->flags = 0;
	item->where = s->frame.rec.where;
	item->end_offset = s->frame.end;
	item->pass = s->pass;
	item->n = 0;
	item->buffer = -1;
	item->file_offset = 0;
	item->length = 0;
	item->body = NULL;
}

struct xr_item *xr_stage_item(struct xr_stream *s, enum xr_item_kind kind)
{
	uint64_t since = 0, i;

	for (;;) {
		const uint32_t seen = xr_event_value(&s->released);

		if (xr_ring_pop(s->idle, &i))
			break;
		if (!since)
			since = xr_now();
		if (stopped(s)) {
			fail_stopped(s);
			return NULL;
		}
		xr_event_wait(&s->released, seen, XR_STAGE_TICK_MS);
	}
	note_waits(s, since);
	fill_head(s, &s->items[i], kind);
	return &s->items[i];
}

int xr_stage_buffer(struct xr_stream *s)
{
	struct xr_bufpool *pool = s->cfg.pool;
	uint64_t since = 0;
	int buffer;

	for (;;) {
		const uint32_t seen = xr_event_value(&pool->freed);

		buffer = xr_bufpool_take(pool);
		if (buffer >= 0)
			break;
		if (!since)
			since = xr_now();
		if (stopped(s))
			return fail_stopped(s);
		xr_event_wait(&pool->freed, seen, XR_STAGE_TICK_MS);
	}
	note_waits(s, since);
	return buffer;
}

void xr_stage_push(struct xr_stream *s, struct xr_item *item)
{
	xr_ring_push(s->ready, (uint64_t)(item - s->items));
	xr_event_signal(&s->pushed);
}

/* Bodies that wait to be handled take no more than one of the largest would. */
static int wait_for_control_room(struct xr_stream *s, uint32_t length)
{
	uint64_t since = 0;

	for (;;) {
		const uint32_t seen = xr_event_value(&s->released);
		const uint64_t held = __atomic_load_n(&s->control_bytes, __ATOMIC_ACQUIRE);

		if (!held || held + length <= XR_CONTROL_MAX)
			break;
		if (!since)
			since = xr_now();
		if (stopped(s))
			return fail_stopped(s);
		xr_event_wait(&s->released, seen, XR_STAGE_TICK_MS);
	}
	note_waits(s, since);
	return 0;
}

static int send_control(struct xr_stream *s, struct xr_record rec)
{
	struct xr_item *item;
	void *body;
	int rc;

	rc = wait_for_control_room(s, rec.length);
	if (rc)
		return rc;
	rc = xr_frame_body(&s->frame, &body);
	if (rc)
		return rc;
	item = xr_stage_item(s, XR_ITEM_CONTROL);
	if (!item) {
		free(body);
		return -ECANCELED;
	}
	s->verify |= rec.where.type == XR_REC_VERIFY;
	item->body = body;
	item->length = rec.length;
	__atomic_fetch_add(&s->control_bytes, rec.length, __ATOMIC_RELAXED);
	xr_stage_push(s, item);
	return 0;
}

static int send_inferred_static_end(struct xr_stream *s)
{
	struct xr_item *item = xr_stage_item(s, XR_ITEM_CONTROL);

	if (!item)
		return -ECANCELED;
	item->where.type = XR_REC_STATIC_DATA_END;
	item->end_offset = item->where.offset;
	xr_stage_push(s, item);
	return 0;
}

static int fail_offset(struct xr_stream *s)
{
	const int code = -errno;

	return xr_fail_host(&s->error, code, XR_STAGE_STREAM, &s->frame.rec.where, XR_NO_PFN,
			    "cannot move in the stream's file: %s", strerrordesc_np(-code));
}

/* Between CHECKPOINT and resume the fd, and so its offset, is the consumer's. */
static int lend_fd(struct xr_stream *s)
{
	uint32_t resumes = __atomic_load_n(&s->resumes, __ATOMIC_RELAXED);
	struct xr_item *item = xr_stage_item(s, XR_ITEM_CHECKPOINT);
	const uint64_t since = xr_now();
	off_t at;

	if (!item)
		return -ECANCELED;
	xr_reader_settle(&s->frame.rd);
	if (s->info.seekable && lseek(s->cfg.fd, (off_t)s->frame.end, SEEK_SET) < 0)
		return fail_offset(s);
	s->consumed = XR_NO_OFFSET;
	xr_stage_push(s, item);
	for (;;) {
		const uint32_t seen = xr_event_value(&s->resumed);

		if (__atomic_load_n(&s->resumes, __ATOMIC_ACQUIRE) != resumes)
			break;
		if (stopped(s))
			return fail_stopped(s);
		xr_event_wait(&s->resumed, seen, XR_STAGE_TICK_MS);
	}
	note_waits(s, since);
	if (!s->info.seekable)
		return 0;
	at = lseek(s->cfg.fd, 0, SEEK_CUR);
	if (at < 0)
		return fail_offset(s);
	xr_stage_rewind(s, (uint64_t)at, s->frame.dec.records);
	s->consumed = s->frame.end;
	return 0;
}

static void send_last(struct xr_stream *s, enum xr_item_kind kind)
{
	struct xr_item *item = &s->items[XR_STAGE_ITEMS];

	fill_head(s, item, kind);
	item->error = s->error;
	if (kind == XR_ITEM_ERROR) {
		item->where.offset = s->error.offset;
		item->where.record = s->error.record;
		item->where.type = s->error.type;
	}
	note_waits(s, 0);
	xr_stage_push(s, item);
}

/* The next record, whatever it is, unless pass says that only pages can be here. */
static int one_record(struct xr_stream *s, unsigned int pass)
{
	struct xr_frame *f = &s->frame;
	int rc;

	rc = xr_frame_next(f);
	if (!rc && f->rec.static_end)
		rc = send_inferred_static_end(s);
	if (rc)
		return rc;
	if (pass && f->rec.kind != XR_RECORD_PAGES && f->rec.kind != XR_RECORD_SKIP)
		return xr_frame_bad(f, "the stream's file was changed while it was restored");
	switch (f->rec.kind) {
	case XR_RECORD_CONTROL:
		return send_control(s, f->rec);
	case XR_RECORD_PAGES:
		return xr_stage_pages(s, pass);
	case XR_RECORD_CHECKPOINT:
		return lend_fd(s);
	case XR_RECORD_END:
		return ENDED;
	case XR_RECORD_SKIP:
		break;
	}
	return 0;
}

static int run_in_order(struct xr_stream *s)
{
	int rc;

	do {
		rc = one_record(s, 0);
		if (!rc && s->consumed != XR_NO_OFFSET)
			s->consumed = s->frame.end;
	} while (!rc);
	return rc;
}

/* Records up to an offset at which the index saw one begin. */
static int run_until(struct xr_stream *s, uint64_t offset, unsigned int pass)
{
	int rc = 0;

	while (!rc && s->frame.end < offset)
		rc = one_record(s, pass);
	if (!rc && s->frame.end != offset)
		rc = xr_frame_bad(&s->frame, "the stream's file was changed while it was restored");
	return rc;
}

static int run_pass(struct xr_stream *s, unsigned int i)
{
	const struct xr_index_pass *p = &s->index->passes[i];

	xr_stage_rewind(s, p->begin, p->record);
	s->pass = i + 1;
	s->last_pfn = XR_NO_PFN;
	return run_until(s, p->end, i + 1);
}

static int run_indexed(struct xr_stream *s)
{
	const struct xr_index *x = s->index;
	uint64_t behind = 0;
	int rc = 0;

	if (x->npasses) {
		rc = run_until(s, x->passes[0].begin, 0);
		if (!rc)
			s->consumed = s->frame.end;
		if (!rc)
			rc = run_pass(s, 0);
		behind = s->frame.dec.records;
	}
	for (unsigned int i = x->npasses; !rc && i > 1; i--) {
		rc = run_pass(s, i - 1);
		if (i == x->npasses)
			behind = s->frame.dec.records;
	}
	if (!rc && x->npasses)
		xr_stage_rewind(s, x->passes[x->npasses - 1].end, behind);
	if (!rc)
		rc = run_until(s, x->end_offset, 0);
	if (!rc || (rc == ENDED && s->frame.end != x->end_offset))
		rc = xr_frame_bad(&s->frame, "the stream's file was changed while it was restored");
	return rc;
}

void *xr_stage_run(void *stream)
{
	struct xr_stream *s = stream;
	int rc;

	pthread_setname_np(pthread_self(), "xr-stream");
	s->last_pfn = XR_NO_PFN;
	s->pass = 1;
	rc = s->index ? run_indexed(s) : run_in_order(s);
	if (rc == ENDED && s->consumed != XR_NO_OFFSET)
		s->consumed = s->frame.end;
	xr_reader_settle(&s->frame.rd);
	send_last(s, rc == ENDED ? XR_ITEM_END : XR_ITEM_ERROR);
	__atomic_store_n(&s->ended, xr_now(), __ATOMIC_RELAXED);
	return NULL;
}
