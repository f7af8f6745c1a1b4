/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner's state, and grouping of a chunk's frames by 2M region. */
#include "populate/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int xr_plan_init(struct xr_plan *p, const struct xr_physmap_config *cfg)
{
	p->policy = cfg->policy;
	p->max_order = cfg->policy == XR_POLICY_4K ? 0 : cfg->max_order;
	p->limit = XR_PFN_LIMIT;
	p->ahead = cfg->policy == XR_POLICY_EXACT ? cfg->ahead_pages : 0;
	p->first_pass = true;
	p->window = p->ahead < XR_REGION_PFNS ? p->ahead : XR_REGION_PFNS;
	p->populated = xr_pfnset_new();
	p->due = xr_pfnset_new();
	p->guessed = xr_pfnset_new();
	p->tried_2m = xr_pfnset_new();
	p->tried_1g = xr_pfnset_new();
	p->open_guesses = xr_pfnset_new();
	if (p->populated && p->due && p->guessed && p->tried_2m && p->tried_1g && p->open_guesses)
		return 0;
	return -ENOMEM;
}

void xr_plan_fini(struct xr_plan *p)
{
	xr_pfnset_free(p->populated);
	xr_pfnset_free(p->due);
	xr_pfnset_free(p->guessed);
	xr_pfnset_free(p->tried_2m);
	xr_pfnset_free(p->tried_1g);
	xr_pfnset_free(p->open_guesses);
}

void xr_plan_allocated_bits(const struct xr_plan *p, uint64_t region, uint64_t bits[8])
{
	uint64_t due[8], guessed[8];

	xr_pfnset_region(p->populated, region << 9, bits);
	xr_pfnset_region(p->due, region << 9, due);
	xr_pfnset_region(p->guessed, region << 9, guessed);
	for (unsigned int i = 0; i < 8; i++)
		bits[i] |= due[i] | guessed[i];
}

bool xr_plan_extent_open(const struct xr_plan *p, uint64_t pfn, unsigned int order)
{
	const struct xr_pfnset *tried = order == XR_ORDER_1G ? p->tried_1g : p->tried_2m;

	return p->max_order >= order && !xr_pfnset_has(tried, pfn >> order) &&
	       xr_pfnset_fill(p->populated, pfn, order) == XR_EMPTY &&
	       xr_pfnset_fill(p->due, pfn, order) == XR_EMPTY &&
	       xr_pfnset_fill(p->guessed, pfn, order) == XR_EMPTY;
}

bool xr_plan_forbidden(uint64_t pfn, unsigned int order)
{
	static const uint64_t special[] = { 0xa0, 0xfee00, 0xfc000 };

	for (unsigned int i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (special[i] >> order == pfn >> order)
			return true;
	return false;
}

size_t xr_plan_first_pass(const struct xr_plan *p, const uint64_t *entry, size_t n)
{
	uint64_t edge = p->edge;
	size_t i;

	if (!p->first_pass)
		return 0;
	for (i = 0; i < n && xr_entry_pfn(entry[i]) >= edge; i++)
		edge = xr_entry_pfn(entry[i]) + 1;
	return i;
}

int xr_plan_end_first_pass(struct xr_plan *p)
{
	p->first_pass = false;
	p->window = 0;
	return xr_pfnset_del(p->open_guesses, 0, XR_PFN_LIMIT);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool allocated(const struct xr_plan *p, uint64_t pfn)
{
	return xr_pfnset_has(p->populated, pfn) || xr_pfnset_has(p->due, pfn) ||
	       xr_pfnset_has(p->guessed, pfn);
}

/* The RAM pfns of the chunk that are not allocated, ascending. */
static size_t missing(const struct xr_plan *p, const struct xr_known *k, uint64_t *pfns)
{
	bool ascending = true;
	size_t n = 0;

	for (size_t i = 0; i < k->now; i++) {
		uint64_t pfn = xr_entry_pfn(k->entry[i]);

		if (!xr_entry_ram(k->entry[i]) || allocated(p, pfn))
			continue;
		ascending = ascending && (!n || pfns[n - 1] < pfn);
		pfns[n++] = pfn;
	}
	if (!ascending)
		qsort(pfns, n, sizeof(*pfns), by_number);
	return n;
}

void xr_plan_chunk(struct xr_plan *p, const struct xr_known *k)
{
	uint64_t pfns[XR_GROUPS];
	size_t n = missing(p, k, pfns);
	struct xr_group *g = NULL;

	p->ngroups = 0;
	for (size_t i = 0; i < n; i++) {
		if (!g || g->region != pfns[i] >> 9) {
			g = &p->group[p->ngroups++];
			memset(g, 0, sizeof(*g));
			g->region = pfns[i] >> 9;
		}
		g->bits[pfns[i] >> 6 & 7] |= (uint64_t)1 << (pfns[i] & 63);
	}
	if (p->max_order < XR_ORDER_2M || !p->ngroups)
		return;
	if (p->policy == XR_POLICY_SPECULATIVE)
		xr_plan_speculative(p, k);
	else
		xr_plan_exact(p, k);
}

/* The first wanted pfn >= from that is not populated: leap from set to set. */
static uint64_t next_lack(const struct xr_plan *p, uint64_t from)
{
	for (;;) {
		uint64_t wanted = xr_pfnset_next(p->want, from, false);

		if (wanted >= XR_PFN_LIMIT)
			return wanted;
		from = xr_pfnset_next(p->populated, wanted, true);
		if (from == wanted)
			return from;
	}
}

bool xr_plan_next_region(struct xr_plan *p, uint64_t *region)
{
	p->cursor = next_lack(p, p->cursor);
	*region = p->cursor >> 9;
	return p->cursor < XR_PFN_LIMIT;
}

bool xr_plan_region(const struct xr_plan *p, uint64_t region, struct xr_group *g)
{
	uint64_t have[8], any = 0, all = ~(uint64_t)0, pfn = region << 9;

	memset(g, 0, sizeof(*g));
	g->region = region;
	xr_pfnset_region(p->want, pfn, g->bits);
	xr_plan_allocated_bits(p, region, have);
	for (unsigned int i = 0; i < 8; i++) {
		g->bits[i] &= ~have[i];
		any |= g->bits[i];
		all &= g->bits[i];
	}
	g->big = !~all && xr_plan_extent_open(p, pfn, XR_ORDER_2M);
	g->gig = g->big && p->max_order >= XR_ORDER_1G &&
		 xr_pfnset_fill(p->want, pfn, XR_ORDER_1G) == XR_FULL &&
		 xr_plan_extent_open(p, pfn, XR_ORDER_1G);
	return any;
}
