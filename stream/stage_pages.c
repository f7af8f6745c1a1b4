/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PAGE_DATA record as items. One of up to XR_STAGE_BLOCK entries is checked as a whole before
 * anything of it is sent; a longer one (no saver writes such, the format allows 16 million entries)
 * goes on block by block, with only its entries that carry contents remembered.
 */
#include "stream/stage.h"

#include <errno.h>
#include <string.h>

/* Passes as the stream shows them: a new one where a pfn does not exceed the one before. */
static void note_pass(struct xr_stream *s, const uint64_t *entries, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t pfn = XR_ENTRY_PFN(entries[i]);

		if (s->last_pfn != XR_NO_PFN && pfn <= s->last_pfn)
			s->pass++;
		s->last_pfn = pfn;
	}
}

static int send_types(struct xr_stream *s, const struct xr_pages *p, uint32_t at,
		      const uint64_t *entries, size_t n)
{
	struct xr_item *item = xr_stage_item(s, XR_ITEM_TYPES);

	if (!item)
		return -ECANCELED;
	note_pass(s, entries, 1);
	item->pass = s->pass;
	note_pass(s, entries + 1, n - 1);
	item->flags = (at == 0 ? XR_ITEM_FIRST : 0) | (at + n == p->count ? XR_ITEM_LAST : 0);
	item->n = (unsigned int)n;
	memcpy(item->entries, entries, n * sizeof(*entries));
	xr_stage_push(s, item);
	return 0;
}

/* Entries [at, at + n) of the record, no more than fit into an item. */
static int send_types_chunk(struct xr_stream *s, const struct xr_pages *p, uint32_t at,
			    const uint64_t *entries, size_t n)
{
	struct xr_dups *d = &s->work->dups;
	size_t from = 0;
	int rc;

	if (p->ascending || !xr_dups_find(d, entries, n))
		return send_types(s, p, at, entries, n);
	for (size_t i = 1; i < n; i++) {
		if (d->before[i] <= from)
			continue;
		rc = send_types(s, p, at + (uint32_t)from, entries + from, i - from);
		if (rc)
			return rc;
		from = i;
	}
	return send_types(s, p, at + (uint32_t)from, entries + from, n - from);
}

/* Add a block's entries to the live ones, and leave out those whose contents are void. */
static void collect(struct xr_stage_work *w, bool ascending, uint32_t *page, size_t n)
{
	const size_t total = w->nlive + n;
	bool dups;

	for (size_t i = 0; i < n; i++) {
		w->live[w->nlive + i] = w->entries[i];
		w->page[w->nlive + i] = *page;
		*page += xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(w->entries[i]));
	}
	dups = !ascending && xr_dups_find(&w->dups, w->live, total);
	w->nlive = dups ? 0 : w->nlive;
	for (size_t i = w->nlive; i < total; i++) {
		if (!xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(w->live[i])))
			continue;
		if (dups && w->dups.replaced[i])
			continue;
		w->live[w->nlive] = w->live[i];
		w->page[w->nlive++] = w->page[i];
	}
}

static int take_entries(struct xr_stream *s, struct xr_pages *p, bool types)
{
	struct xr_stage_work *w = s->work;
	uint32_t page = 0;
	int rc = 0;

	w->nlive = 0;
	while (!rc && p->done < p->count) {
		const uint32_t first = p->done, left = p->count - first;
		const uint32_t n = left < XR_STAGE_BLOCK ? left : XR_STAGE_BLOCK;

		rc = xr_frame_entries(&s->frame, p, w->entries, n);
		if (!rc)
			collect(w, p->ascending, &page, n);
		for (uint32_t at = 0; types && !rc && at < n; at += XR_CHUNK)
			rc = send_types_chunk(s, p, first + at, w->entries + at,
					      n - at < XR_CHUNK ? n - at : XR_CHUNK);
	}
	return rc;
}

/* Live entries [from, from + n) as an item; first is the page at which its source begins. */
static void fill_data(const struct xr_stream *s, struct xr_item *item, size_t from, size_t n,
		      uint32_t first)
{
	const struct xr_stage_work *w = s->work;

	item->flags = (from == 0 ? XR_ITEM_FIRST : 0) | (from + n == w->nlive ? XR_ITEM_LAST : 0) |
		      (s->verify ? XR_ITEM_VERIFY : 0);
	item->n = (unsigned int)n;
	memcpy(item->entries, w->live + from, n * sizeof(w->live[0]));
	for (size_t i = 0; i < n; i++)
		item->page[i] = w->page[from + i] - first;
	if (item->page[n - 1] != n - 1)
		item->flags |= XR_ITEM_SPARSE;
}

static int send_from_file(struct xr_stream *s, unsigned int pass)
{
	const struct xr_stage_work *w = s->work;
	const uint64_t contents = s->frame.rd.pos;

	for (size_t from = 0, n; from < w->nlive; from += n) {
		struct xr_item *item = xr_stage_item(s, XR_ITEM_DATA);

		if (!item)
			return -ECANCELED;
		n = w->nlive - from < XR_CHUNK ? w->nlive - from : XR_CHUNK;
		item->pass = pass;
		item->file_offset = contents + (uint64_t)w->page[from] * XR_WIRE_PAGE;
		fill_data(s, item, from, n, w->page[from]);
		xr_stage_push(s, item);
	}
	return 0;
}

/* One buffer's worth: the pages from `first` on, of which `n` live entries want some. */
static int send_piece(struct xr_stream *s, unsigned int pass, uint32_t first, uint32_t pages,
		      size_t from, size_t n, bool last)
{
	const int buffer = xr_stage_buffer(s);
	struct xr_item *item = NULL;
	int rc;

	if (buffer < 0)
		return buffer;
	rc = xr_frame_take(&s->frame, xr_bufpool_data(s->cfg.pool, (unsigned int)buffer),
			   (size_t)pages * XR_WIRE_PAGE, last ? sizeof(struct xr_wire_record) : 0);
	if (!rc && n)
		item = xr_stage_item(s, XR_ITEM_DATA);
	if (!rc && n && !item)
		rc = -ECANCELED;
	if (!item) {
		xr_bufpool_drop(s->cfg.pool, (unsigned int)buffer);
		return rc;
	}
	item->pass = pass;
	item->buffer = buffer;
	fill_data(s, item, from, n, first);
	xr_stage_push(s, item);
	return 0;
}

static int send_from_pipe(struct xr_stream *s, unsigned int pass, uint32_t room)
{
	const struct xr_stage_work *w = s->work;
	const uint32_t most = s->cfg.pool->size / XR_WIRE_PAGE;
	const uint32_t step = most < XR_CHUNK ? most : XR_CHUNK;
	size_t from = 0;
	int rc = 0;

	for (uint32_t at = 0; !rc && at < room && from < w->nlive; at += step) {
		const uint32_t pages = room - at < step ? room - at : step;
		size_t n = 0;

		while (from + n < w->nlive && w->page[from + n] < at + pages)
			n++;
		rc = send_piece(s, pass, at, pages, from, n, at + pages == room);
		from += n;
	}
	return rc;
}

/* What is re-read after indexing may have changed. */
static int check_pass(struct xr_stream *s, const struct xr_pages *p)
{
	if (!p->ascending || (s->last_pfn != XR_NO_PFN && p->first <= s->last_pfn))
		return xr_frame_bad(&s->frame, "the stream's file was changed while it was "
					       "restored: its pfns do not ascend as they did");
	s->last_pfn = p->last;
	return 0;
}

int xr_stage_pages(struct xr_stream *s, unsigned int pass)
{
	struct xr_pages p;
	unsigned int data_pass;
	int rc;

	rc = xr_frame_pages(&s->frame, &p);
	if (rc)
		return rc;
	rc = take_entries(s, &p, !pass);
	if (!rc && pass)
		rc = check_pass(s, &p);
	if (rc)
		return rc;
	data_pass = s->pass;
	return s->info.seekable ? send_from_file(s, data_pass)
				: send_from_pipe(s, data_pass, p.room);
}
