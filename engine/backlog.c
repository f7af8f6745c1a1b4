/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backlog.h"

#include "copy/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* An item as it is kept. Its entries follow, with SPARSE its pages, too. */
struct head {
	struct xr_where where;
	uint64_t end_offset;
	uint64_t at;   /* of contents in the stream's file, or in the spill, or of the body there */
	uint64_t next; /* head */
	uint32_t kind, flags, pass, n, length;
	uint32_t spilled; /* contents are in the spill */
};

#define ENTRIES_MAX (XR_CHUNK * (sizeof(uint64_t) + sizeof(uint32_t)))

struct xr_backlog {
	struct xr_spill spill;
	uint64_t end, limit; /* addresses */
	uint64_t cursor;     /* of the next item to be handed out */
	unsigned int out;    /* items ever handed out */
	struct xr_item item[XR_BACKLOG_OUT];
	unsigned char bytes[sizeof(struct head) + ENTRIES_MAX];
};

int xr_backlog_open(struct xr_backlog **out, uint64_t in_memory, struct xr_error *err)
{
	struct xr_backlog *b = calloc(1, sizeof(*b));
	int rc = b ? xr_spill_open(&b->spill, in_memory) : -ENOMEM;

	*out = NULL;
	if (rc) {
		free(b);
		return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no room for the records between checkpoints: %s",
				    strerror(-rc));
	}
	b->limit = UINT64_MAX;
	*out = b;
	return 0;
}

void xr_backlog_close(struct xr_backlog **b)
{
	if (!*b)
		return;
	xr_spill_close(&(*b)->spill);
	free(*b);
	*b = NULL;
}

const struct xr_spill *xr_backlog_spill(const struct xr_backlog *b)
{
	return &b->spill;
}

void xr_backlog_limit(struct xr_backlog *b, uint64_t bytes)
{
	b->limit = bytes;
}

static int write_failed(const struct xr_backlog *b, const struct xr_item *it, int rc,
			struct xr_error *err)
{
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			    "cannot keep the records of a checkpoint beyond %" PRIu64
			    " MiB in memory: %s",
			    b->spill.in_memory >> 20, strerror(-rc));
}

/* Pages of the item's source, from its first to the last that an entry wants. */
static uint64_t source_bytes(const struct xr_item *it)
{
	const uint64_t pages = it->flags & XR_ITEM_SPARSE ? it->page[it->n - 1] + 1ull : it->n;

	return pages * XR_PAGE_SIZE;
}

static size_t pack(struct xr_backlog *b, const struct xr_item *it)
{
	const size_t entries = it->n * sizeof(it->entries[0]);
	unsigned char *to = b->bytes + sizeof(struct head);

	memcpy(to, it->entries, entries);
	to += entries;
	if (it->kind == XR_ITEM_DATA && it->flags & XR_ITEM_SPARSE) {
		memcpy(to, it->page, it->n * sizeof(it->page[0]));
		to += it->n * sizeof(it->page[0]);
	}
	return (size_t)(to - b->bytes);
}

int xr_backlog_add(struct xr_backlog *b, const struct xr_item *it, const struct xr_bufpool *pool,
		   struct xr_error *err)
{
	struct head h = {
		.where = it->where,
		.end_offset = it->end_offset,
		.at = it->file_offset,
		.kind = it->kind,
		.flags = it->flags,
		.pass = it->pass,
		.n = it->n,
		.length = it->length,
	};
	const size_t size = pack(b, it);
	const void *more = NULL;
	uint64_t bytes = 0, at = b->end + size;
	int rc;

	if (it->kind == XR_ITEM_CONTROL && it->length) {
		more = it->body;
		bytes = it->length;
	} else if (it->kind == XR_ITEM_DATA && it->buffer >= 0) {
		more = xr_bufpool_data(pool, (unsigned int)it->buffer);
		bytes = source_bytes(it);
		at = xr_spill_fit(&b->spill, at, bytes, XR_PAGE_SIZE);
		h.spilled = true;
	}
	if (more)
		h.at = at;
	h.next = (at + bytes + 7) & ~7ull;
	if (h.next > b->limit)
		return xr_fail(err, -EOPNOTSUPP, XR_STAGE_STREAM, &it->where, XR_NO_PFN,
			       "the records since the last checkpoint take more than %" PRIu64
			       " MiB: that is no checkpoint of this domain",
			       b->limit >> 20);
	memcpy(b->bytes, &h, sizeof(h));
	rc = xr_spill_write(&b->spill, b->end, b->bytes, size);
	if (!rc && more)
		rc = xr_spill_write(&b->spill, at, more, bytes);
	if (rc)
		return write_failed(b, it, rc, err);
	b->end = h.next;
	return 0;
}

static int read_failed(int rc, const struct xr_where *where, struct xr_error *err)
{
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN,
			    "cannot read back the records of a checkpoint: %s", strerror(-rc));
}

static int read_entries(struct xr_backlog *b, const struct head *h, struct xr_item *it)
{
	const uint64_t at = b->cursor + sizeof(*h);
	const size_t entries = h->n * sizeof(it->entries[0]);
	int rc = xr_spill_read(&b->spill, at, it->entries, entries);

	if (!rc && h->kind == XR_ITEM_DATA && h->flags & XR_ITEM_SPARSE)
		rc = xr_spill_read(&b->spill, at + entries, it->page, h->n * sizeof(it->page[0]));
	return rc;
}

int xr_backlog_next(struct xr_backlog *b, struct xr_item **out, struct xr_error *err)
{
	struct xr_item *it = &b->item[b->out % XR_BACKLOG_OUT];
	unsigned int file = 0;
	struct head h;
	int rc;

	if (b->cursor == b->end)
		return 0;
	rc = xr_spill_read(&b->spill, b->cursor, &h, sizeof(h));
	if (!rc)
		rc = read_entries(b, &h, it);
	if (rc)
		return read_failed(rc, NULL, err);
	it->kind = (enum xr_item_kind)h.kind;
	it->flags = h.flags;
	it->where = h.where;
	it->end_offset = h.end_offset;
	it->pass = h.pass;
	it->n = h.n;
	it->length = h.length;
	it->body = NULL;
	it->file_offset = h.at;
	if (h.spilled)
		file = 1 + xr_spill_file(&b->spill, h.at, &it->file_offset);
	it->buffer = XR_FROM(file);
	b->cursor = h.next;
	b->out++;
	*out = it;
	return 1;
}

int xr_backlog_load(struct xr_backlog *b, struct xr_item *it, struct xr_error *err)
{
	int rc = 0;

	if (it->kind != XR_ITEM_CONTROL || !it->length)
		return 0;
	it->body = malloc((it->length + 7ul) & ~7ul);
	if (!it->body)
		rc = -ENOMEM;
	if (!rc)
		rc = xr_spill_read(&b->spill, it->file_offset, it->body, it->length);
	return rc ? read_failed(rc, &it->where, err) : 0;
}

void xr_backlog_release(struct xr_backlog *b, struct xr_item *it)
{
	(void)b;
	free(it->body);
	it->body = NULL;
}

void xr_backlog_clear(struct xr_backlog *b)
{
	b->cursor = b->end = 0;
	xr_spill_empty(&b->spill);
}
