/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exact policy: a region becomes one extent if every pfn of it is RAM in the chunks known so
 * far. In the first pass the list is complete, so one that is left out is known to be a hole.
 */
#include "populate/plan.h"

#include <string.h>

/* Walks the entries of a chunk and of those behind it. */
struct walk {
	const struct xr_known *k;
	const uint64_t *entry;
	size_t i, n, chunk;
};

static struct walk walk_from(const struct xr_known *k)
{
	return (struct walk){ k, k->entry, 0, k->n, 0 };
}

static bool walk_on(struct walk *w, uint64_t *entry)
{
	while (w->i == w->n) {
		if (w->chunk == w->k->nnext)
			return false;
		w->entry = w->k->next[w->chunk]->entry;
		w->n = w->k->next[w->chunk++]->n;
		w->i = 0;
	}
	*entry = w->entry[w->i++];
	return true;
}

/* The group of this region, or NULL. Entries mostly ascend: *hint is where the last one was. */
static size_t find_group(const struct xr_plan *p, uint64_t region, size_t hint)
{
	size_t lo = 0, hi = p->ngroups;

	for (size_t i = hint; i < hint + 2 && i < p->ngroups; i++)
		if (p->group[i].region == region)
			return i;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->group[mid].region < region)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->ngroups && p->group[lo].region == region ? lo : p->ngroups;
}

/* Mark the groups that could be one extent; the end of the last of them, 0 if there is none. */
static uint64_t candidates(struct xr_plan *p)
{
	uint64_t end = 0;

	for (size_t i = 0; i < p->ngroups; i++) {
		struct xr_group *g = &p->group[i];

		g->big = xr_plan_extent_open(p, g->region << 9, XR_ORDER_2M);
		if (g->big)
			end = (g->region + 1) << 9;
		memset(&p->fact[i], 0, sizeof(p->fact[i]));
	}
	return end;
}

/*
 * Collect what is known about the candidates, which end at `end`. Returns how far the list of the
 * first pass is known to be complete; 0 outside of it, or if it is known to be over.
 */
static uint64_t gather(struct xr_plan *p, const struct xr_known *k, uint64_t end)
{
	struct walk w = walk_from(k);
	bool complete = p->first_pass;
	uint64_t edge = 0, e;
	size_t at = 0;

	while (walk_on(&w, &e)) {
		uint64_t pfn = xr_entry_pfn(e);

		complete = complete && pfn >= edge;
		edge = complete ? pfn + 1 : 0;
		if (complete && pfn >= end)
			break;
		if (pfn >> 9 != p->group[at].region) {
			size_t found = find_group(p, pfn >> 9, at);

			if (found == p->ngroups)
				continue;
			at = found;
		}
		if (xr_entry_ram(e))
			p->fact[at].ram[pfn >> 6 & 7] |= (uint64_t)1 << (pfn & 63);
		else
			p->fact[at].hole = true;
	}
	return edge;
}

/* Are the first n bits set? */
static bool solid(const uint64_t bits[8], unsigned int n)
{
	for (unsigned int i = 0; i < n / 64; i++)
		if (~bits[i])
			return false;
	return n % 64 == 0 || !(~bits[n / 64] << (64 - n % 64));
}

static unsigned int members(const uint64_t bits[8])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 8; i++)
		n += (unsigned int)__builtin_popcountll(bits[i]);
	return n;
}

/* Nothing speaks against the region, but the list is known only up to edge. */
static bool worth_a_guess(const struct xr_plan *p, const struct xr_group *g,
			  const struct xr_region_fact *f, uint64_t edge)
{
	uint64_t base = g->region << 9;

	return edge > base && edge < base + XR_REGION_PFNS && base + XR_REGION_PFNS <= p->limit &&
	       solid(f->ram, (unsigned int)(edge - base)) &&
	       !xr_plan_forbidden(base, XR_ORDER_2M) &&
	       xr_pfnset_count(p->guessed) + XR_REGION_PFNS - members(g->bits) <= p->window;
}

/* Does the list hold all pfns of the 1G region, which its first entries must reach? */
static bool whole_gig(const struct xr_known *k, uint64_t base)
{
	uint64_t size = (uint64_t)1 << XR_ORDER_1G, run = 0, e;
	struct walk w = walk_from(k);

	while (run < size && walk_on(&w, &e)) {
		if (!run && xr_entry_pfn(e) < base)
			continue;
		if (xr_entry_pfn(e) != base + run || !xr_entry_ram(e))
			return false;
		run++;
	}
	return run == size;
}

void xr_plan_exact(struct xr_plan *p, const struct xr_known *k)
{
	uint64_t end = candidates(p);
	uint64_t edge;

	if (!end)
		return;
	edge = gather(p, k, end);
	for (size_t i = 0; i < p->ngroups; i++) {
		struct xr_group *g = &p->group[i];
		const struct xr_region_fact *f = &p->fact[i];

		if (!g->big)
			continue;
		if (f->hole || !solid(f->ram, XR_REGION_PFNS))
			g->big = g->guess = !f->hole && worth_a_guess(p, g, f, edge);
		g->gig = g->big && !g->guess && p->first_pass && g->region % 512 == 0 &&
			 xr_plan_extent_open(p, g->region << 9, XR_ORDER_1G) &&
			 whole_gig(k, g->region << 9);
	}
}
