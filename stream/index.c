/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The index of a regular file: one walk over headers and pfn arrays. */
#include "stream/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define STEP 512u /* entries at a time; strewn all over, they take 9 MiB of the sets */

struct build {
	struct xr_frame *f;
	struct xr_index *x;
	struct xr_pfnset *filled; /* pfns that hold contents, as far as we have come */
	unsigned int room;	  /* passes that x has memory for */
	uint64_t last_pfn;
	uint64_t marked, stride; /* of the first pass: records seen; records from mark to mark */
	bool touched;		 /* a control record that must keep its place before what follows */
	bool closed;		 /* a control record stood behind pages */
	bool served;		 /* so far the stream has the shape that an index is for */
};

void xr_index_free(struct xr_index *x)
{
	if (!x)
		return;
	xr_pfnset_free(x->want);
	xr_pfnset_free(x->later);
	free(x->passes);
	free(x);
}

size_t xr_index_run(const uint64_t *e, size_t n)
{
	size_t i = 1;

	while (i + 16 <= n) {
		uint64_t differ = 0;

		for (size_t k = i; k < i + 16; k++)
			differ |= e[k] ^ (e[0] + k);
		if (differ)
			break;
		i += 16;
	}
	while (i < n && e[i] == e[0] + i)
		i++;
	return i;
}

static int add_contents(struct build *b, uint64_t first, uint64_t n)
{
	int rc = xr_pfnset_add(b->x->want, first, n);

	if (!rc)
		rc = xr_pfnset_add(b->filled, first, n);
	if (!rc && b->x->npasses > 1)
		rc = xr_pfnset_add(b->x->later, first, n);
	b->x->pages += n;
	return rc;
}

/*
 * RAM without contents. Where a later pass takes the frame away and gives a fresh one, contents
 * from before must not come back: those of the first pass are kept out by `later`. Those of a pass
 * in between cannot be told from newer ones by any set: then there is no index.
 */
static int add_empty(struct build *b, uint64_t first, uint64_t n)
{
	const uint64_t end = first + n;
	uint64_t from = first;
	int rc = 0;

	while (!rc && b->x->npasses > 1) {
		uint64_t to;

		from = xr_pfnset_next(b->x->want, from, true);
		if (from >= end)
			break;
		to = xr_pfnset_next(b->x->want, from, false);
		to = to < end ? to : end;
		if (xr_pfnset_next(b->x->later, from, false) < to) {
			b->served = false;
			return 0;
		}
		rc = xr_pfnset_add(b->x->later, from, to - from);
		from = to;
	}
	return rc ? rc : xr_pfnset_add(b->x->want, first, n);
}

static int take_away(struct build *b, uint64_t first, uint64_t n)
{
	int rc;

	if (b->x->npasses == 1)
		return 0; /* it was not there */
	rc = xr_pfnset_del(b->x->want, first, n);
	return rc ? rc : xr_pfnset_del(b->filled, first, n);
}

static size_t index_bytes(const struct build *b)
{
	return xr_pfnset_bytes(b->x->want) + xr_pfnset_bytes(b->x->later) +
	       xr_pfnset_bytes(b->filled);
}

static int add_entries(struct build *b, const uint64_t *e, size_t n)
{
	int rc = 0;

	for (size_t i = 0, run; !rc && b->served && i < n; i += run) {
		const unsigned int type = XR_ENTRY_TYPE(e[i]);
		const uint64_t pfn = XR_ENTRY_PFN(e[i]);

		run = xr_index_run(e + i, n - i);
		if (xr_page_in(XR_PAGES_DATA, type))
			rc = add_contents(b, pfn, run);
		else if (xr_page_in(XR_PAGES_RAM, type))
			rc = add_empty(b, pfn, run);
		else
			rc = take_away(b, pfn, run);
	}
	if (!rc) {
		if (index_bytes(b) > XR_INDEX_BYTES)
			b->served = false;
		return 0;
	}
	return xr_fail_host(b->f->err, rc, XR_STAGE_STREAM, &b->f->rec.where, XR_NO_PFN,
			    "no memory for the index of the stream");
}

static int new_pass(struct build *b)
{
	struct xr_index *x = b->x;

	if (x->npasses == XR_INDEX_PASSES) {
		b->served = false;
		return 0;
	}
	if (x->npasses == b->room) {
		const unsigned int room = b->room ? 2 * b->room : 8;
		void *more = realloc(x->passes, room * sizeof(x->passes[0]));

		if (!more)
			return xr_fail_host(b->f->err, -ENOMEM, XR_STAGE_STREAM, &b->f->rec.where,
					    XR_NO_PFN, "no memory for the index of the stream");
		x->passes = more;
		b->room = room;
	}
	x->passes[x->npasses].begin = b->f->rec.where.offset;
	x->passes[x->npasses].record = b->f->rec.where.record;
	x->npasses++;
	return 0;
}

/* One of `stride` records; every other mark goes when there is no room for more. */
static void mark_record(struct build *b, uint64_t first)
{
	struct xr_index *x = b->x;
	const struct xr_where *at = &b->f->rec.where;

	if (b->marked++ % b->stride)
		return;
	if (x->nmarks == XR_INDEX_MARKS) {
		for (unsigned int i = 1; i < XR_INDEX_MARKS / 2; i++)
			x->mark[i] = x->mark[2 * i];
		x->nmarks /= 2;
		b->stride *= 2;
	}
	x->mark[x->nmarks++] = (struct xr_index_mark){ first, at->offset, at->record };
}

/* A record belongs to the pass before it, or begins one. */
static int place_record(struct build *b, uint64_t first)
{
	int rc = 0;

	if (b->touched || b->closed)
		b->served = false;
	if (!b->served)
		return 0;
	if (!b->x->npasses || first <= b->last_pfn)
		rc = new_pass(b);
	if (rc)
		return rc;
	/* There is a pass. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	b->x->passes[b->x->npasses - 1].end = b->f->end;
	if (b->x->npasses == 1)
		mark_record(b, first);
	return 0;
}

static int pages(struct build *b, uint64_t *entries)
{
	struct xr_pages p;
	int rc;

	rc = xr_frame_pages(b->f, &p);
	while (!rc && p.done < p.count) {
		const bool begins = p.done == 0;
		const uint32_t left = p.count - p.done, n = left < STEP ? left : STEP;

		rc = xr_frame_entries(b->f, &p, entries, n);
		if (!rc && begins)
			rc = place_record(b, p.first);
		if (!rc && !p.ascending)
			b->served = false;
		if (!rc)
			rc = add_entries(b, entries, n);
	}
	b->last_pfn = p.last;
	return rc;
}

static int control(struct build *b)
{
	const uint32_t type = b->f->rec.where.type;
	void *body;
	int rc;

	rc = xr_frame_body(b->f, &body);
	free(body);
	b->touched |= type == XR_REC_VERIFY || type == XR_REC_HVM_PARAMS;
	b->closed |= b->x->npasses > 0;
	return rc;
}

/* The stream is followed to its end also when it is not served: it may be in error. */
static int walk(struct build *b, const struct xr_stream_config *cfg, uint64_t *entries)
{
	int rc;

	for (;;) {
		rc = xr_frame_next(b->f);
		if (rc)
			return rc;
		switch (b->f->rec.kind) {
		case XR_RECORD_CONTROL:
			rc = control(b);
			break;
		case XR_RECORD_PAGES:
			rc = pages(b, entries);
			break;
		case XR_RECORD_CHECKPOINT:
			b->served = false;
			return 0;
		case XR_RECORD_END:
			return 0;
		case XR_RECORD_SKIP:
			break;
		}
		if (rc)
			return rc;
		if (cfg->indexed)
			cfg->indexed(cfg->ctx, b->f->end);
	}
}

static int new_build(struct build *b, struct xr_stream *s)
{
	b->f = &s->frame;
	b->served = !s->info.pv;
	b->stride = 1;
	b->x = calloc(1, sizeof(*b->x));
	b->filled = xr_pfnset_new();
	if (b->x) {
		b->x->want = xr_pfnset_new();
		b->x->later = xr_pfnset_new();
	}
	if (b->x && b->filled && b->x->want && b->x->later)
		return 0;
	return xr_fail_host(b->f->err, -ENOMEM, XR_STAGE_STREAM, NULL, XR_NO_PFN,
			    "no memory for the index of the stream");
}

/* Back to the first record, as if nothing had been read. */
static void rewind_stream(struct xr_stream *s)
{
	xr_reader_settle(&s->frame.rd);
	s->frame.dec = s->fresh;
	s->frame.front = XR_CHUNK;
	memset(&s->frame.rec, 0, sizeof(s->frame.rec));
	xr_stage_rewind(s, s->first, 0);
}

int xr_stream_index(struct xr_stream *s, struct xr_index **out, struct xr_error *err)
{
	struct build b = { 0 };
	struct xr_error own;
	int rc;

	*out = NULL;
	if (!s->info.seekable)
		return 0;
	if (!err) {
		err = &own;
		xr_error_clear(err);
	}
	s->frame.err = err;
	posix_fadvise(s->cfg.fd, 0, 0, POSIX_FADV_RANDOM);
	rc = new_build(&b, s);
	if (!rc)
		rc = walk(&b, &s->cfg, s->work->entries);
	if (!rc && b.served) {
		b.x->records = s->frame.dec.records;
		b.x->end_offset = s->frame.end;
		b.x->live_pages = xr_pfnset_count(b.filled);
		*out = b.x;
		b.x = NULL;
	}
	posix_fadvise(s->cfg.fd, 0, 0, POSIX_FADV_NORMAL);
	xr_pfnset_free(b.filled);
	xr_index_free(b.x);
	rewind_stream(s);
	return rc;
}
