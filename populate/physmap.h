/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the physmap: what its files share. All functions return 0 or a negative errno with
 * pm->err filled, unless said otherwise.
 */
#ifndef XR_PHYSMAP_H
#define XR_PHYSMAP_H

#include "populate/plan.h"

/* Extents in one call. A cancel waits for the end of a call. */
#define XR_BATCH_4K 1024u
#define XR_BATCH_2M 4u
#define XR_RELEASE_2M 64u

/* After some failures in a row an order is left alone for a while, longer each time. */
struct xr_backoff {
	unsigned int failures;
	unsigned int skip;
};

struct xr_physmap {
	struct xr_host *host;
	struct xr_physmap_config cfg;
	struct xr_plan plan;
	struct xr_pfnset *exact; /* where frames go that are not guessed: due or populated */

	uint64_t start_pages; /* owned at open */
	uint64_t owned;	      /* tot_pages by our count, or as last read */
	uint64_t max_pages;
	struct xr_pfnset *whole_2m, *whole_1g; /* of region numbers: p2m entries of that size */
	struct xr_backoff large[2];	       /* 2M, 1G */
	struct xr_physmap_stats stats;

	/* Of the call that runs. */
	const struct xr_where *where;
	struct xr_error *err;
	const uint64_t *slice; /* the entries that are carried out */
	size_t nslice;
	bool fresh; /* the limits were read in this call */
	bool runs;  /* the guest may have changed its frames by itself */
	bool torn;  /* the books may not be those of the host any more */

	struct xr_group big[XR_BATCH_2M];
	size_t nbig;
	uint64_t small[XR_BATCH_4K];
	size_t nsmall;
	uint64_t gone[XR_BATCH_4K]; /* to be released */
	size_t ngone;
	uint64_t mfns[XR_BATCH_4K]; /* PV: of a call */
};

/* physmap.c: what a call of the stage's begins with. where may be NULL. */
void xr_pm_begin_call(struct xr_physmap *pm, const struct xr_where *where, struct xr_error *err);

/* account.c: the two calls that change the guest, and the books about them. */
int xr_pm_no_memory(struct xr_physmap *pm); /* our own, not the guest's */
int xr_pm_read_limits(struct xr_physmap *pm);
bool xr_pm_fits(const struct xr_physmap *pm, uint64_t pages); /* beside what is queued */

/* Ask for n extents, which become members of set. *done is what was granted; a refusal is no
 * error: *why is then a negative errno where the host gave one, or 0. */
int xr_pm_ask(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
	      struct xr_pfnset *set, size_t *done, int *why);

/* Release n extents, members of set. A short count is an error. */
int xr_pm_release(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
		  struct xr_pfnset *set);

/* The guest has given this frame back by itself: out of the books and out of the set. */
int xr_pm_forget(struct xr_physmap *pm, uint64_t gfn, struct xr_pfnset *set);

/* release.c */
int xr_pm_promote(struct xr_physmap *pm); /* allocated RAM of the slice becomes populated */
int xr_pm_drop(struct xr_physmap *pm, struct xr_pfnset *set, uint64_t end); /* members below end */
int xr_pm_give_back(struct xr_physmap *pm); /* all guesses that the slice did not confirm */
int xr_pm_balloon_out(struct xr_physmap *pm);

/* running.c. Follow: what the guest gave back or took by itself at pfns of the slice. Spare: plan
 * no large extent over frames that it took outside of the slice. */
int xr_pm_follow_guest(struct xr_physmap *pm);
int xr_pm_spare_guest(struct xr_physmap *pm);

/* batch.c: back the plan's groups, in as few calls as can be. */
int xr_pm_carry_out(struct xr_physmap *pm);

#endif
