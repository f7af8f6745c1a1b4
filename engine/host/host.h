/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a restore needs of a hypervisor, and nothing else. Two hosts implement it: xen and model.
 *
 * gfns are frame numbers as Xen takes them, in units of 4 KiB. HVM: gfn = pfn. PV: gfn = mfn, which
 * Xen chooses when it populates a pfn. Extents are 2^order frames, their pfn aligned to the order.
 * Calls return 0 or a negative errno unless said otherwise.
 *
 * A host handle is used by one thread at a time. Mapping goes through a mapper, one per worker,
 * opened in the worker itself (no handle survives fork); mappers of one host may be used at the
 * same time as each other and as the host handle.
 */
#ifndef XR_HOST_H
#define XR_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XR_PAGE_SHIFT 12
#define XR_PAGE_SIZE 4096u
#define XR_ORDER_4K 0u
#define XR_ORDER_2M 9u
#define XR_ORDER_1G 18u

struct xr_host;
struct xr_mapper;

#define XR_NO_VCPU (~(uint32_t)0)

struct xr_dominfo {
	uint32_t domid;
	bool hvm;	      /* HVM or PVH */
	bool paused;	      /* and neither dying nor shut down: nothing of it runs */
	uint32_t max_vcpu_id; /* XR_NO_VCPU: there is none yet (XEN_INVALID_MAX_VCPU_ID) */
	uint64_t tot_pages;   /* owned now, including pages that only a mapping keeps */
	uint64_t max_pages;
	uint64_t shared_info_gfn; /* PV */
};

enum xr_vcpu_state {
	XR_VCPU_BASIC,	  /* vcpu_guest_context of the guest's width, in XR_VCPU_BASIC_BYTES */
	XR_VCPU_EXTENDED, /* xen_domctl_ext_vcpucontext, or the first bytes of one */
	XR_VCPU_XSAVE,	  /* xcr0, xcr0_accum and the area, as in the stream */
	XR_VCPU_MSRS,	  /* 16 bytes each, as in the stream */
	XR_VCPU_STATES,
};

#define XR_VCPU_BASIC_BYTES 5168u /* Xen reads so many for a guest of any width */

/* A page table to be pinned. */
struct xr_pin {
	unsigned int level; /* 1 to 4 */
	uint64_t gfn;
};

/* What Xen names when it refuses a CPU policy; ~0 where it names nothing. */
struct xr_policy_fault {
	uint32_t leaf, subleaf, msr;
};

/* What another program on this machine needs to map memory of the same guest. */
struct xr_host_share {
	bool model;
	uint32_t domid;
	int fd[3]; /* to be inherited under their numbers; -1: none */
};

struct xr_host_ops {
	const char *name;
	int (*info)(struct xr_host *h, struct xr_dominfo *info);

	/*
	 * XENMEM_populate_physmap. Returns the number of extents done: a short count is a failure
	 * at exactly that extent, earlier ones are done, later ones untouched (Xen gives no
	 * reason). Negative: the call could not be made at all, nothing is done.
	 * Never for a pfn that is backed: Xen then leaks the old page without an error.
	 * PV: mfns[i] becomes the first frame of extent i, the others follow it; HVM: mfns is NULL.
	 */
	long (*populate)(struct xr_host *h, unsigned int order, size_t n, const uint64_t *pfns,
			 uint64_t *mfns);

	/*
	 * XENMEM_decrease_reservation; result as for populate. Only for backed gfns without a live
	 * mapping: a mapped page stays allocated and counted until it is unmapped.
	 * Contents are not scrubbed by Xen.
	 */
	long (*release)(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns);

	/* leaves: nr_leaves x 24 bytes, msrs: nr_msrs x 16 bytes, as in the stream. */
	int (*set_cpu_policy)(struct xr_host *h, const void *leaves, uint32_t nr_leaves,
			      const void *msrs, uint32_t nr_msrs, struct xr_policy_fault *fault);
	int (*set_tsc)(struct xr_host *h, uint32_t mode, uint64_t nsec, uint32_t khz,
		       uint32_t incarnation);
	int (*set_param)(struct xr_host *h, uint32_t index, uint64_t value);
	int (*set_hvm_context)(struct xr_host *h, const void *context, uint32_t size);
	/* hvm: what the domain is. */
	int (*seed_grants)(struct xr_host *h, bool hvm, uint64_t console_gfn, uint64_t store_gfn,
			   uint32_t console_domid, uint32_t store_domid);

	/*
	 * PV only, -EINVAL for HVM, of which the width is 8. It is that of a guest's word, 4 or 8
	 * bytes; a new domain has 8, and it can be made 4 as long as the domain owns no page.
	 * Loading a context and pinning make Xen validate page tables, which fails while anyone
	 * maps one writable.
	 */
	int (*get_width)(struct xr_host *h, unsigned int *width);
	int (*set_width)(struct xr_host *h, unsigned int width);
	int (*set_vcpu)(struct xr_host *h, uint32_t vcpu, enum xr_vcpu_state state,
			const void *blob, uint32_t size);
	int (*pin)(struct xr_host *h, size_t n, const struct xr_pin *pins);

	/*
	 * Of a guest that ran meanwhile and whose writes the toolstack has had logged: its highest
	 * gfn plus one, and which of the first n gfns it has written since the last call. bits has
	 * room for n bits, rounded up to words.
	 */
	int (*nr_gfns)(struct xr_host *h, uint64_t *n);
	int (*take_dirty)(struct xr_host *h, uint64_t n, uint64_t *bits);

	/*
	 * HVM. At which of these gfns has the guest RAM of its own? Not where it put a page of
	 * Xen's (its shared info, its grant table) or mapped a grant, though these can be mapped.
	 * A saver asks the same (XEN_DOMCTL_getpageframeinfo3). n <= XR_RAM_MAX.
	 */
	int (*has_ram)(struct xr_host *h, size_t n, const uint64_t *gfns, bool *ram);

	/* May be NULL: nobody else can map. */
	void (*share)(struct xr_host *h, struct xr_host_share *out);

	int (*mapper_open)(struct xr_host *h, struct xr_mapper **out);
	void (*mapper_close)(struct xr_mapper *m);

	/*
	 * Map n frames readable and, but for a read_only mapper, writable, contiguous in the order
	 * given. Returns NULL with errno on complete failure (err[] then undefined); else err[i] is
	 * 0 or a negative errno, and a page whose err is not 0 must not be touched. n <=
	 * XR_MAP_MAX. Plain reads and memory access only: no O_DIRECT, no registered buffers.
	 */
	void *(*map)(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err);
	int (*unmap)(struct xr_mapper *m, void *addr, size_t n);

	void (*close)(struct xr_host *h);
};

#define XR_MAP_MAX 2048u
#define XR_RAM_MAX 1024u /* Xen takes no more */

/* Both implementations begin with these. */
struct xr_host {
	const struct xr_host_ops *ops;
};

struct xr_mapper {
	const struct xr_host_ops *ops;
	int unrestricted; /* errno: why it could reach other domains, too; 0: it can't */
	bool read_only;	  /* set by who opened it, before it maps: Xen maps nothing writable */
};

struct xentoollog_logger;

/* Needs a domain that exists. logger may be NULL. */
int xr_host_xen_open(struct xr_host **out, uint32_t domid, struct xentoollog_logger *logger);

/* A handle in another program, for mappers and nothing else. 0 or a negative errno. */
int xr_host_attach(struct xr_host **out, const struct xr_host_share *s);
int xr_host_xen_attach(struct xr_host **out, uint32_t domid);

#endif
