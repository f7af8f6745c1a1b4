/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that runs between calls: what it did to its frames by itself, asked of the host. */
#include "populate/physmap.h"

static int ask(struct xr_physmap *pm, const uint64_t *pfns, size_t n, bool *ram)
{
	return pm->cfg.has_ram(pm->cfg.ctx, pm->where, pfns, n, ram, pm->err);
}

static int follow(struct xr_physmap *pm, uint64_t pfn, bool ram)
{
	if (!ram)
		return xr_pm_forget(pm, pfn, pm->plan.populated);
	return xr_pfnset_add(pm->plan.populated, pfn, 1) ? xr_pm_no_memory(pm) : 0;
}

/* What the guest took is in the books from here on, and goes again where the stream has no RAM. */
static int follow_all(struct xr_physmap *pm, const uint64_t *pfns, size_t n)
{
	bool ram[XR_RAM_MAX], changed = false;
	int ret = n ? ask(pm, pfns, n, ram) : 0;

	for (size_t i = 0; i < n && !ret; i++) {
		if (xr_pfnset_has(pm->plan.populated, pfns[i]) == ram[i])
			continue;
		ret = follow(pm, pfns[i], ram[i]);
		changed = true;
	}
	return ret || !changed ? ret : xr_pm_read_limits(pm);
}

/* But for what is due: we had that just now. */
int xr_pm_follow_guest(struct xr_physmap *pm)
{
	uint64_t pfns[XR_GROUPS];
	size_t n = 0;

	for (size_t i = 0; i < pm->nslice; i++) {
		const uint64_t pfn = xr_entry_pfn(pm->slice[i]);

		if (!xr_pfnset_has(pm->plan.due, pfn))
			pfns[n++] = pfn;
	}
	return follow_all(pm, pfns, n);
}

int xr_physmap_follow(struct xr_physmap *pm, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err)
{
	xr_pm_begin_call(pm, where, err);
	return pm->runs ? follow_all(pm, pfns, n) : 0;
}

static bool any(const bool *ram, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ram[i])
			return true;
	return false;
}

int xr_pm_spare_guest(struct xr_physmap *pm)
{
	bool ram[XR_REGION_PFNS];
	uint64_t pfns[XR_REGION_PFNS];
	int ret = 0;

	for (size_t i = 0; i < pm->plan.ngroups && !ret; i++) {
		struct xr_group *g = &pm->plan.group[i];

		if (!g->big)
			continue;
		for (unsigned int j = 0; j < XR_REGION_PFNS; j++)
			pfns[j] = (g->region << 9) + j;
		ret = ask(pm, pfns, XR_REGION_PFNS, ram);
		g->big = !ret && !any(ram, XR_REGION_PFNS);
	}
	return ret;
}
