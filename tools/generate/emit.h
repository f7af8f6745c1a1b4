/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing migration streams: the wire format as a saver sees it, for the generator and for the
 * streams that tests make by hand. The constants are spelled out here a second time, apart from
 * the decoder's, so that a slip in either shows as a disagreement.
 */
#ifndef XR_EMIT_H
#define XR_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum xr_emit_type {
	XR_EMIT_END = 0x00,
	XR_EMIT_PAGE_DATA = 0x01,
	XR_EMIT_TSC_INFO = 0x08,
	XR_EMIT_HVM_CONTEXT = 0x09,
	XR_EMIT_HVM_PARAMS = 0x0a,
	XR_EMIT_VERIFY = 0x0d,
	XR_EMIT_CHECKPOINT = 0x0e,
	XR_EMIT_STATIC_DATA_END = 0x10,
	XR_EMIT_CPUID_POLICY = 0x11,
	XR_EMIT_MSR_POLICY = 0x12,
};
#define XR_EMIT_OPTIONAL 0x80000000u

/* Page types, as they stand in bits 60-63 of an entry. */
enum { XR_EMIT_NOTAB = 0x0, XR_EMIT_BROKEN = 0xd, XR_EMIT_XALLOC = 0xe, XR_EMIT_XTAB = 0xf };
#define XR_EMIT_ENTRY(type, pfn) ((uint64_t)(type) << 60 | (pfn))
#define XR_EMIT_PFN(entry) ((entry)&0x000fffffffffffffull)
#define XR_EMIT_TYPE(entry) ((unsigned int)((entry) >> 60))

/* HVM parameters that name a page which a restore clears, and their neighbours. */
enum {
	XR_EMIT_STORE_PFN = 1,
	XR_EMIT_IOREQ_PFN = 5,
	XR_EMIT_BUFIOREQ_PFN = 6,
	XR_EMIT_IDENT_PT = 12,
	XR_EMIT_CONSOLE_PFN = 17,
	XR_EMIT_PAGING_RING_PFN = 27,
	XR_EMIT_MONITOR_RING_PFN = 28,
	XR_EMIT_SHARING_RING_PFN = 29,
};

/* What stands in front of the libxc stream. */
enum xr_emit_layer {
	XR_EMIT_BARE,	 /* nothing */
	XR_EMIT_LIBXL,	 /* the libxl stream header and its LIBXC_CONTEXT record */
	XR_EMIT_XL,	 /* an `xl save` header with a JSON configuration, then as LIBXL */
	XR_EMIT_LIBVIRT, /* libvirt's header and XML, then as LIBXL */
};

/*
 * Where the bytes go: fd >= 0, a buffer of fixed size in front of it; fd < 0, memory that grows.
 * The first error (a negative errno) stays in `error`, later calls then do nothing.
 */
struct xr_sink {
	int fd;
	int error;
	unsigned char *data; /* fd < 0: all of it; free with xr_sink_close() */
	size_t len, room;
	uint64_t flushed; /* bytes that have left the buffer */
};

#define XR_SINK_PIECE ((size_t)1 << 20) /* most that xr_sink_room() gives at once */

int xr_sink_open(struct xr_sink *s, int fd);
int xr_sink_flush(struct xr_sink *s);
void xr_sink_close(struct xr_sink *s); /* frees, does not flush */

/* n <= XR_SINK_PIECE bytes to be filled by the caller; NULL after an error. */
void *xr_sink_room(struct xr_sink *s, size_t n);
void xr_sink_put(struct xr_sink *s, const void *bytes, size_t n); /* any n */

static inline uint64_t xr_sink_at(const struct xr_sink *s)
{
	return s->flushed + s->len;
}

struct xr_emit_param {
	uint64_t index, value;
};

void xr_emit_layer(struct xr_sink *s, enum xr_emit_layer layer, uint64_t mem_kib);
/* version 2 or 3; the saver's Xen is 4.12 or 4.17 then. */
void xr_emit_headers(struct xr_sink *s, uint32_t version, bool pv);
void xr_emit_record_header(struct xr_sink *s, uint32_t type, uint32_t length);
void xr_emit_record(struct xr_sink *s, uint32_t type, const void *body, uint32_t length);
void xr_emit_policies(struct xr_sink *s, bool cpuid, bool msr);
void xr_emit_tsc(struct xr_sink *s, uint64_t nsec);
/* The shortest chain of save records that Xen's loader takes for one: HEADER, END. */
void xr_emit_context(struct xr_sink *s);
void xr_emit_params(struct xr_sink *s, const struct xr_emit_param *params, uint32_t n);
/* The libxl END record, as it follows the libxc stream in a file of `xl save`. */
void xr_emit_libxl_end(struct xr_sink *s);

#endif
