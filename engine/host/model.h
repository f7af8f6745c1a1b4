/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A software Xen holding one domain: p2m with page orders, tot_pages and max_pages, references held
 * by live mappings, and the failure habits of the real one (superpage-semantics 5): short counts;
 * a second populate of a backed gfn succeeds and leaks the old page; release of an empty gfn is a
 * short count; a superpage that loses a page is split for good; a mapped page stays counted.
 *
 * A PV domain has mfns that are not its pfns, and types: a page table can be validated only where
 * nothing writable maps it, nor any table below it, and no longer be mapped writable then. A failed
 * validation leaves some types behind: the domain is good for nothing but its end, as after any
 * failed restore. Functions for tests take pfns for both kinds of domain.
 *
 * The state lives in shared memory, so that forked workers see one guest; a process-shared lock
 * guards it. Guest memory is a private tmpfs with huge pages for 2M and 1G extents and one without
 * for 4K ones (memfds where mounting is not allowed: xr_model_has_huge_pages() then says no).
 */
#ifndef XR_MODEL_H
#define XR_MODEL_H

#include "host/host.h"

struct xr_model;

enum xr_model_call {
	XR_CALL_INFO,
	XR_CALL_POPULATE,
	XR_CALL_RELEASE,
	XR_CALL_CPU_POLICY,
	XR_CALL_TSC,
	XR_CALL_PARAM,
	XR_CALL_CONTEXT,
	XR_CALL_GRANTS,
	XR_CALL_MAPPER,
	XR_CALL_MAP,
	XR_CALL_UNMAP,
	XR_CALL_WIDTH, /* both calls */
	XR_CALL_VCPU,
	XR_CALL_PIN,
	XR_CALL_DIRTY, /* both calls */
	XR_CALL_RAM,
	XR_CALL_COUNT,
};

struct xr_model_settings {
	uint64_t max_pages;	/* 2^32, 16 TiB: limit of the domain, pages */
	uint64_t start_pages;	/* 0; owned by the domain but at no gfn (counted in tot_pages) */
	uint64_t max_gfn;	/* 0: 2^36 - 1; higher gfns can't be populated */
	bool pv;		/* false */
	bool follow;		/* false; becomes what the first restore is of, while it is empty */
	uint32_t max_vcpu_id;	/* 0; with follow 127, if it is 0 */
	bool without_memory;	/* accounting only: no frame has contents, mappings are scratch */
	bool no_huge;		/* don't try for huge pages */
	unsigned int max_order; /* 18; larger extents get a short count */
	uint64_t fill;		/* what every word of a fresh frame holds; environment
				 * XR_MODEL_FILL, else 0. Xen, too, promises no zeros: another value
				 * shows what a restorer left out */
};

void xr_model_settings_default(struct xr_model_settings *s);
int xr_model_create(struct xr_model **out, const struct xr_model_settings *s);
void xr_model_destroy(struct xr_model **m);

/* As freshly created, with these settings, but for without_memory and no_huge, which stay: faster
 * than a new one. Nobody else uses the model, and no mapper is open. */
int xr_model_reset(struct xr_model *m, const struct xr_model_settings *s);

/* Make an empty domain that follows (see the settings) PV, or HVM. Any other stays what it is. */
void xr_model_follow(struct xr_model *m, bool pv);

/*
 * Share a model with programs that this process starts: share makes the descriptors of the model
 * survive exec and returns the one to pass on (still the model's, not to be closed), or a negative
 * errno. attach, in the other program, makes a model of it; the guest lasts until both are
 * destroyed. -EBADF: some descriptor was not inherited.
 */
int xr_model_share(struct xr_model *m);
int xr_model_attach(struct xr_model **out, int fd);

/* A host handle on the model; the model must outlive it. Several may exist. */
int xr_host_model_open(struct xr_host **out, struct xr_model *m);

bool xr_model_has_huge_pages(const struct xr_model *m);

/*
 * How many of the frames that lie in whole 2M or 1G entries the kernel does keep in huge pages: it
 * may run out of them at any time, and the rest then costs what small pages cost.
 */
uint64_t xr_model_huge_frames(struct xr_model *m);

/*
 * As the host's map, for more than XR_MAP_MAX frames (up to 2^20): callers that come through the
 * preload library know no such limit.
 */
void *xr_model_map_many(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err);

/*
 * Fault injection: the nth call (from 1) of this kind from now on fails, once. For populate and
 * release `arg` is how many extents are done before the failure (< 0: the call itself fails with
 * that errno), and order >= 0 restricts the count to calls of that order (-1: any). For map, arg
 * >= 0 is the index of the page that gets -EINVAL (< 0: the whole call fails with that errno). For
 * the others arg is the negative errno.
 */
void xr_model_fail(struct xr_model *m, enum xr_model_call call, uint64_t nth, int order, int arg);

/* Every populate of this order or higher fails, until reset with 255. */
void xr_model_fail_orders_from(struct xr_model *m, unsigned int order);

struct xr_model_stats {
	uint64_t tot_pages, max_pages;
	uint64_t calls[XR_CALL_COUNT];
	uint64_t extents_populated[19]; /* by order */
	uint64_t pages_released;
	uint64_t pages_mapped;	  /* ever */
	uint64_t live_mappings;	  /* pages mapped now */
	uint64_t leaked;	  /* populates of a backed gfn: a bug in the caller */
	uint64_t released_empty;  /* releases of an empty gfn: a bug in the caller */
	uint64_t released_mapped; /* releases of a gfn with a live mapping: a bug in the caller */
	uint64_t left_mapped;	  /* pages whose mapper was closed first: a bug in the caller */
	uint64_t released_xens;	  /* releases of a page of Xen's: a bug in the caller */
	uint64_t released_dirty;  /* releases of a frame that is neither all zero nor fresh */
	uint64_t peak_pages;	  /* largest tot_pages ever */
	uint64_t whole_1g, whole_2m, pages_4k; /* p2m now: entries by size */
	uint64_t pinned;		       /* page tables */
};
void xr_model_stats(struct xr_model *m, struct xr_model_stats *out);

/* The highest gfn that ever was backed; it never falls. ~0: none was. */
uint64_t xr_model_highest(struct xr_model *m);

/* Is the gfn backed, and by an entry of which order (0, 9, 18)? -1: not backed. */
int xr_model_order(struct xr_model *m, uint64_t gfn);

/* The lowest backed gfn >= from, or ~0. */
uint64_t xr_model_next(struct xr_model *m, uint64_t from);

/* Copy a frame out (or in). -ENOENT if the gfn is not backed. Not counted as calls. */
int xr_model_peek(struct xr_model *m, uint64_t gfn, void *page);
int xr_model_poke(struct xr_model *m, uint64_t gfn, const void *page);

/* The guest writes to this frame: take_dirty() tells of it. Some thousand different ones between
 * two calls. -ENOENT if the gfn is not backed. */
int xr_model_dirty(struct xr_model *m, uint64_t gfn, const void *page);

/*
 * The guest puts a page of Xen's in the place of this frame, as it does with its shared info: can
 * be mapped like any other, but is no RAM of the guest's, and its own frame goes back to the host.
 * At most 64 at a time. -ENOENT if the gfn is not backed.
 */
int xr_model_put_xens(struct xr_model *m, uint64_t gfn);

/* What the guest was given, for tests: all zero where it never was. Blobs by length and hash. */
struct xr_model_given {
	uint64_t leaves_hash, msrs_hash, context_hash;
	uint64_t tsc_nsec;
	uint64_t console_gfn, store_gfn;
	uint32_t leaves, msrs, context_bytes;
	uint32_t tsc_mode, tsc_khz, tsc_incarnation;
	uint32_t console_domid, store_domid;
};
void xr_model_given(struct xr_model *m, struct xr_model_given *out);
uint64_t xr_model_hash(const void *data, size_t n);

/* What was set; for tests. ~0 / NULL where never set. */
uint64_t xr_model_param(struct xr_model *m, uint32_t index);

/* PV. Frame numbers either way, ~0 where there is none. */
uint64_t xr_model_mfn(struct xr_model *m, uint64_t pfn);
uint64_t xr_model_pfn(struct xr_model *m, uint64_t mfn);
/* The level of the page table that the frame is by its type, 0 for none. */
unsigned int xr_model_table(struct xr_model *m, uint64_t pfn, bool *pinned);
unsigned int xr_model_width(struct xr_model *m);
/* What was set, up to size bytes of it; its true size, or -ENOENT. */
int xr_model_vcpu(struct xr_model *m, uint32_t vcpu, enum xr_vcpu_state state, void *out,
		  size_t size);
int xr_model_shared_info(struct xr_model *m, void *page);

/* The calls other than memory and mapping in order, e.g. "policy tsc param:1 context grants"; for
 * PV e.g. "width:4 vcpu:0:basic pin:3". */
const char *xr_model_log(struct xr_model *m);

#endif
