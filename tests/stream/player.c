/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/player.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000u

static void note(struct play *p, const void *bytes, size_t n)
{
	const unsigned char *b = bytes;

	for (; n >= 8; n -= 8, b += 8) {
		uint64_t word;

		memcpy(&word, b, 8);
		p->log = (p->log ^ word) * 0x9e3779b97f4a7c15ull;
		p->log ^= p->log >> 29;
	}
	for (size_t i = 0; i < n; i++)
		p->log = (p->log ^ b[i]) * 0x100000001b3ull;
}

static void *keep(struct play *p, size_t n)
{
	void *block = malloc(n);

	p->kept = realloc(p->kept, (p->nkept + 1) * sizeof(*p->kept));
	cr_assert(block && p->kept);
	p->kept[p->nkept++] = block;
	return block;
}

static int by_pfn(const void *a, const void *b)
{
	const uint64_t x = XR_ENTRY_PFN(*(const uint64_t *)a),
		       y = XR_ENTRY_PFN(*(const uint64_t *)b);

	return x < y ? -1 : x > y;
}

static void check_distinct(const struct xr_item *item)
{
	static uint64_t sorted[XR_CHUNK];

	cr_assert(item->n > 0 && item->n <= XR_CHUNK);
	memcpy(sorted, item->entries, item->n * sizeof(sorted[0]));
	qsort(sorted, item->n, sizeof(sorted[0]), by_pfn);
	for (unsigned int i = 1; i < item->n; i++)
		cr_assert_neq(XR_ENTRY_PFN(sorted[i - 1]), XR_ENTRY_PFN(sorted[i]));
}

/* FIRST and LAST frame the items of a record, and nothing comes between. */
static void check_frame(struct play *p, const struct xr_item *item, bool *open)
{
	cr_assert_eq(!!(item->flags & XR_ITEM_FIRST), !*open);
	cr_assert(!*open || item->where.record == p->record);
	*open = !(item->flags & XR_ITEM_LAST);
	p->record = item->where.record;
}

/* The model takes records: this one says the types and nothing of contents. */
static void apply_types(struct play *p, const uint64_t *entries, size_t n)
{
	uint64_t *body = malloc(8 + 8 * n);

	((uint32_t *)body)[0] = (uint32_t)n;
	((uint32_t *)body)[1] = 0;
	for (size_t i = 0; i < n; i++)
		body[1 + i] =
			XR_ENTRY_PFN(entries[i]) |
			(xr_page_in(XR_PAGES_RAM, XR_ENTRY_TYPE(entries[i])) ? 0xeull : 0xfull)
				<< 60;
	cr_assert(refmodel_record(&p->m, XR_REC_PAGE_DATA, body, (uint32_t)(8 + 8 * n)));
	free(body);
}

static void play_types(struct play *p, const struct xr_item *item)
{
	cr_assert_not(p->in_data);
	check_frame(p, item, &p->in_types);
	check_distinct(item);
	note(p, item->entries, item->n * sizeof(item->entries[0]));
	apply_types(p, item->entries, item->n);
	if (item->pass > p->passes)
		p->passes = item->pass;
}

static void fetch(const struct xr_item *item, unsigned int i, int fd, struct xr_bufpool *pool,
		  unsigned char page[4096])
{
	const size_t at = (item->flags & XR_ITEM_SPARSE ? item->page[i] : i) * (size_t)4096;

	if (item->buffer >= 0) {
		cr_assert(at + 4096 <= pool->size);
		memcpy(page, xr_bufpool_data(pool, (unsigned int)item->buffer) + at, 4096);
	} else if (pread(fd, page, 4096, (off_t)(item->file_offset + at)) != 4096) {
		memset(page, 0, 4096); /* the file was cut behind the stage's back */
	}
}

/* By the rules of the index if there is one. */
static bool is_live(struct play *p, const struct xr_item *item, struct xr_index *x, uint64_t pfn)
{
	if (!x)
		return refmodel_backed(&p->m, pfn);
	if (!xr_pfnset_has(x->want, pfn))
		return false;
	if (item->pass == 1)
		return !xr_pfnset_has(x->later, pfn);
	if (!xr_pfnset_has(x->later, pfn))
		return false;
	cr_assert_eq(xr_pfnset_del(x->later, pfn, 1), 0);
	return true;
}

static void play_data(struct play *p, const struct xr_item *item, int fd, struct xr_bufpool *pool,
		      struct xr_index *x)
{
	cr_assert_not(p->in_types);
	check_frame(p, item, &p->in_data);
	check_distinct(item);
	cr_assert_eq(!!(item->flags & XR_ITEM_VERIFY), p->m.verify);
	for (unsigned int i = 0; i < item->n; i++) {
		unsigned char *body = keep(p, 16 + 4096);
		const uint64_t head[2] = { 1, item->entries[i] };

		cr_assert(xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(item->entries[i])));
		memcpy(body, head, 16);
		fetch(item, i, fd, pool, body + 16);
		note(p, body, 16 + 4096);
		p->contents++;
		if (!is_live(p, item, x, XR_ENTRY_PFN(item->entries[i])))
			continue;
		p->live++;
		cr_assert(refmodel_record(&p->m, XR_REC_PAGE_DATA, body, 16 + 4096));
	}
	if (item->buffer >= 0)
		xr_bufpool_drop(pool, (unsigned int)item->buffer);
}

static void play_control(struct play *p, const struct xr_item *item)
{
	cr_assert(!item->body == !item->length);
	cr_assert_eq((uintptr_t)item->body % 8, 0);
	note(p, &item->where.type, sizeof(item->where.type));
	note(p, item->body, item->length);
	p->controls++;
	cr_assert(refmodel_record(&p->m, item->where.type, item->body, item->length), "%s",
		  p->m.broken);
}

static void foresee(struct play *p, const struct xr_index *x)
{
	for (uint64_t pfn = xr_pfnset_next(x->want, 0, false); pfn < XR_PFN_LIMIT;
	     pfn = xr_pfnset_next(x->want, pfn + 1, false))
		apply_types(p, (uint64_t[]){ pfn }, 1);
}

/* True: it was the last. */
static bool play_item(struct play *p, struct xr_item *item, int fd, struct xr_bufpool *pool,
		      struct xr_index *x)
{
	p->items++;
	switch (item->kind) {
	case XR_ITEM_TYPES:
		cr_assert_null(x);
		play_types(p, item);
		return false;
	case XR_ITEM_DATA:
		play_data(p, item, fd, pool, x);
		return false;
	case XR_ITEM_CONTROL:
		cr_assert(!p->in_types && !p->in_data);
		play_control(p, item);
		return false;
	case XR_ITEM_CHECKPOINT:
		cr_assert(!p->in_types && !p->in_data);
		return false;
	case XR_ITEM_END:
		cr_assert(!p->in_types && !p->in_data);
		p->end_offset = item->end_offset;
		refmodel_finish(&p->m);
		return true;
	case XR_ITEM_ERROR:
		p->error = item->error;
		cr_assert(p->error.code < 0 && p->error.text[0]);
		return true;
	}
	return true;
}

void play_stream(struct play *p, struct xr_stream *s, int fd, struct xr_bufpool *pool,
		 struct xr_index *x, void (*at_checkpoint)(void *ctx, int fd), void *ctx)
{
	struct xr_error e;
	bool last = false;

	memset(p, 0, sizeof(*p));
	refmodel_init(&p->m);
	xr_error_clear(&e);
	if (x)
		foresee(p, x);
	cr_assert_eq(xr_stream_start(s, x, &e), 0, "%s", e.text);
	while (!last) {
		struct xr_item *item = xr_stream_next(s, WAIT_MS);
		bool resume;

		cr_assert_not_null(item, "the stage is stuck");
		resume = item->kind == XR_ITEM_CHECKPOINT;
		last = play_item(p, item, fd, pool, x);
		xr_stream_release(s, item);
		if (resume && at_checkpoint)
			at_checkpoint(ctx, fd);
		if (resume)
			xr_stream_resume(s);
	}
	cr_assert_not_null(xr_stream_next(s, 0), "the last item stays");
}

void play_free(struct play *p)
{
	refmodel_free(&p->m);
	for (size_t i = 0; i < p->nkept; i++)
		free(p->kept[i]);
	free(p->kept);
	memset(p, 0, sizeof(*p));
}

int play_fd(struct play *p, int fd, enum xr_io io, bool index, size_t buffer,
	    struct xr_stream_info *info)
{
	struct xr_bufpool *pool = xr_bufpool_create(4, buffer);
	const struct xr_stream_config cfg = {
		.fd = fd, .io = io, .max_pfn = XR_PFN_LIMIT - 1, .pool = pool
	};
	struct xr_index *x = NULL;
	struct xr_stream *s;
	int rc;

	memset(p, 0, sizeof(*p));
	rc = xr_stream_open(&s, &cfg, -1, &p->error);
	if (!rc && info)
		*info = *xr_stream_info(s);
	if (!rc && index)
		rc = xr_stream_index(s, &x, &p->error);
	if (!rc)
		play_stream(p, s, fd, pool, x, NULL, NULL);
	xr_stream_close(&s);
	cr_assert_null(s);
	cr_assert_eq(xr_bufpool_in_use(pool), 0);
	xr_index_free(x);
	xr_bufpool_destroy(pool);
	return rc;
}
