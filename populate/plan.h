/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The planner: which extents back the frames that a chunk of the stream names. Pure: it looks at
 * sets and entries and writes groups; physmap.c carries them out and moves the members of the sets.
 *
 * Every allocated frame is in exactly one of three sets: populated (the stream called it RAM), due
 * (part of an extent whose other frames are RAM in chunks that are known to follow) and guessed.
 * Numbers of 2M regions are pfn >> 9, of 1G regions pfn >> 18.
 */
#ifndef XR_PLAN_H
#define XR_PLAN_H

#include "populate/populate.h"

#define XR_GROUPS 1024u /* entries that are planned at a time, and so groups at most */
#define XR_REGION_PFNS 512u

/* The frames of one 2M region that are to be backed together. */
struct xr_group {
	uint64_t region;
	uint64_t bits[8]; /* these frames, none of them allocated */
	bool big;	  /* worth one 2M extent: no frame of the region is allocated */
	bool gig;	  /* worth one 1G extent before that */
	bool guess;	  /* frames outside bits are not known to be RAM */
};

/* What is known about a region that may become one extent. */
struct xr_region_fact {
	uint64_t ram[8];
	bool hole;
};

struct xr_plan {
	enum xr_policy policy;
	unsigned int max_order;
	uint64_t ahead; /* pages */
	uint64_t limit; /* nothing is guessed from this pfn on */

	struct xr_pfnset *populated, *due, *guessed;
	struct xr_pfnset *tried_2m, *tried_1g; /* of region numbers: asked for once already */
	struct xr_pfnset *open_guesses;	       /* of region numbers: not yet judged */
	const struct xr_pfnset *want;	       /* the final set, or NULL */

	/* While pfns ascend strictly, holes included, a pfn below edge that was not called RAM is a
	 * hole. The first entry below edge ends that for ever. */
	bool first_pass;
	uint64_t edge; /* largest pfn of the first pass, plus one */

	uint64_t window; /* pages that may be guessed at a time; adapts, at most ahead */
	unsigned int whole_run;

	uint64_t cursor; /* want: all below is backed */

	size_t ngroups;
	struct xr_group group[XR_GROUPS];
	struct xr_region_fact fact[XR_GROUPS];
};

/* The part of a chunk that is planned now, and all that is known to follow it. */
struct xr_known {
	const uint64_t *entry; /* from the first entry to plan to the end of its chunk */
	size_t n;
	size_t now; /* how many to plan: at most XR_GROUPS, and either all of them of the first
		     * pass or none */
	const struct xr_entries *const *next;
	size_t nnext;
};

static inline uint64_t xr_entry_pfn(uint64_t e)
{
	return e & 0x000fffffffffffffull;
}

/* All types but BROKEN and XTAB stand for RAM. */
static inline bool xr_entry_ram(uint64_t e)
{
	unsigned int type = (unsigned int)(e >> 60);

	return type != 0xd && type != 0xf;
}

/* Of a zeroed plan. 0 or -ENOMEM; xr_plan_fini() is due either way. */
int xr_plan_init(struct xr_plan *p, const struct xr_physmap_config *cfg);
void xr_plan_fini(struct xr_plan *p);

void xr_plan_allocated_bits(const struct xr_plan *p, uint64_t region, uint64_t bits[8]);

/* May this region still be asked for in one extent (order 9 or 18)? By what was done there, not by
 * what the stream says. pfn: any of the region. */
bool xr_plan_extent_open(const struct xr_plan *p, uint64_t pfn, unsigned int order);

/* Regions that the speculative policy never backs by one extent, and where nobody guesses: around
 * the VGA hole, the LAPIC and the ACPI information. */
bool xr_plan_forbidden(uint64_t pfn, unsigned int order);

/* How many of the entries, from the first on, belong to the first pass. */
size_t xr_plan_first_pass(const struct xr_plan *p, const uint64_t *entry, size_t n);

/* Write the groups that back k->now entries. */
void xr_plan_chunk(struct xr_plan *p, const struct xr_known *k);

/* With a foreseen set. Next: the first region >= the cursor that lacks a frame, false if there is
 * none (moves the cursor). Region: what it lacks, false if nothing. */
bool xr_plan_next_region(struct xr_plan *p, uint64_t *region);
bool xr_plan_region(const struct xr_plan *p, uint64_t region, struct xr_group *g);

/* Write groups for up to max regions that the first pass will probably reach next. */
void xr_plan_guess(struct xr_plan *p, size_t max);

/* These first-pass entries were carried out: judge the guesses below the edge, adapt the window.
 * 0 or -ENOMEM. */
int xr_plan_observe(struct xr_plan *p, const uint64_t *entry, size_t n);

/* The host refused a guess. */
void xr_plan_guess_refused(struct xr_plan *p);

/* The first pass is over. What is still guessed is now wrong. 0 or -ENOMEM. */
int xr_plan_end_first_pass(struct xr_plan *p);

/* Between the policies (plan.c): decide big, gig and guess of the groups. */
void xr_plan_exact(struct xr_plan *p, const struct xr_known *k);
void xr_plan_speculative(struct xr_plan *p, const struct xr_known *k);

#endif
