/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The populate stage: every frame that the stream calls RAM is backed, in the largest extents that
 * end up whole, and nothing else is. plan.h decides (pure); the physmap here acts on the host and
 * accounts. One thread.
 *
 * Between calls: populated is a subset of allocated. What is allocated but not populated is either
 * due (the rest of a large extent, RAM in the chunks that are known to follow) or speculative, and
 * that is bounded (exact: ahead; speculative: one extent of max_order; 4k: nothing).
 */
#ifndef XR_POPULATE_H
#define XR_POPULATE_H

#include "base/error.h"
#include "base/p2m.h"
#include "base/pfnset.h"
#include "host/host.h"

struct xr_physmap;

struct xr_physmap_config {
	enum xr_policy policy;
	unsigned int max_order;
	uint64_t ahead_pages; /* exact without an index: how far to allocate ahead */
	struct xr_p2m *p2m;   /* PV: is kept as frames come and go; HVM: NULL */

	/*
	 * Frames are about to be taken from the guest: finish all copies to them, drop every
	 * mapping of them and, if clear, zero them. Called before the release. where: the record
	 * that takes them, for errors. 0 or an error.
	 */
	int (*retire)(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n,
		      bool clear, struct xr_error *err);

	/*
	 * At which of these pfns has the guest RAM of its own (host.h)? Asked after
	 * xr_physmap_runs(), of up to XR_RAM_MAX at a time. 0 or an error.
	 */
	int (*has_ram)(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n,
		       bool *ram, struct xr_error *err);

	/*
	 * Go on? Called before each call that gives frames to the guest or takes them back, so that
	 * one such call is the most that a cancel waits for. 0, or an error that ends all. May be
	 * NULL.
	 */
	int (*heed)(void *ctx, struct xr_error *err);
	void *ctx;
};

/* A chunk of entries as the stream names them (stream.h), no pfn twice. */
struct xr_entries {
	struct xr_where where;
	size_t n;
	const uint64_t *entry;
};

struct xr_physmap_stats {
	uint64_t populated;	     /* frames the stream calls RAM, backed */
	uint64_t due;		     /* allocated, RAM in chunks that are known to follow */
	uint64_t speculative;	     /* allocated beyond that, now */
	uint64_t peak_speculative;   /* between calls */
	uint64_t extents[19];	     /* granted, by order */
	uint64_t whole_2m, whole_1g; /* granted and not broken since */
	uint64_t pages_4k;	     /* the populated frames outside those */
	uint64_t released;	     /* pages */
	uint64_t populate_calls, release_calls, info_calls;
	uint64_t short_counts; /* populates that did less than asked */
	uint64_t populate_ns, release_ns;
};

/* Reads the domain's limits. The host stays the caller's. */
int xr_physmap_open(struct xr_physmap **out, struct xr_host *host,
		    const struct xr_physmap_config *cfg, struct xr_error *err);
void xr_physmap_close(struct xr_physmap **pm);

/*
 * Back all RAM entries of *now and release what it takes away. next[0..nnext) are the chunks that
 * are known to follow, in order: they let a 2M or 1G region that *now touches be decided exactly.
 */
int xr_physmap_apply(struct xr_physmap *pm, const struct xr_entries *now,
		     const struct xr_entries *const *next, size_t nnext, struct xr_error *err);

/*
 * What these entries will need of frames, allocated as due; nothing is taken away, and nothing of
 * the guest changes: if they are never applied, xr_physmap_settle() gives it back. An error leaves
 * as much done as was done, and applying them may still succeed.
 */
int xr_physmap_prepare(struct xr_physmap *pm, const struct xr_entries *e, struct xr_error *err);

/* From now on the guest runs between calls, and may give frames back or take some by itself: see
 * has_ram. */
void xr_physmap_runs(struct xr_physmap *pm);

/* After xr_physmap_runs(): the guest's RAM at these pfns, at most XR_RAM_MAX, below XR_PFN_LIMIT,
 * is in the books as the host has it now. Does nothing before. */
int xr_physmap_follow(struct xr_physmap *pm, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err);

/* The guest ends before this pfn: nothing is guessed behind it. */
void xr_physmap_limit(struct xr_physmap *pm, uint64_t end);

/* From here on the final set of frames is known: xr_physmap_ensure() takes the place of apply. The
 * set is kept by reference. */
void xr_physmap_foresee(struct xr_physmap *pm, const struct xr_pfnset *want);

/* With a foreseen set: back all members of it around these pfns. */
int xr_physmap_ensure(struct xr_physmap *pm, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err);

/*
 * A step of work ahead of the data, small enough to look for input after it: with a foreseen set
 * 16 2M extents, 1024 4K frames or one 1G extent, else 4 regions that the first pass will probably
 * reach next (so call it when no chunk is queued). 1: did something; 0: nothing to do now;
 * negative: error.
 */
int xr_physmap_ahead(struct xr_physmap *pm, struct xr_error *err);

/* Did a call fail so that nothing more may be asked for? */
bool xr_physmap_torn(const struct xr_physmap *pm);

/* Is this pfn RAM by what was applied so far? */
bool xr_physmap_has(const struct xr_physmap *pm, uint64_t pfn);

/* The stream pauses, or goes no further: release what is allocated and not populated. */
int xr_physmap_settle(struct xr_physmap *pm, struct xr_error *err);

/* END: back what a foreseen set still lacks (step by step, see heed), release all that is
 * speculative, and check that the domain owns what it should (tot_pages as the host reports it;
 * only a shortfall is an error). */
int xr_physmap_finish(struct xr_physmap *pm, struct xr_error *err);

/* The populated set, for results and tests. */
const struct xr_pfnset *xr_physmap_set(const struct xr_physmap *pm);
void xr_physmap_stats(const struct xr_physmap *pm, struct xr_physmap_stats *out);

#endif
