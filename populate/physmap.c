/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The physmap: the populate stage's calls, from chunks of entries to plans and their execution. */
#include "populate/physmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A step ahead is small enough to look for input after it. */
#define STEP_GUESSES 4u
#define BOOKS_PER_TIB ((size_t)52 << 20)
#define P2M_REGIONS 65536u /* that may be filled less than a quarter: 256 MiB */
#define STEP_2M 16u
#define STEP_4K (2 * XR_REGION_PFNS)
#define ENSURE_REGIONS 64u

void xr_pm_begin_call(struct xr_physmap *pm, const struct xr_where *where, struct xr_error *err)
{
	pm->where = where;
	pm->err = err;
	pm->fresh = false;
	pm->slice = NULL;
	pm->nslice = 0;
	pm->nbig = pm->nsmall = pm->ngone = 0;
}

static void end_slice(struct xr_physmap *pm)
{
	uint64_t now = xr_pfnset_count(pm->plan.guessed);

	pm->slice = NULL;
	pm->nslice = 0;
	if (now > pm->stats.peak_speculative)
		pm->stats.peak_speculative = now;
}

int xr_physmap_open(struct xr_physmap **out, struct xr_host *host,
		    const struct xr_physmap_config *cfg, struct xr_error *err)
{
	struct xr_physmap *pm = calloc(1, sizeof(*pm));
	int ret = -ENOMEM;

	*out = NULL;
	if (!pm)
		return xr_fail_host(err, ret, XR_STAGE_POPULATE, NULL, XR_NO_PFN, "no memory");
	xr_pm_begin_call(pm, NULL, err);
	pm->host = host;
	pm->cfg = *cfg;
	pm->whole_2m = xr_pfnset_new();
	pm->whole_1g = xr_pfnset_new();
	if (xr_plan_init(&pm->plan, cfg) || !pm->whole_2m || !pm->whole_1g) {
		xr_pm_no_memory(pm);
		goto out;
	}
	pm->exact = pm->plan.due;
	ret = xr_pm_read_limits(pm);
	if (ret)
		goto out;
	pm->start_pages = pm->owned;
	*out = pm;
	return 0;
out:
	xr_physmap_close(&pm);
	return ret;
}

void xr_physmap_close(struct xr_physmap **pm)
{
	struct xr_physmap *p = *pm;

	if (!p)
		return;
	xr_plan_fini(&p->plan);
	xr_pfnset_free(p->whole_2m);
	xr_pfnset_free(p->whole_1g);
	free(p);
	*pm = NULL;
}

static int check_entries(struct xr_physmap *pm, const struct xr_entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		uint64_t pfn = xr_entry_pfn(e->entry[i]);

		if (pfn >= XR_PFN_LIMIT)
			return xr_fail(pm->err, -EBADMSG, XR_STAGE_POPULATE, pm->where, pfn,
				       "pfn %#" PRIx64 " is beyond what a guest can have", pfn);
	}
	return 0;
}

/* The first pass now reaches up to here: all guesses below that are not RAM are holes. */
static int advance(struct xr_physmap *pm)
{
	struct xr_plan *p = &pm->plan;
	int ret;

	p->edge = xr_entry_pfn(pm->slice[pm->nslice - 1]) + 1;
	ret = xr_pm_drop(pm, p->guessed, p->edge);
	return ret ? ret : xr_pm_drop(pm, p->due, p->edge);
}

/* After the slice: punch the gaps of extents that it touched first, and learn from it. */
static int look_back(struct xr_physmap *pm)
{
	struct xr_plan *p = &pm->plan;
	int ret = xr_pm_drop(pm, p->guessed, p->edge);

	if (!ret && xr_plan_observe(p, pm->slice, pm->nslice))
		ret = xr_pm_no_memory(pm);
	return ret;
}

static int apply_slice(struct xr_physmap *pm, const struct xr_known *k)
{
	int ret;

	pm->slice = k->entry;
	pm->nslice = k->now;
	ret = pm->runs ? xr_pm_follow_guest(pm) : 0;
	if (!ret)
		ret = xr_pm_balloon_out(pm);
	if (!ret)
		ret = xr_pm_promote(pm);
	if (!ret && pm->plan.first_pass)
		ret = advance(pm);
	if (!ret) {
		xr_plan_chunk(&pm->plan, k);
		ret = pm->runs ? xr_pm_spare_guest(pm) : 0;
	}
	if (!ret)
		ret = xr_pm_carry_out(pm);
	if (!ret)
		ret = xr_pm_promote(pm);
	if (!ret && pm->plan.first_pass)
		ret = look_back(pm);
	end_slice(pm);
	return ret;
}

static int end_first_pass(struct xr_physmap *pm)
{
	if (!pm->plan.first_pass)
		return 0;
	if (xr_plan_end_first_pass(&pm->plan))
		return xr_pm_no_memory(pm);
	return xr_pm_drop(pm, pm->plan.guessed, XR_PFN_LIMIT);
}

/* What a stream may make us remember: ample for a guest of this size whose every 2M region has
 * holes, not for frames strewn over all that 36 bits can name. */
static int check_books(struct xr_physmap *pm)
{
	const uint64_t tib = 1ull << 28;
	const size_t most =
		BOOKS_PER_TIB + (pm->max_pages > tib ? (size_t)(pm->max_pages - tib) / 5 : 0);
	const struct xr_plan *p = &pm->plan;
	const struct xr_pfnset *const sets[] = {
		p->populated, p->due,	       p->guessed,   p->tried_2m,
		p->tried_1g,  p->open_guesses, pm->whole_2m, pm->whole_1g,
	};
	size_t bytes = 0;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		bytes += xr_pfnset_bytes(sets[i]);
	if (bytes <= most &&
	    (!pm->cfg.p2m ||
	     xr_p2m_regions(pm->cfg.p2m) <= P2M_REGIONS + pm->max_pages / (XR_REGION_PFNS / 4)))
		return 0;
	return xr_fail(pm->err, -EOPNOTSUPP, XR_STAGE_POPULATE, pm->where, XR_NO_PFN,
		       "the stream strews %" PRIu64 " frames over so many places that the books "
		       "about them take more than %zu MiB",
		       xr_pfnset_count(p->populated), most >> 20);
}

int xr_physmap_apply(struct xr_physmap *pm, const struct xr_entries *now,
		     const struct xr_entries *const *next, size_t nnext, struct xr_error *err)
{
	int ret;

	xr_pm_begin_call(pm, &now->where, err);
	ret = check_entries(pm, now);
	for (size_t at = 0; at < now->n && !ret;) {
		struct xr_known k = { &now->entry[at], now->n - at, 0, next, nnext };

		k.now = xr_plan_first_pass(&pm->plan, k.entry, k.n);
		if (!k.now) {
			ret = end_first_pass(pm);
			k.now = k.n;
		}
		if (k.now > XR_GROUPS)
			k.now = XR_GROUPS;
		if (!ret)
			ret = apply_slice(pm, &k);
		at += k.now;
	}
	return ret ? ret : check_books(pm);
}

int xr_physmap_prepare(struct xr_physmap *pm, const struct xr_entries *e, struct xr_error *err)
{
	int ret;

	xr_pm_begin_call(pm, &e->where, err);
	ret = check_entries(pm, e);
	for (size_t at = 0; at < e->n && !ret;) {
		struct xr_known k = { &e->entry[at], e->n - at, 0, NULL, 0 };

		k.now = k.n < XR_GROUPS ? k.n : XR_GROUPS;
		xr_plan_chunk(&pm->plan, &k);
		ret = xr_pm_carry_out(pm);
		at += k.now;
	}
	return ret ? ret : check_books(pm);
}

void xr_physmap_runs(struct xr_physmap *pm)
{
	pm->runs = true;
}

void xr_physmap_limit(struct xr_physmap *pm, uint64_t end)
{
	pm->plan.limit = end;
}

void xr_physmap_foresee(struct xr_physmap *pm, const struct xr_pfnset *want)
{
	pm->plan.want = want;
	pm->plan.cursor = 0;
	pm->plan.first_pass = false;
	pm->exact = pm->plan.populated;
}

static size_t lack_of(const struct xr_group *g)
{
	size_t n = 0;

	for (unsigned int i = 0; i < 8; i++)
		n += (size_t)__builtin_popcountll(g->bits[i]);
	return n;
}

/* A batch of regions from the cursor on. */
static void plan_step(struct xr_plan *p)
{
	size_t big = 0, small = 0;
	uint64_t region;

	p->ngroups = 0;
	while (big < STEP_2M && small + XR_REGION_PFNS <= STEP_4K &&
	       xr_plan_next_region(p, &region)) {
		struct xr_group *g = &p->group[p->ngroups++];

		xr_plan_region(p, region, g);
		p->cursor = (region + 1) << 9;
		if (g->gig)
			break;
		if (g->big)
			big++;
		else
			small += lack_of(g);
	}
}

/* What is planned ahead of the data. */
static int carry_out_slice(struct xr_physmap *pm)
{
	const int ret = xr_pm_carry_out(pm);

	end_slice(pm);
	return ret;
}

/* The next step of the foreseen plan, from its cursor on. */
static int step(struct xr_physmap *pm)
{
	plan_step(&pm->plan);
	return carry_out_slice(pm);
}

/* Frames that a step or two reach are had by whole steps: its calls are full, and the same whether
 * the plan is ahead of the data or not. */
static int keep_ahead(struct xr_physmap *pm, const uint64_t *pfns, size_t n)
{
	struct xr_plan *p = &pm->plan;
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		while (!ret && pfns[i] >= p->cursor &&
		       pfns[i] < p->cursor + STEP_2M * XR_REGION_PFNS &&
		       xr_pfnset_has(p->want, pfns[i]))
			ret = step(pm);
	return ret;
}

/* Plan what a region lacks, unless it is planned already. */
static void plan_once(struct xr_plan *p, uint64_t region)
{
	for (size_t i = 0; i < p->ngroups; i++)
		if (p->group[i].region == region)
			return;
	if (xr_plan_region(p, region, &p->group[p->ngroups]))
		p->ngroups++;
}

int xr_physmap_ensure(struct xr_physmap *pm, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err)
{
	uint64_t last = XR_NO_PFN;
	int ret = 0;

	xr_pm_begin_call(pm, where, err);
	if (pm->plan.want)
		ret = keep_ahead(pm, pfns, n);
	pm->plan.ngroups = 0;
	for (size_t i = 0; i < n && !ret; i++) {
		if (pfns[i] >> 9 == last || pfns[i] >= XR_PFN_LIMIT)
			continue;
		last = pfns[i] >> 9;
		plan_once(&pm->plan, last);
		if (pm->plan.ngroups == ENSURE_REGIONS)
			ret = xr_pm_carry_out(pm);
	}
	if (!ret && pm->plan.ngroups)
		ret = xr_pm_carry_out(pm);
	return ret ? ret : check_books(pm);
}

int xr_physmap_ahead(struct xr_physmap *pm, struct xr_error *err)
{
	uint64_t before = pm->owned;
	int ret;

	xr_pm_begin_call(pm, NULL, err);
	if (pm->plan.want)
		plan_step(&pm->plan);
	else
		xr_plan_guess(&pm->plan, STEP_GUESSES);
	if (!pm->plan.ngroups)
		return 0;
	ret = carry_out_slice(pm);
	if (!ret)
		ret = check_books(pm);
	if (!ret)
		ret = pm->plan.want || pm->owned > before;
	return ret;
}

bool xr_physmap_torn(const struct xr_physmap *pm)
{
	return pm->torn;
}

bool xr_physmap_has(const struct xr_physmap *pm, uint64_t pfn)
{
	return xr_pfnset_has(pm->plan.populated, pfn);
}

static int check_total(struct xr_physmap *pm)
{
	uint64_t expected = pm->start_pages + xr_pfnset_count(pm->plan.populated);
	int ret = xr_pm_read_limits(pm);

	if (ret || pm->runs || pm->owned >= expected)
		return ret;
	return xr_fail_host(pm->err, -EIO, XR_STAGE_POPULATE, NULL, XR_NO_PFN,
			    "the domain owns %" PRIu64 " pages, it should own %" PRIu64
			    ": something took memory from it",
			    pm->owned, expected);
}

int xr_physmap_settle(struct xr_physmap *pm, struct xr_error *err)
{
	int ret;

	xr_pm_begin_call(pm, NULL, err);
	ret = end_first_pass(pm);
	return ret ? ret : xr_pm_drop(pm, pm->plan.due, XR_PFN_LIMIT);
}

int xr_physmap_finish(struct xr_physmap *pm, struct xr_error *err)
{
	int ret = pm->plan.want ? 1 : 0;

	while (ret > 0)
		ret = xr_physmap_ahead(pm, err);
	if (!ret)
		ret = xr_physmap_settle(pm, err);
	return ret ? ret : check_total(pm);
}

const struct xr_pfnset *xr_physmap_set(const struct xr_physmap *pm)
{
	return pm->plan.populated;
}

void xr_physmap_stats(const struct xr_physmap *pm, struct xr_physmap_stats *out)
{
	uint64_t large;

	*out = pm->stats;
	out->populated = xr_pfnset_count(pm->plan.populated);
	out->due = xr_pfnset_count(pm->plan.due);
	out->speculative = xr_pfnset_count(pm->plan.guessed);
	out->whole_2m = xr_pfnset_count(pm->whole_2m);
	out->whole_1g = xr_pfnset_count(pm->whole_1g);
	/* A restore that failed may have frames ahead of the stream, which are in large extents. */
	large = (out->whole_2m << XR_ORDER_2M) + (out->whole_1g << XR_ORDER_1G);
	out->pages_4k = out->populated > large ? out->populated - large : 0;
}
