/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the stream stage: what its files share. */
#ifndef XR_STAGE_H
#define XR_STAGE_H

#include "base/event.h"
#include "base/ring.h"
#include "stream/dups.h"
#include "stream/frame.h"
#include "stream/index.h"
#include "stream/stream.h"

#include <pthread.h>

#define XR_STAGE_ITEMS 48u
#define XR_STAGE_DATA_MAX (XR_WIRE_BODY_MAX / XR_WIRE_PAGE) /* contents in one record */

/* A wait that cannot be woken by a stop fd looks for it so often. */
#define XR_STAGE_TICK_MS 40u

/* Entries of a record that are looked at together. With the contents that came before in the same
 * record they fit into one search for duplicates. */
#define XR_STAGE_BLOCK (XR_DUPS_MAX - XR_STAGE_DATA_MAX)

/* Working memory for one PAGE_DATA record. */
struct xr_stage_work {
	uint64_t entries[XR_STAGE_BLOCK];
	uint64_t live[XR_DUPS_MAX]; /* those with contents that are not void, and */
	uint32_t page[XR_DUPS_MAX]; /* which page of the record's contents that is */
	size_t nlive;
	struct xr_dups dups;
};

struct xr_stream {
	struct xr_stream_config cfg;
	struct xr_stream_info info;
	int stop[2]; /* the caller's cancel_fd, and our own eventfd for close */
	struct xr_frame frame;
	struct xr_decoder fresh; /* as it was behind the headers */
	uint64_t first;		 /* offset of the first record */
	struct xr_stage_work *work;
	const struct xr_index *index;

	/* File: where the shared offset goes when the stage stops; XR_NO_OFFSET: it stays. */
	uint64_t consumed;

	/* Passes as they show in the stream. */
	unsigned int pass;
	uint64_t last_pfn;
	bool verify;

	struct xr_item *items; /* XR_STAGE_ITEMS in turn, and one more for END or ERROR */
	struct xr_ring *ready; /* to the consumer */
	struct xr_ring *idle;  /* from the consumer */
	struct xr_event pushed, released, resumed;
	uint32_t stopping, resumes; /* atomic */
	struct xr_item *last;	    /* consumer: END or ERROR, once it came */

	pthread_t thread;
	bool running;
	struct xr_error error;
	uint64_t started;		  /* xr_now() */
	uint64_t ended, starved, blocked; /* atomic; ns */
};

/* As xr_stream_open(), reading through ops and io, which it takes over. For tests. */
int xr_stream_open_io(struct xr_stream **out, const struct xr_stream_config *cfg, int cancel_fd,
		      const struct xr_io_ops *ops, void *io, struct xr_error *err);

void *xr_stage_run(void *stream);

/* Begin again at a record: its offset and number. File only. */
void xr_stage_rewind(struct xr_stream *s, uint64_t offset, uint64_t record);

/* A free item, its head filled for the record in hand; NULL: stopped, and the error is filled. */
struct xr_item *xr_stage_item(struct xr_stream *s, enum xr_item_kind kind);
void xr_stage_push(struct xr_stream *s, struct xr_item *item);
int xr_stage_buffer(struct xr_stream *s); /* a free buffer or -ECANCELED */

/* The PAGE_DATA record in hand, as items. pass: as the index has it (then only DATA is sent, and
 * the pfns must ascend), 0: found out. */
int xr_stage_pages(struct xr_stream *s, unsigned int pass);

#endif
