/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames that change sets without a call, and frames that go back to the host, in batches. */
#include "populate/physmap.h"

/* Move [first, end), all of it due or guessed, to populated. */
static int move(struct xr_plan *p, uint64_t first, uint64_t end)
{
	int ret = xr_pfnset_add(p->populated, first, end - first);

	if (!ret)
		ret = xr_pfnset_del(p->due, first, end - first);
	if (!ret)
		ret = xr_pfnset_del(p->guessed, first, end - first);
	return ret;
}

int xr_pm_promote(struct xr_physmap *pm)
{
	struct xr_plan *p = &pm->plan;
	uint64_t first = 0, end = 0;

	if (!xr_pfnset_count(p->due) && !xr_pfnset_count(p->guessed))
		return 0;
	for (size_t i = 0; i < pm->nslice; i++) {
		uint64_t pfn = xr_entry_pfn(pm->slice[i]);

		if (!xr_entry_ram(pm->slice[i]) ||
		    (!xr_pfnset_has(p->due, pfn) && !xr_pfnset_has(p->guessed, pfn)))
			continue;
		if (pfn != end) {
			if (move(p, first, end))
				return xr_pm_no_memory(pm);
			first = pfn;
		}
		end = pfn + 1;
	}
	return move(p, first, end) ? xr_pm_no_memory(pm) : 0;
}

/* Is it one p2m entry, or part of a larger one? */
static bool unbroken(const struct xr_physmap *pm, uint64_t pfn)
{
	return xr_pfnset_has(pm->whole_2m, pfn >> XR_ORDER_2M) ||
	       xr_pfnset_has(pm->whole_1g, pfn >> XR_ORDER_1G);
}

static int release_gone(struct xr_physmap *pm, struct xr_pfnset *set)
{
	size_t n = pm->ngone;

	pm->ngone = 0;
	return n ? xr_pm_release(pm, XR_ORDER_4K, pm->gone, n, set) : 0;
}

/* Release what lies in whole regions of the set as such, and leave the rest. */
static int drop_large(struct xr_physmap *pm, struct xr_pfnset *set, uint64_t end)
{
	uint64_t gfns[XR_RELEASE_2M], pfn = 0;
	size_t n = 0;
	int ret = 0;

	while (!ret && (pfn = xr_pfnset_next(set, pfn, false)) + XR_REGION_PFNS <= end) {
		if (pfn % XR_REGION_PFNS == 0 && unbroken(pm, pfn) &&
		    xr_pfnset_fill(set, pfn, XR_ORDER_2M) == XR_FULL)
			gfns[n++] = pfn;
		if (n == XR_RELEASE_2M) {
			ret = xr_pm_release(pm, XR_ORDER_2M, gfns, n, set);
			n = 0;
		}
		pfn = (pfn | (XR_REGION_PFNS - 1)) + 1;
	}
	if (!ret && n)
		ret = xr_pm_release(pm, XR_ORDER_2M, gfns, n, set);
	return ret;
}

int xr_pm_drop(struct xr_physmap *pm, struct xr_pfnset *set, uint64_t end)
{
	uint64_t pfn = 0;
	int ret;

	if (!xr_pfnset_count(set))
		return 0;
	ret = drop_large(pm, set, end);
	for (; !ret && (pfn = xr_pfnset_next(set, pfn, false)) < end; pfn++) {
		pm->gone[pm->ngone++] = pfn;
		if (pm->ngone == XR_BATCH_4K)
			ret = release_gone(pm, set);
	}
	return ret ? ret : release_gone(pm, set);
}

int xr_pm_give_back(struct xr_physmap *pm)
{
	struct xr_plan *p = &pm->plan;
	int ret = xr_pm_promote(pm);

	if (ret || !xr_pfnset_count(p->guessed))
		return ret;
	xr_plan_guess_refused(p);
	if (xr_pfnset_del(p->open_guesses, 0, XR_PFN_LIMIT))
		return xr_pm_no_memory(pm);
	return xr_pm_drop(pm, p->guessed, XR_PFN_LIMIT);
}

/* Frames that hold guest data: nothing may write them any more, and Xen would not clear them. */
static int retire_gone(struct xr_physmap *pm)
{
	int ret = 0;

	if (pm->ngone && pm->cfg.retire)
		ret = pm->cfg.retire(pm->cfg.ctx, pm->where, pm->gone, pm->ngone, true, pm->err);
	if (ret) {
		pm->ngone = 0;
		return ret;
	}
	return release_gone(pm, pm->plan.populated);
}

int xr_pm_balloon_out(struct xr_physmap *pm)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < pm->nslice; i++) {
		uint64_t pfn = xr_entry_pfn(pm->slice[i]);

		if (xr_entry_ram(pm->slice[i]) || !xr_pfnset_has(pm->plan.populated, pfn))
			continue;
		pm->gone[pm->ngone++] = pfn;
		if (pm->ngone == XR_BATCH_4K)
			ret = retire_gone(pm);
	}
	return ret ? ret : retire_gone(pm);
}
