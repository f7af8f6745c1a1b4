/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands on the wire: constants and structures of the libxc stream (versions 2 and 3) and of
 * the layers that may stand before it. Fields are little-endian unless they are named be_*. Bytes
 * of a stream are not aligned to anything: copy into these structures, never cast.
 */
#ifndef XR_WIRE_H
#define XR_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define XR_WIRE_PAGE 4096u
#define XR_WIRE_BODY_MAX (128u << 20) /* a longer record is an error (Xen's limit) */

/* libxc image header */
#define XR_WIRE_MARKER UINT64_MAX
#define XR_WIRE_ID 0x58454e46u /* XENF */
#define XR_WIRE_BIG_ENDIAN 1u  /* bit of be_options */

struct xr_wire_image {
	uint64_t be_marker;
	uint32_t be_id;
	uint32_t be_version;
	uint16_t be_options;
	uint16_t reserved1;
	uint32_t reserved2;
};

/* libxc domain header */
#define XR_WIRE_PV 1u
#define XR_WIRE_HVM 2u /* HVM and PVH */

struct xr_wire_domain {
	uint32_t type;
	uint16_t page_shift;
	uint16_t reserved;
	uint32_t xen_major; /* 0: made by the converter of legacy streams */
	uint32_t xen_minor;
};

struct xr_wire_record {
	uint32_t type;
	uint32_t length; /* of the body; padding to a multiple of 8 follows */
};

enum xr_wire_type {
	XR_REC_END = 0x00,
	XR_REC_PAGE_DATA = 0x01,
	XR_REC_PV_INFO = 0x02,
	XR_REC_PV_P2M_FRAMES = 0x03,
	XR_REC_PV_VCPU_BASIC = 0x04,
	XR_REC_PV_VCPU_EXTENDED = 0x05,
	XR_REC_PV_VCPU_XSAVE = 0x06,
	XR_REC_SHARED_INFO = 0x07,
	XR_REC_TSC_INFO = 0x08,
	XR_REC_HVM_CONTEXT = 0x09,
	XR_REC_HVM_PARAMS = 0x0a,
	XR_REC_TOOLSTACK = 0x0b, /* deprecated, no restorer takes it */
	XR_REC_PV_VCPU_MSRS = 0x0c,
	XR_REC_VERIFY = 0x0d,
	XR_REC_CHECKPOINT = 0x0e,
	XR_REC_DIRTY_PFN_LIST = 0x0f, /* only on COLO's back channel */
	XR_REC_STATIC_DATA_END = 0x10,
	XR_REC_CPUID_POLICY = 0x11,
	XR_REC_MSR_POLICY = 0x12,
};

#define XR_REC_OPTIONAL 0x80000000u /* a type with this bit may be skipped if unknown */

/* PAGE_DATA: this, count entries, then the contents of every entry whose type carries them. */
struct xr_wire_pages {
	uint32_t count;
	uint32_t reserved;
};

/* Bits of an entry: 0-51 pfn, 52-59 reserved, 60-63 type (XEN_DOMCTL_PFINFO_* >> 28). */
#define XR_WIRE_ENTRY_BITS 0xf00fffffffffffffull
#define XR_WIRE_ENTRY_PFN 0x000fffffffffffffull

enum xr_page_type {
	XR_PAGE_NOTAB = 0x0,
	XR_PAGE_L1TAB = 0x1, /* to L4TAB 4; 9 to 0xc: the same, pinned */
	XR_PAGE_BROKEN = 0xd,
	XR_PAGE_XALLOC = 0xe,
	XR_PAGE_XTAB = 0xf,
};

/* Sets of page types, a bit each. */
#define XR_PAGES_RESERVED 0x01e0u /* 5 to 8 */
#define XR_PAGES_DATA 0x1e1fu	  /* contents in the stream */
#define XR_PAGES_RAM 0x5e1fu	  /* backed by memory: those and XALLOC */

static inline unsigned int xr_page_in(unsigned int set, unsigned int type)
{
	return set >> type & 1;
}

struct xr_wire_pv_info {
	uint8_t width;	/* 4 or 8 bytes */
	uint8_t levels; /* 3 or 4 */
	uint8_t reserved[6];
};

struct xr_wire_p2m_frames {
	uint32_t first, last; /* pfns; the frames of the p2m that cover them follow, a u64 each */
};

struct xr_wire_vcpu {
	uint32_t vcpu;
	uint32_t reserved;
};

#define XR_WIRE_VCPU64 5168u /* vcpu_guest_context of a 64-bit and of a 32-bit guest */
#define XR_WIRE_VCPU32 2800u
#define XR_WIRE_VCPU_EXT 128u  /* at most */
#define XR_WIRE_VCPU_XSAVE 16u /* at least */
#define XR_WIRE_VCPU_MSR 16u   /* each */

struct xr_wire_tsc {
	uint32_t mode, khz;
	uint64_t nsec;
	uint32_t incarnation, reserved;
};

struct xr_wire_params {
	uint32_t count;
	uint32_t reserved;
};

struct xr_wire_param {
	uint64_t index, value;
};

struct xr_wire_cpuid {
	uint32_t leaf, subleaf, a, b, c, d;
};

struct xr_wire_msr {
	uint32_t index, flags;
	uint64_t value;
};

/* libxl stream (version 2): header, then records; the libxc stream follows LIBXC_CONTEXT. */
#define XR_WIRE_LIBXL_IDENT 0x4c6962786c466d74ull /* LibxlFmt */
#define XR_WIRE_LIBXL_VERSION 2u
#define XR_WIRE_LIBXL_BIG_ENDIAN 1u
#define XR_WIRE_LIBXL_CONVERTED 2u /* from a legacy stream */
#define XR_WIRE_LIBXL_CONTEXT 1u   /* record type LIBXC_CONTEXT */

struct xr_wire_libxl {
	uint64_t be_ident;
	uint32_t be_version;
	uint32_t be_options;
};

/* xl save file: this, data_length bytes, libxl stream. In the byte order of the saver. */
#define XR_WIRE_XL_MAGIC "Xen saved domain, xl format\n \0 \r"
#define XR_WIRE_XL_ORDER 0x01020304u
#define XR_WIRE_XL_JSON 1u
#define XR_WIRE_XL_STREAM2 2u

struct xr_wire_xl {
	char magic[32];
	uint32_t order;
	uint32_t mandatory;
	uint32_t optional;
	uint32_t data_length;
};

/* libvirt's save file: this, xml_length bytes, libxl stream. */
#define XR_WIRE_LIBVIRT_MAGIC "libvirt-xml\n \0 \r"
#define XR_WIRE_LIBVIRT_STREAM2 2u

struct xr_wire_libvirt {
	char magic[16];
	uint32_t version;
	uint32_t xml_length;
	uint32_t unused[10];
};

#define XR_WIRE_CHECK(s, size) _Static_assert(sizeof(struct s) == (size), #s)
#define XR_WIRE_AT(s, field, at) _Static_assert(offsetof(struct s, field) == (at), #s "." #field)
XR_WIRE_CHECK(xr_wire_image, 24);
XR_WIRE_AT(xr_wire_image, be_id, 8);
XR_WIRE_AT(xr_wire_image, be_version, 12);
XR_WIRE_AT(xr_wire_image, be_options, 16);
XR_WIRE_CHECK(xr_wire_domain, 16);
XR_WIRE_AT(xr_wire_domain, page_shift, 4);
XR_WIRE_AT(xr_wire_domain, xen_major, 8);
XR_WIRE_CHECK(xr_wire_record, 8);
XR_WIRE_CHECK(xr_wire_pages, 8);
XR_WIRE_CHECK(xr_wire_pv_info, 8);
XR_WIRE_CHECK(xr_wire_p2m_frames, 8);
XR_WIRE_CHECK(xr_wire_vcpu, 8);
XR_WIRE_CHECK(xr_wire_tsc, 24);
XR_WIRE_AT(xr_wire_tsc, nsec, 8);
XR_WIRE_AT(xr_wire_tsc, incarnation, 16);
XR_WIRE_CHECK(xr_wire_params, 8);
XR_WIRE_CHECK(xr_wire_param, 16);
XR_WIRE_CHECK(xr_wire_cpuid, 24);
XR_WIRE_CHECK(xr_wire_msr, 16);
XR_WIRE_CHECK(xr_wire_libxl, 16);
XR_WIRE_AT(xr_wire_libxl, be_options, 12);
XR_WIRE_CHECK(xr_wire_xl, 48);
XR_WIRE_AT(xr_wire_xl, order, 32);
XR_WIRE_AT(xr_wire_xl, data_length, 44);
XR_WIRE_CHECK(xr_wire_libvirt, 64);
XR_WIRE_AT(xr_wire_libvirt, xml_length, 20);
/* The literals end in a NUL of the language's own, which is not on the wire. */
_Static_assert(sizeof(XR_WIRE_XL_MAGIC) == 32 + 1, "xl magic");
_Static_assert(sizeof(XR_WIRE_LIBVIRT_MAGIC) == 16 + 1, "libvirt magic");

#endif
