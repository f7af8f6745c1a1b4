/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reader and decoder together: the records of a stream one by one, with their bodies or passed
 * over. Here is kept what may be read ahead: to the end of the record in hand and, unless that is
 * END or CHECKPOINT, the header that must follow.
 */
#ifndef XR_FRAME_H
#define XR_FRAME_H

#include "stream/decode.h"
#include "stream/layers.h"
#include "stream/reader.h"
#include "stream/stream.h"

struct xr_frame {
	struct xr_reader rd;
	struct xr_decoder dec;
	struct xr_record rec; /* the one in hand */
	uint64_t end;	      /* where it ends, padding included */
	uint32_t front;	      /* entries of the last PAGE_DATA: those of the next, by guess */
	struct xr_error *err; /* where failures go */

	/* The headers as they came. */
	struct xr_layers_seen layers;
	unsigned char head[sizeof(struct xr_wire_image) + sizeof(struct xr_wire_domain)];
};

/* The layers, the image and the domain header. Fills version and domain of *info and libxc_offset,
 * and leaves the decoder ready for records. */
int xr_frame_headers(struct xr_frame *f, enum xr_layer layer, struct xr_stream_info *info);

/* The next record's header. What is left of the record in hand is passed over. */
int xr_frame_next(struct xr_frame *f);

/* The n bytes of the body that are next, and perhaps some ahead. */
int xr_frame_take(struct xr_frame *f, void *dst, size_t n, size_t ahead);

/* The body of a CONTROL record, checked. *body is the caller's to free; NULL if it is empty. */
int xr_frame_body(struct xr_frame *f, void **body);

/* Of a PAGE_DATA record: its head; then its entries, n at a time. */
int xr_frame_pages(struct xr_frame *f, struct xr_pages *p);
int xr_frame_entries(struct xr_frame *f, struct xr_pages *p, uint64_t *entries, size_t n);

/* Fails for what the stream says against itself. */
int xr_frame_bad(struct xr_frame *f, const char *text);

#endif
