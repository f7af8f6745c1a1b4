/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host that only keeps books: which gfn is backed by an entry of which size, and every habit of
 * the caller that real Xen would punish. Refusals are drawn from a seed or set by order.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include "base/error.h"
#include "host/host.h"

struct fake_host {
	struct xr_host host;

	/* Settings; may be changed at any time. */
	uint64_t max_pages;
	unsigned int max_order; /* larger extents are refused */
	unsigned int refuse_2m; /* in percent, by seed; likewise 1G */
	uint64_t frames;	/* 4K frames that the host still has; ~0: no end */
	unsigned int
		refuse_once; /* percent of 4K calls that stop short, though not twice in a row */
	int call_error;	     /* returned by populate if not 0 */
	int info_error;	     /* likewise by info */
	long release_error;  /* likewise by release: negative, or a short count */
	bool boast;	     /* counts say one more than was asked */
	uint64_t seed;
	bool pv; /* frames have mfns: the pfn they were made for plus FAKE_MFNS */

	uint64_t tot_pages;
	uint64_t info_calls, populate_calls, release_calls;
	uint64_t calls_of[19], extents_of[19], refused_of[19];
	uint64_t peak_pages;
	uint64_t retire_calls, retired;

	/* Faults of the caller. */
	uint64_t leaked;	   /* populate of a backed gfn */
	uint64_t released_empty;   /* release of one that is not backed */
	uint64_t released_dirty;   /* release of a frame with guest data that was not cleared */
	uint64_t over_allocations; /* asked beyond max_pages */
	uint64_t misaligned;
	uint64_t tried_again;	  /* a region asked for twice in one extent */
	uint64_t tried_forbidden; /* ... around the VGA hole, the LAPIC, the ACPI information */
	uint64_t retired_empty;
	uint64_t took_xens; /* a page of Xen's was cleared, released or populated over */

	unsigned char *frame; /* by gfn */
	unsigned char *tried; /* by 2M region */
	bool stopped_short;
};

#define FAKE_MFNS ((uint64_t)1 << 37)

void fake_open(struct fake_host *f, uint64_t start_pages, uint64_t max_pages);
void fake_close(struct fake_host *f);

/* 0, 9, 18; -1: not backed. */
int fake_order(const struct fake_host *f, uint64_t gfn);

/* The guest's data was written there. */
void fake_write(struct fake_host *f, uint64_t gfn);

/* What a guest that runs does by itself: give a frame back, take one, put a page of Xen's there. */
void fake_give(struct fake_host *f, uint64_t gfn);
void fake_take(struct fake_host *f, uint64_t gfn);
void fake_put_xens(struct fake_host *f, uint64_t gfn);
bool fake_xens(const struct fake_host *f, uint64_t gfn);

/* For xr_physmap_config.retire and has_ram; ctx is the host. */
struct xr_error;
struct xr_where;
int fake_retire(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n, bool clear,
		struct xr_error *err);

int fake_has_ram(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n, bool *ram,
		 struct xr_error *err);

/* All faults together: 0 in every test. */
uint64_t fake_faults(const struct fake_host *f);

#endif
