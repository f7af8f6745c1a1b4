/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PAGE_DATA record as items. One of up to XR_DUPS_MAX entries is looked at as a whole before
 * anything of it is sent; a longer one (no saver writes such, the format allows 16 million) goes
 * on chunk by chunk, with only its entries that carry contents remembered.
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

/* Remember entries with contents; skip, if given, says which are of no interest. */
static void collect(struct xr_stage_work *w, uint32_t *page, const uint64_t *entries, size_t n,
		    const bool *skip)
{
	for (size_t i = 0; i < n; i++) {
		if (!xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(entries[i])))
			continue;
		if (!skip || !skip[i]) {
			w->live[w->nlive] = entries[i];
			w->page[w->nlive++] = *page;
		}
		(*page)++;
	}
}

static int whole_record(struct xr_stream *s, struct xr_pages *p, bool types)
{
	struct xr_stage_work *w = s->work;
	uint32_t page = 0;
	bool dups;
	int rc;

	rc = xr_frame_entries(&s->frame, p, w->entries, p->count);
	if (rc)
		return rc;
	dups = !p->ascending && xr_dups_find(&w->dups, w->entries, p->count);
	collect(w, &page, w->entries, p->count, dups ? w->dups.replaced : NULL);
	for (uint32_t at = 0; types && !rc && at < p->count; at += XR_CHUNK)
		rc = send_types_chunk(s, p, at, w->entries + at,
				      p->count - at < XR_CHUNK ? p->count - at : XR_CHUNK);
	return rc;
}

/* Of a long record only contents that are replaced by contents are left out; those of a pfn that is
 * named again without are the consumer's to skip. */
static void drop_replaced(struct xr_stage_work *w)
{
	size_t n = 0;

	if (!xr_dups_find(&w->dups, w->live, w->nlive))
		return;
	for (size_t i = 0; i < w->nlive; i++) {
		if (w->dups.replaced[i])
			continue;
		w->live[n] = w->live[i];
		w->page[n++] = w->page[i];
	}
	w->nlive = n;
}

static int long_record(struct xr_stream *s, struct xr_pages *p, bool types)
{
	struct xr_stage_work *w = s->work;
	uint32_t page = 0;
	int rc = 0;

	while (!rc && p->done < p->count) {
		const uint32_t at = p->done, left = p->count - at;
		const uint32_t n = left < XR_CHUNK ? left : XR_CHUNK;

		rc = xr_frame_entries(&s->frame, p, w->entries, n);
		if (!rc)
			collect(w, &page, w->entries, n, NULL);
		if (!rc && types)
			rc = send_types_chunk(s, p, at, w->entries, n);
	}
	if (!rc && !p->ascending)
		drop_replaced(w);
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
	s->work->nlive = 0;
	rc = p.count <= XR_DUPS_MAX ? whole_record(s, &p, !pass) : long_record(s, &p, !pass);
	if (!rc && pass)
		rc = check_pass(s, &p);
	if (rc)
		return rc;
	data_pass = s->pass;
	return s->info.seekable ? send_from_file(s, data_pass)
				: send_from_pipe(s, data_pass, p.room);
}
