/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams made by hand, in memory. Running out of memory ends the test program. */
#ifndef XR_TEST_BUILDER_H
#define XR_TEST_BUILDER_H

#include "generate/emit.h"

struct builder {
	struct xr_sink sink;
	size_t libxc_offset; /* of the image header */
	size_t last_record;  /* offset of the last record's header */
	size_t end_offset;   /* behind END; 0 before */
	uint64_t records;    /* of the libxc stream */
};

/* Layer, image header and domain header. No record yet. */
void builder_begin(struct builder *b, enum xr_emit_layer layer, uint32_t version, bool pv);

/* Any record, also an invalid one; body may be NULL if length is 0. */
void builder_record(struct builder *b, uint32_t type, const void *body, uint32_t length);

/* The static data of a saver: policies as wanted, then STATIC_DATA_END. For version 3 only. */
void builder_static(struct builder *b, bool cpuid, bool msr);

/*
 * PAGE_DATA. contents: for every entry whose type has data, in order, 4096 bytes; NULL fills them
 * with builder_fill(pfn, serial), the serial being the number of the record.
 */
void builder_page_data(struct builder *b, const uint64_t *entries, uint32_t n,
		       const void *contents);
void builder_tsc(struct builder *b);
void builder_context(struct builder *b);
void builder_params(struct builder *b, const struct xr_emit_param *params, uint32_t n);

/* END, libxl's own END if there is a layer, then `trailing` bytes that nobody may read. */
void builder_end(struct builder *b, bool libxl_end, size_t trailing);

/* Bytes without any meaning, e.g. a record header that promises too much. */
void builder_raw(struct builder *b, const void *bytes, size_t n);

static inline const unsigned char *builder_data(const struct builder *b)
{
	return b->sink.data;
}

static inline size_t builder_size(const struct builder *b)
{
	return b->sink.len;
}

void builder_free(struct builder *b);

/* Page contents that belong to this pfn and serial only; never all zero. */
void builder_fill(uint64_t pfn, uint64_t serial, void *page);

/* Does a page of this type carry contents; is it RAM? By the table of page types, PV's included. */
bool builder_has_data(unsigned int type);
bool builder_is_ram(unsigned int type);

#endif
