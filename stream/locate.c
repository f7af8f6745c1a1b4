/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which record an error about a frame is to name, where populate was ahead of the records. */
#include "stream/stage.h"

#include <errno.h>
#include <stdlib.h>

struct search {
	uint64_t pfn;
	struct xr_frame f; /* our own: the stage's may be in use */
	struct xr_error ignored;
	uint64_t entries[XR_CHUNK];
};

/* Does the PAGE_DATA record in hand call it RAM? 1, 0 or a negative errno. */
static int calls_ram(struct search *s)
{
	uint64_t *entries = s->entries;
	struct xr_pages p;
	int rc = xr_frame_pages(&s->f, &p);

	while (!rc && p.done < p.count) {
		const uint32_t left = p.count - p.done;
		const uint32_t n = left < XR_CHUNK ? left : XR_CHUNK;

		rc = xr_frame_entries(&s->f, &p, entries, n);
		for (uint32_t i = 0; !rc && i < n; i++)
			rc = XR_ENTRY_PFN(entries[i]) == s->pfn &&
			     xr_page_in(XR_PAGES_RAM, XR_ENTRY_TYPE(entries[i]));
	}
	return rc;
}

/* The records from one at `offset` on that begin before `end`. */
static int search(struct search *s, uint64_t offset, uint64_t record, uint64_t end)
{
	int rc = 0;

	xr_reader_seek(&s->f.rd, offset);
	s->f.end = offset;
	s->f.dec.records = record;
	while (!rc && s->f.end < end) {
		rc = xr_frame_next(&s->f);
		if (!rc && s->f.rec.kind == XR_RECORD_PAGES)
			rc = calls_ram(s);
		else if (!rc && s->f.rec.kind != XR_RECORD_SKIP)
			rc = -EBADMSG;
	}
	return rc;
}

/* pfns ascend from mark to mark. */
static int search_first_pass(struct search *s, const struct xr_index *x)
{
	const struct xr_index_mark *m = x->mark;
	unsigned int lo = 0, hi = x->nmarks;

	while (lo < hi) {
		const unsigned int mid = (lo + hi) / 2;

		if (m[mid].pfn <= s->pfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return 0;
	return search(s, m[lo - 1].offset, m[lo - 1].record,
		      lo < x->nmarks ? m[lo].offset : x->passes[0].end);
}

static int search_all(struct search *s, const struct xr_index *x)
{
	int rc = search_first_pass(s, x);

	for (unsigned int i = 1; !rc && i < x->npasses; i++)
		rc = search(s, x->passes[i].begin, x->passes[i].record, x->passes[i].end);
	return rc;
}

bool xr_stream_locate(struct xr_stream *s, const struct xr_index *x, uint64_t pfn,
		      struct xr_where *where)
{
	const int stop[2] = { s->stop[0], -1 };
	struct search *look = calloc(1, sizeof(*look));
	bool found = false;
	void *io;

	if (!look || !x->npasses || xr_io_plain_open(&io, s->cfg.fd, stop))
		goto out;
	look->pfn = pfn;
	look->f.front = XR_CHUNK;
	look->f.err = &look->ignored;
	look->f.dec = s->fresh;
	look->f.dec.static_end = true;
	if (!xr_reader_init(&look->f.rd, &xr_io_plain, io, true, 0)) {
		look->f.rd.size = x->end_offset;
		found = search_all(look, x) > 0;
	}
	xr_reader_close(&look->f.rd);
	if (found)
		*where = look->f.rec.where;
out:
	free(look);
	return found;
}
