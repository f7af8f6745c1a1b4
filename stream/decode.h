/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decoder of the libxc stream: bytes in, values out. It does no I/O, allocates nothing and
 * keeps only what the rules of order need. Call in stream order: image, domain, then for every
 * record header, and its body: xr_decode_body() for CONTROL, xr_decode_pages() and then
 * xr_decode_entries() for PAGES, nothing for the other kinds. After an error the decoder is done
 * for. All functions return 0 or what they filled into *err: -EBADMSG, or -EOPNOTSUPP for what is
 * valid but not served.
 *
 * Strictness: what verify-stream-v2 of Xen refuses is refused, also where Xen's restorer is lax
 * (zero-length records must be empty). The errata of Xen 4.6 to 4.8 are let pass: HVM_PARAMS
 * without entries, PV vcpu records (but BASIC) without a blob.
 */
#ifndef XR_DECODE_H
#define XR_DECODE_H

#include "base/error.h"
#include "stream/wire.h"

#include <stdbool.h>

enum xr_record_kind {
	XR_RECORD_CONTROL,
	XR_RECORD_PAGES,
	XR_RECORD_END,
	XR_RECORD_CHECKPOINT,
	XR_RECORD_SKIP, /* optional and unknown */
};

struct xr_record {
	struct xr_where where;
	enum xr_record_kind kind;
	uint32_t length; /* of the body */
	uint32_t padded; /* with padding */
	bool static_end; /* version 2: here STATIC_DATA_END is to be inferred, before this record */
};

struct xr_decoder {
	bool checkpointed; /* CHECKPOINT is legal */
	bool pv;
	bool static_end; /* seen or inferred */
	bool pv_info, pv_frames;
	uint8_t width; /* PV: bytes of a guest word */
	uint32_t version;
	uint32_t xen_major, xen_minor;
	uint64_t max_pfn;    /* higher ones are an error */
	uint64_t pv_max_pfn; /* PV: as the P2M_FRAMES records have it so far */
	uint64_t records;    /* headers decoded */
};

/* A PAGE_DATA record on its way. */
struct xr_pages {
	uint32_t count;	      /* entries */
	uint32_t reserved;    /* as it came; of no meaning */
	uint32_t done;	      /* of which decoded */
	uint32_t data;	      /* of which carry contents, among those decoded */
	uint32_t room;	      /* contents that the record's length holds: data == room at the end */
	uint64_t first, last; /* pfns of the first and of the last entry decoded */
	bool ascending;	      /* strictly, so far: then no pfn is there twice */
};

void xr_decoder_init(struct xr_decoder *d, bool checkpointed, uint64_t max_pfn);

/* bytes: struct xr_wire_image (its marker is what the layers end in: they have looked at it),
 * struct xr_wire_domain, struct xr_wire_record, unaligned. offset is theirs, for the error. */
int xr_decode_image(struct xr_decoder *d, const void *bytes, uint64_t offset, struct xr_error *err);
int xr_decode_domain(struct xr_decoder *d, const void *bytes, uint64_t offset,
		     struct xr_error *err);

/* Checks all that the type and the length tell: order, and the length as far as it does not hang
 * on the body. So a body is read only when it is wanted. */
int xr_decode_header(struct xr_decoder *d, const void *bytes, uint64_t offset,
		     struct xr_record *rec, struct xr_error *err);

/* body: rec->length bytes, unaligned. */
int xr_decode_body(struct xr_decoder *d, const struct xr_record *rec, const void *body,
		   struct xr_error *err);

/* bytes: struct xr_wire_pages. Fills *p. */
int xr_decode_pages(const struct xr_record *rec, const void *bytes, struct xr_pages *p,
		    struct xr_error *err);

/*
 * The next n entries (one or more, no more than are left) from wire, unaligned, to entries, which
 * may be the same memory: reserved bits masked off. With the last entry the record's length is
 * proved.
 */
int xr_decode_entries(const struct xr_decoder *d, const struct xr_record *rec, struct xr_pages *p,
		      const void *wire, size_t n, uint64_t *entries, struct xr_error *err);

/* "PAGE_DATA"; "unknown" for what is. */
const char *xr_record_name(uint32_t type);

#endif
