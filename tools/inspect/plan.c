/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The extents of a restore: the populate stage itself runs, upon a host on paper that grants all it
 * is asked for and remembers in what sizes. From an index it is told the final set; else it gets
 * the entries as they come and sees as much of what follows as it does on a pipe.
 */
#include "inspect/inspect.h"

#include "host/host.h"
#include "populate/populate.h"
#include "stream/dups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_AHEAD 2u /* chunks: what mostly is in the queue behind the one in hand */

struct chunk {
	struct xr_where where;
	size_t n;
	uint64_t entry[XR_CHUNK];
};

struct inspect_planner {
	struct xr_host host; /* first */
	struct xr_physmap *pm;
	uint64_t pages;
	struct xr_pfnset *large_2m, *large_1g;
	struct chunk chunk[SEEN_AHEAD + 1];
	unsigned int head, used;
	struct xr_dups dups;
};

static int paper_info(struct xr_host *h, struct xr_dominfo *info)
{
	const struct inspect_planner *p = (struct inspect_planner *)h;

	*info = (struct xr_dominfo){ .domid = 1, .hvm = true, .paused = true };
	info->tot_pages = p->pages;
	info->max_pages = XR_PFN_LIMIT;
	return 0;
}

static long paper_populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns,
			   uint64_t *mfns)
{
	struct inspect_planner *p = (struct inspect_planner *)h;
	struct xr_pfnset *set = order == XR_ORDER_1G ? p->large_1g : p->large_2m;

	(void)mfns;
	for (size_t i = 0; order && i < n; i++)
		if (xr_pfnset_add(set, gfns[i] >> order, 1))
			return (long)i;
	p->pages += (uint64_t)n << order;
	return (long)n;
}

/* A large page that loses a frame is split for good. */
static int split(struct inspect_planner *p, uint64_t gfn)
{
	const uint64_t gig = gfn >> XR_ORDER_1G;
	int rc = 0;

	if (xr_pfnset_has(p->large_1g, gig)) {
		rc = xr_pfnset_add(p->large_2m, gig << 9, 512);
		if (!rc)
			rc = xr_pfnset_del(p->large_1g, gig, 1);
	}
	return rc ? rc : xr_pfnset_del(p->large_2m, gfn >> XR_ORDER_2M, 1);
}

static long paper_release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns)
{
	struct inspect_planner *p = (struct inspect_planner *)h;

	for (size_t i = 0; i < n; i++)
		if (split(p, gfns[i]))
			return (long)i;
	p->pages -= (uint64_t)n << order;
	return (long)n;
}

static const struct xr_host_ops paper = {
	.name = "paper",
	.info = paper_info,
	.populate = paper_populate,
	.release = paper_release,
};

static int no_memory(struct xr_error *err)
{
	return xr_fail_host(err, -ENOMEM, XR_STAGE_POPULATE, NULL, XR_NO_PFN,
			    "no memory for the plan of page sizes");
}

int inspect_plan_open(struct inspect *in, struct xr_error *err)
{
	const struct xr_physmap_config cfg = {
		.policy = in->policy,
		.max_order = in->max_order,
		.ahead_pages = 64u << (20 - XR_PAGE_SHIFT),
	};
	struct inspect_planner *p = calloc(1, sizeof(*p));

	if (!p)
		return no_memory(err);
	in->planner = p;
	p->host.ops = &paper;
	p->large_2m = xr_pfnset_new();
	p->large_1g = xr_pfnset_new();
	if (!p->large_2m || !p->large_1g)
		return no_memory(err);
	return xr_physmap_open(&p->pm, &p->host, &cfg, err);
}

static struct chunk *at(struct inspect_planner *p, unsigned int i)
{
	return &p->chunk[(p->head + i) % (SEEN_AHEAD + 1)];
}

static struct xr_entries entries_of(const struct chunk *c)
{
	return (struct xr_entries){ .where = c->where, .n = c->n, .entry = c->entry };
}

static int apply_oldest(struct inspect_planner *p, struct xr_error *err)
{
	struct xr_entries now = entries_of(at(p, 0)), next[SEEN_AHEAD];
	const struct xr_entries *nextp[SEEN_AHEAD];
	int rc;

	for (unsigned int i = 1; i < p->used; i++) {
		next[i - 1] = entries_of(at(p, i));
		nextp[i - 1] = &next[i - 1];
	}
	rc = xr_physmap_apply(p->pm, &now, nextp, p->used - 1, err);
	p->head = (p->head + 1) % (SEEN_AHEAD + 1);
	p->used--;
	return rc;
}

static int push(struct inspect_planner *p, const struct xr_where *where, const uint64_t *entries,
		size_t n, struct xr_error *err)
{
	struct chunk *c;
	int rc = 0;

	if (p->used == SEEN_AHEAD + 1)
		rc = apply_oldest(p, err);
	c = at(p, p->used++);
	c->where = *where;
	c->n = n;
	memcpy(c->entry, entries, n * sizeof(*entries));
	return rc;
}

/* No pfn may be twice in a chunk. */
static int push_apart(struct inspect_planner *p, const struct xr_where *where,
		      const uint64_t *entries, size_t n, struct xr_error *err)
{
	size_t from = 0;
	int rc = 0;

	if (!xr_dups_find(&p->dups, entries, n))
		return push(p, where, entries, n, err);
	for (size_t i = 1; !rc && i < n; i++) {
		if (p->dups.before[i] <= from)
			continue;
		rc = push(p, where, entries + from, i - from, err);
		from = i;
	}
	return rc ? rc : push(p, where, entries + from, n - from, err);
}

int inspect_plan_add(struct inspect *in, const struct xr_where *where, const uint64_t *entries,
		     size_t n, bool ascending, struct xr_error *err)
{
	struct inspect_planner *p = in->planner;
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i += XR_CHUNK) {
		const size_t part = n - i < XR_CHUNK ? n - i : XR_CHUNK;

		if (ascending)
			rc = push(p, where, entries + i, part, err);
		else
			rc = push_apart(p, where, entries + i, part, err);
	}
	return rc;
}

/* --- why not large -------------------------------------------------------------------------- */

static unsigned int members(const uint64_t bits[8])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 8; i++)
		n += (unsigned int)__builtin_popcountll(bits[i]);
	return n;
}

/* The frames 0xa0 to 0xbf are missing, and no other. */
static bool only_vga_missing(const uint64_t bits[8], uint64_t region)
{
	for (unsigned int i = 0; i < 8; i++)
		if (bits[i] != (i == 2 ? ~0xffffffff00000000ull : ~0ull))
			return false;
	return region == 0;
}

static bool any_lost(const struct inspect *in, uint64_t region)
{
	return xr_pfnset_next(in->lost, region << 9, false) < (region + 1) << 9;
}

/* Nothing is missing but what lies behind the highest frame, or behind that below 4 GiB. */
static bool memory_ends(const struct inspect *in, uint64_t region, unsigned int have)
{
	const uint64_t end = (region << 9) + have;
	uint64_t next;

	if (xr_pfnset_next(in->ram, region << 9, true) != end)
		return false;
	next = xr_pfnset_next(in->ram, end, false);
	return next >= XR_PFN_LIMIT || (end <= 1u << 20 && next >= 0xfc000);
}

static enum inspect_why judge(const struct inspect *in, uint64_t region, const uint64_t bits[8],
			      unsigned int have)
{
	if (have == 512)
		return in->policy == XR_POLICY_4K || !in->max_order ? INSPECT_NOT_ASKED
								    : INSPECT_LATE;
	if (any_lost(in, region))
		return INSPECT_TAKEN;
	if (only_vga_missing(bits, region))
		return INSPECT_VGA;
	return memory_ends(in, region, have) ? INSPECT_STRETCH_END : INSPECT_HOLES;
}

static void add_reason(struct inspect_plan *plan, enum inspect_why why, uint64_t region,
		       uint64_t missing)
{
	struct inspect_reason *r = plan->nreasons ? &plan->reasons[plan->nreasons - 1] : NULL;

	plan->why[why]++;
	if (r && r->why == why && r->first + r->regions == region && !plan->more_reasons) {
		r->regions++;
		r->missing += missing;
	} else if (plan->nreasons < INSPECT_REASONS) {
		plan->reasons[plan->nreasons++] =
			(struct inspect_reason){ why, region, 1, missing };
	} else {
		plan->more_reasons = true;
	}
}

/* Leaps over what is whole and large. */
static void explain(struct inspect *in)
{
	struct inspect_plan *plan = &in->plan;
	uint64_t pfn = 0;

	while ((pfn = xr_pfnset_next(in->ram, pfn, false)) < XR_PFN_LIMIT) {
		const uint64_t region = pfn >> 9;
		uint64_t bits[8];
		unsigned int have;

		pfn = (region + 1) << 9;
		xr_pfnset_region(in->ram, region << 9, bits);
		have = members(bits);
		plan->whole_2m += have == 512;
		plan->partial_2m += have != 512;
		if (!(region & 511) && xr_pfnset_fill(in->ram, region << 9, XR_ORDER_1G) == XR_FULL)
			plan->whole_1g++;
		if (!xr_pfnset_has(plan->large_1g, region >> 9) &&
		    !xr_pfnset_has(plan->large_2m, region))
			add_reason(plan, judge(in, region, bits, have), region, 512 - have);
	}
}

int inspect_plan_finish(struct inspect *in, struct xr_error *err)
{
	struct inspect_planner *p = in->planner;
	struct inspect_plan *plan = &in->plan;
	struct xr_physmap_stats st;
	int rc = 0;

	if (in->indexed)
		xr_physmap_foresee(p->pm, in->ram);
	while (!rc && p->used)
		rc = apply_oldest(p, err);
	if (!rc)
		rc = xr_physmap_finish(p->pm, err);
	if (rc)
		return rc;
	xr_physmap_stats(p->pm, &st);
	plan->known = true;
	plan->indexed = in->indexed;
	plan->policy = in->policy;
	plan->max_order = in->policy == XR_POLICY_4K ? 0 : in->max_order;
	plan->extents_1g = st.whole_1g;
	plan->extents_2m = st.whole_2m;
	plan->extents_4k = st.pages_4k;
	plan->populate_calls = st.populate_calls;
	plan->released = st.released;
	plan->large_2m = p->large_2m;
	plan->large_1g = p->large_1g;
	p->large_2m = p->large_1g = NULL;
	explain(in);
	return 0;
}

void inspect_plan_close(struct inspect *in)
{
	struct inspect_planner *p = in->planner;

	if (!p)
		return;
	xr_physmap_close(&p->pm);
	xr_pfnset_free(p->large_2m);
	xr_pfnset_free(p->large_1g);
	free(p);
	in->planner = NULL;
}
