/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PV guests. Contents of page tables are written like those of any page, as they came; when all
 * frames are there, the copy workers localise them where they lie, each in its newest version. So
 * nothing is kept aside, and an ordinary page that follows a table is just that.
 *
 * What the stream sent is never changed here, only copies of it: completion may run again.
 */
#ifndef XR_GUEST_PV_H
#define XR_GUEST_PV_H

#include "internal.h"

/* Where the guest's structures have what is read or set, by the guest's width. */
struct xr_pv_layout {
	unsigned int width, levels;
	struct {
		uint32_t bytes;
		unsigned int start_info, gdt_frames, gdt_ents, ctrlreg;
	} vcpu;
	struct {
		unsigned int nr_pages, shared_info, flags, store_mfn, store_port, console_mfn,
			console_port;
	} start;
	struct {
		unsigned int pending_sel, pending, mask, port_bytes, arch, arch_bytes, p2m_list;
	} shared;
};

struct xr_pv_blob {
	void *data; /* NULL: none came */
	uint32_t size;
};

struct xr_pv {
	const struct xr_pv_layout *layout; /* NULL before X86_PV_INFO */
	uint64_t shared_info_gfn;

	uint32_t nvcpus;
	struct xr_pv_blob (*vcpu)[XR_VCPU_STATES];

	uint32_t *frame; /* pfns of the guest's own p2m, by number; XR_PV_NO_FRAME: not said */
	size_t nframes;

	struct xr_pfnset *tables; /* pfns whose last type is that of a page table */
	struct xr_pfnset *pinned;

	void *stuck; /* a mapping of so many frames that could not be unmapped; NULL: none */
	size_t nstuck;

	/* Which pfns the start info at this pfn named, before they became mfns. */
	uint64_t start_pfn;
	uint64_t store_pfn, console_pfn;
};

#define XR_PV_NO_FRAME (~(uint32_t)0)

static inline bool xr_pv_is_table(unsigned int type)
{
	return (type & 7) >= 1 && (type & 7) <= 4;
}

/*
 * Map n frames for the engine itself. pfn is for errors (XR_NO_PFN: none). NULL with *err filled.
 * No mapping may be open when Xen validates page tables.
 */
void *xr_pv_map(struct xr_restore *r, const uint64_t *gfns, size_t n, const struct xr_where *where,
		uint64_t pfn, struct xr_error *err);
int xr_pv_unmap(struct xr_restore *r, void *addr, size_t n, const struct xr_where *where,
		struct xr_error *err);

/* The frame of an ordinary page of the guest, or an error that calls it `what`. */
int xr_pv_frame(struct xr_restore *r, uint64_t pfn, const char *what, uint64_t *mfn,
		struct xr_error *err);

int xr_pv_types(struct xr_restore *r, const struct xr_item *it, struct xr_error *err);
int xr_pv_settle(struct xr_restore *r, struct xr_error *err);
int xr_pv_complete(struct xr_restore *r, struct xr_error *err);
int xr_pv_load_vcpus(struct xr_restore *r, struct xr_error *err);

/* A word of the guest's width. Set: -ERANGE if it does not fit. */
uint64_t xr_pv_get(const struct xr_pv *pv, const void *base, size_t at);
int xr_pv_set(const struct xr_pv *pv, void *base, size_t at, uint64_t value);

#endif
