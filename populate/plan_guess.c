/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guessing where a first pass on a pipe goes next, and how far to trust that. A guess that came
 * true doubles the window, one that proved mostly hole closes it until whole regions come again.
 */
#include "populate/plan.h"

#include <string.h>

#define RUN_TO_RESUME 2u

static void set_window(struct xr_plan *p, uint64_t pages)
{
	p->window = pages < p->ahead ? pages : p->ahead;
}

void xr_plan_guess_refused(struct xr_plan *p)
{
	p->window = 0;
	p->whole_run = 0;
}

static void judge(struct xr_plan *p, uint64_t region)
{
	unsigned int ram = 0;
	uint64_t bits[8];

	xr_pfnset_region(p->populated, region << 9, bits);
	for (unsigned int i = 0; i < 8; i++)
		ram += (unsigned int)__builtin_popcountll(bits[i]);
	if (ram == XR_REGION_PFNS)
		set_window(p, p->window ? p->window * 2 : XR_REGION_PFNS);
	else if (ram > XR_REGION_PFNS / 2)
		p->window /= 2;
	else
		xr_plan_guess_refused(p);
}

/* A region that the data alone completed. */
static void count_whole(struct xr_plan *p, uint64_t region)
{
	if (xr_pfnset_fill(p->populated, region << 9, XR_ORDER_2M) != XR_FULL)
		p->whole_run = 0;
	else if (++p->whole_run >= RUN_TO_RESUME && p->window < XR_REGION_PFNS)
		set_window(p, XR_REGION_PFNS);
}

int xr_plan_observe(struct xr_plan *p, const uint64_t *entry, size_t n)
{
	uint64_t done = p->edge >> 9, last = XR_NO_PFN, region;

	if (!p->ahead)
		return 0;
	for (size_t i = 0; i < n; i++) {
		region = xr_entry_pfn(entry[i]) >> 9;
		if (region != last && region < done && !xr_pfnset_has(p->open_guesses, region))
			count_whole(p, region);
		last = region;
	}
	for (region = 0; (region = xr_pfnset_next(p->open_guesses, region, false)) < done; region++)
		judge(p, region);
	return xr_pfnset_del(p->open_guesses, 0, done);
}

static void add_guess(struct xr_plan *p, uint64_t region)
{
	struct xr_group *g = &p->group[p->ngroups++];

	memset(g, 0, sizeof(*g));
	g->region = region;
	g->big = xr_plan_extent_open(p, region << 9, XR_ORDER_2M);
	g->guess = true;
}

void xr_plan_guess(struct xr_plan *p, size_t max)
{
	uint64_t pages = xr_pfnset_count(p->guessed) + XR_REGION_PFNS;
	uint64_t region = (p->edge + XR_REGION_PFNS - 1) >> 9;
	uint64_t end = region + p->window / XR_REGION_PFNS;

	p->ngroups = 0;
	if (!p->first_pass || !p->edge)
		return;
	for (; region < end && region < p->limit >> 9; region++) {
		uint64_t have[8], any = 0;

		if (p->ngroups == max || pages > p->window)
			break;
		xr_plan_allocated_bits(p, region, have);
		for (unsigned int i = 0; i < 8; i++)
			any |= have[i];
		if (any || xr_plan_forbidden(region << 9, XR_ORDER_2M) ||
		    xr_pfnset_has(p->open_guesses, region))
			continue;
		add_guess(p, region);
		pages += XR_REGION_PFNS;
	}
}
