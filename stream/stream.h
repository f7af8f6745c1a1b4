/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream stage: a thread that turns the bytes of an fd into validated items, in stream order.
 *
 * It needs no Xen header and no Xen handle. The consumer is one thread. Memory is bounded: a fixed
 * pool of items, the buffer pool for contents, control bodies of at most XR_CONTROL_MAX bytes taken
 * together; unknown optional records are skipped unread or in small pieces.
 *
 * On a pipe or socket it never reads a byte behind END (or CHECKPOINT): one read takes at most the
 * rest of a record and the next header. On a regular file all reads are positional; the shared
 * offset is set behind the last consumed record when the stage stops.
 */
#ifndef XR_STREAM_H
#define XR_STREAM_H

#include "base/bufpool.h"
#include "base/error.h"
#include "stream/wire.h"

#define XR_CHUNK 1024u		  /* entries per item at most */
#define XR_CONTROL_MAX (8u << 20) /* longest control body that is accepted */

struct xr_stream;
struct xr_index;

enum xr_item_kind {
	XR_ITEM_CONTROL, /* a validated record that is not a page: body. Version 2 streams have a
			  * STATIC_DATA_END inferred, with where of the record that it precedes */
	XR_ITEM_TYPES,	 /* entries: pfns with their types, before any of their contents is read */
	XR_ITEM_DATA,	 /* contents of the pfns in entries, from buffer or file */
	XR_ITEM_END,	 /* the END record; nothing follows */
	XR_ITEM_CHECKPOINT, /* the CHECKPOINT record; reading goes on after xr_stream_resume() */
	XR_ITEM_ERROR,	    /* error; nothing follows */
};

/* An entry is the u64 of the wire with the reserved bits masked off. */
#define XR_ENTRY_PFN(e) ((e)&0x000fffffffffffffull)
#define XR_ENTRY_TYPE(e) ((unsigned int)((e) >> 60))

#define XR_ITEM_FIRST 1u  /* TYPES, DATA: the first of its record */
#define XR_ITEM_LAST 2u	  /* TYPES, DATA: the last of its record */
#define XR_ITEM_VERIFY 4u /* DATA: compare, don't write */
#define XR_ITEM_SPARSE 8u /* DATA: page[] says which page of the source each entry is */

/*
 * PAGE_DATA becomes TYPES items that carry all entries in order (no pfn twice in one item: an item
 * ends before a pfn that it already holds), then DATA items for the entries with contents. A DATA
 * entry whose pfn is named again later in the same record, with contents or as no RAM, is left out
 * (SPARSE then): the later one wins, and no pfn is in the DATA of a record twice. On a pipe, DATA
 * comes in pieces of at most one buffer, so that copying starts while the record is still arriving;
 * from a file, in items of up to XR_CHUNK pages. FIRST and LAST frame the TYPES of a record, and
 * its DATA likewise; a record whose contents are all void has no DATA.
 *
 * Page i of the entries lies at page p = SPARSE ? page[i] : i of its source:
 * buffer >= 0: xr_bufpool_data(pool, buffer) + p * 4096; one user is handed over with the item.
 * buffer < 0: file offset file_offset + p * 4096 of the stream's fd.
 */
struct xr_item {
	enum xr_item_kind kind;
	unsigned int flags;
	struct xr_where where;
	uint64_t end_offset; /* of the record: where.offset + header + padded body */
	unsigned int pass;   /* from 1: a pass begins where a pfn does not exceed the one before.
			      * TYPES: that of its first entry; DATA: of its record's last */

	unsigned int n;
	int buffer;
	uint64_t file_offset;
	uint64_t entries[XR_CHUNK];
	uint32_t page[XR_CHUNK];

	uint32_t length; /* CONTROL: of body, without padding */
	void *body;	 /* CONTROL: owned by the item, 8-aligned; NULL if length is 0 */

	struct xr_error error;
};

struct xr_stream_config {
	int fd;
	enum xr_layer layer;
	enum xr_io io;
	bool checkpointed;	 /* CHECKPOINT is legal */
	uint64_t max_pfn;	 /* higher pfns are an error; at most 2^36 - 1 */
	struct xr_bufpool *pool; /* for contents, when the fd is not a regular file */
	/* Called once all that is opened is open, before the first byte is read; an error ends
	 * xr_stream_open(). May be NULL. */
	int (*opened)(void *ctx, struct xr_error *err);
	/* xr_stream_index() has come to this file offset; after every record. May be NULL. */
	void (*indexed)(void *ctx, uint64_t offset);
	void *ctx;
};

/* What the headers said; valid after xr_stream_open(). */
struct xr_stream_info {
	bool seekable; /* a regular file: positional reads */
	bool uring;
	bool pv;
	uint32_t version; /* 2 or 3 */
	uint32_t xen_major, xen_minor;
	uint64_t libxc_offset; /* of the image header, from the start offset */
	uint64_t start_offset; /* regular file: the fd's offset at open; else 0 */
};

/*
 * Read and check the layers and the libxc headers, synchronously. Starts no thread. cancel_fd (or
 * -1) is an eventfd: readable means stop, every read and wait ends with -ECANCELED.
 */
int xr_stream_open(struct xr_stream **out, const struct xr_stream_config *cfg, int cancel_fd,
		   struct xr_error *err);
const struct xr_stream_info *xr_stream_info(const struct xr_stream *s);

/*
 * Read ahead through all records of a regular file without touching contents, and validate them.
 * A stream error found here is final: the restore need not start. *out is NULL (and 0 returned) if
 * the stream is valid but not of the shape that an index serves (see index.h).
 */
int xr_stream_index(struct xr_stream *s, struct xr_index **out, struct xr_error *err);

/*
 * Start the thread. With an index, TYPES items are not sent, and DATA items come in the index's
 * order: the first pass, then the later ones from the last to the second; the control records that
 * stand before all pages come first, the others after all pages.
 */
int xr_stream_start(struct xr_stream *s, const struct xr_index *index, struct xr_error *err);

/* The next item, or NULL if there is none within ms. After END or ERROR, that same item again. */
struct xr_item *xr_stream_next(struct xr_stream *s, unsigned int ms);
void xr_stream_release(struct xr_stream *s, struct xr_item *item);

/* After CHECKPOINT: go on reading. In between the fd is the caller's: its offset is right behind
 * the record, and reading goes on where the caller leaves it. */
void xr_stream_resume(struct xr_stream *s);

/* Of an indexed stream, for an error: the first record that calls this pfn RAM, found by reading
 * again. False, *where as it was: there is none, the file does not tell any more, or a cancel came.
 */
bool xr_stream_locate(struct xr_stream *s, const struct xr_index *index, uint64_t pfn,
		      struct xr_where *where);

void xr_stream_times(const struct xr_stream *s, struct xr_stage_times *t);

/* Stop and join the thread, put the shared file offset right (a stage that was never started leaves
 * it where it was), free. Items that were taken must be released. 0, or why the offset is not
 * right, as a negative errno. */
int xr_stream_close(struct xr_stream **s);

#endif
