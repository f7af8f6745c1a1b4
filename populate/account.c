/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two calls that change the guest's memory, and the books that follow what they returned. */
#include "base/clock.h"
#include "base/trace.h"
#include "populate/physmap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int xr_pm_no_memory(struct xr_physmap *pm)
{
	pm->torn = true;
	return xr_fail_host(pm->err, -ENOMEM, XR_STAGE_POPULATE, pm->where, XR_NO_PFN,
			    "no memory for the books about the guest's frames");
}

int xr_pm_read_limits(struct xr_physmap *pm)
{
	struct xr_dominfo info;
	int ret = pm->host->ops->info(pm->host, &info);

	pm->stats.info_calls++;
	if (ret < 0)
		return xr_fail_host(pm->err, ret, XR_STAGE_POPULATE, pm->where, XR_NO_PFN,
				    "the domain's memory limits can't be read: %s", strerror(-ret));
	pm->owned = info.tot_pages;
	pm->max_pages = info.max_pages;
	pm->fresh = true;
	return 0;
}

bool xr_pm_fits(const struct xr_physmap *pm, uint64_t pages)
{
	uint64_t queued = pm->nbig * XR_REGION_PFNS + pm->nsmall;

	return pm->owned + queued + pages <= pm->max_pages;
}

/* n extents that follow each other as one range of the set. */
static int add_range(struct xr_physmap *pm, unsigned int order, uint64_t gfn, size_t n,
		     struct xr_pfnset *set)
{
	int ret = xr_pfnset_add(set, gfn, (uint64_t)n << order);

	if (!ret && order == XR_ORDER_1G)
		ret = xr_pfnset_add(pm->whole_1g, gfn >> XR_ORDER_1G, n);
	if (!ret && order == XR_ORDER_2M)
		ret = xr_pfnset_add(pm->whole_2m, gfn >> XR_ORDER_2M, n);
	return ret;
}

static size_t run_of(unsigned int order, const uint64_t *gfns, size_t n)
{
	size_t i = 1;

	while (i < n && gfns[i] == gfns[i - 1] + ((uint64_t)1 << order))
		i++;
	return i;
}

static int book_grant(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
		      struct xr_pfnset *set)
{
	for (size_t i = 0; pm->cfg.p2m && i < n; i++)
		xr_p2m_set(pm->cfg.p2m, gfns[i], pm->mfns[i], (uint64_t)1 << order);
	pm->owned += (uint64_t)n << order;
	pm->stats.extents[order] += n;
	for (size_t i = 0; i < n;) {
		size_t run = run_of(order, &gfns[i], n - i);

		if (add_range(pm, order, gfns[i], run, set))
			return xr_pm_no_memory(pm);
		i += run;
	}
	return 0;
}

static int too_many(struct xr_physmap *pm, const char *call, long done, size_t n)
{
	return xr_fail_host(pm->err, -EIO, XR_STAGE_POPULATE, pm->where, XR_NO_PFN,
			    "the host did %ld of %zu extents in one %s", done, n, call);
}

static int heed(struct xr_physmap *pm)
{
	return pm->cfg.heed ? pm->cfg.heed(pm->cfg.ctx, pm->err) : 0;
}

int xr_pm_ask(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
	      struct xr_pfnset *set, size_t *done, int *why)
{
	uint64_t start, span;
	long ret = heed(pm);

	*done = 0;
	*why = 0;
	if (ret)
		return (int)ret;
	start = xr_now();
	span = XR_SPAN_BEGIN(populate, n);
	ret = pm->host->ops->populate(pm->host, order, n, gfns, pm->cfg.p2m ? pm->mfns : NULL);
	XR_SPAN_END(populate, span, n, ret);
	pm->stats.populate_ns += xr_now() - start;
	pm->stats.populate_calls++;
	*why = ret < 0 ? (int)ret : 0;
	*done = ret < 0 ? 0 : (size_t)ret;
	if (*done > n)
		return too_many(pm, "populate", ret, n);
	if (*done < n)
		pm->stats.short_counts++;
	return book_grant(pm, order, gfns, *done, set);
}

/* A large p2m entry that loses a frame is split for good: 1G into 2M ones, 2M into 4K ones. */
static int book_split(struct xr_physmap *pm, uint64_t gfn)
{
	uint64_t gig = gfn >> XR_ORDER_1G;

	if (xr_pfnset_has(pm->whole_1g, gig)) {
		if (xr_pfnset_add(pm->whole_2m, gig << 9, 512) ||
		    xr_pfnset_del(pm->whole_1g, gig, 1))
			return -ENOMEM;
	}
	return xr_pfnset_del(pm->whole_2m, gfn >> XR_ORDER_2M, 1);
}

static int book_gone(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
		     struct xr_pfnset *set)
{
	for (size_t i = 0; pm->cfg.p2m && i < n; i++)
		xr_p2m_unset(pm->cfg.p2m, gfns[i], (uint64_t)1 << order);
	pm->owned -= (uint64_t)n << order;
	for (size_t i = 0; i < n; i++)
		if (book_split(pm, gfns[i]))
			return xr_pm_no_memory(pm);
	for (size_t i = 0; i < n;) {
		size_t run = run_of(order, &gfns[i], n - i);

		if (xr_pfnset_del(set, gfns[i], (uint64_t)run << order))
			return xr_pm_no_memory(pm);
		i += run;
	}
	return 0;
}

int xr_pm_forget(struct xr_physmap *pm, uint64_t gfn, struct xr_pfnset *set)
{
	return book_gone(pm, XR_ORDER_4K, &gfn, 1, set);
}

static int book_release(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
			struct xr_pfnset *set)
{
	pm->stats.released += (uint64_t)n << order;
	return book_gone(pm, order, gfns, n, set);
}

/* As Xen knows them: of a PV guest by mfn. An extent of it is whole, so its frames follow. */
static const uint64_t *names_of(struct xr_physmap *pm, const uint64_t *gfns, size_t n)
{
	if (!pm->cfg.p2m)
		return gfns;
	for (size_t i = 0; i < n; i++)
		pm->mfns[i] = xr_p2m_mfn(pm->cfg.p2m, gfns[i]);
	return pm->mfns;
}

int xr_pm_release(struct xr_physmap *pm, unsigned int order, const uint64_t *gfns, size_t n,
		  struct xr_pfnset *set)
{
	uint64_t start, span;
	long done;
	int ret = heed(pm);

	if (ret)
		return ret;
	start = xr_now();
	span = XR_SPAN_BEGIN(release, n);
	done = pm->host->ops->release(pm->host, order, n, names_of(pm, gfns, n));
	XR_SPAN_END(release, span, n, done);
	pm->stats.release_ns += xr_now() - start;
	pm->stats.release_calls++;
	if (done > (long)n)
		return too_many(pm, "release", done, n);
	ret = book_release(pm, order, gfns, done < 0 ? 0 : (size_t)done, set);
	if (ret || done == (long)n)
		return ret;
	return xr_fail_host(pm->err, done < 0 ? (int)done : -EIO, XR_STAGE_POPULATE, pm->where,
			    gfns[done < 0 ? 0 : done],
			    "the host refused to take back a frame (order %u) at pfn %#" PRIx64
			    "%s%s",
			    order, gfns[done < 0 ? 0 : done], done < 0 ? ": " : "",
			    done < 0 ? strerror((int)-done) : "");
}
