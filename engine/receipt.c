/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore can tell of the contents that it wrote: the engine's side of the digests. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>

/* That may be filled less than a quarter; 4 KiB each. */
#define REGIONS_SPARSE 8192u

void xr_receipt_own(struct xr_restore *r, uint64_t pfn)
{
	if (r->digests)
		xr_digests_set(r->digests, pfn, XR_DIGEST_OWN);
}

/* A region takes memory once it was touched, and keeps it when all its frames are gone. */
int xr_receipt_forget(struct xr_restore *r, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err)
{
	if (!r->digests)
		return 0;
	for (size_t i = 0; i < n; i++)
		xr_digests_set(r->digests, pfns[i], XR_DIGEST_NONE);
	if (xr_digests_regions(r->digests) <= REGIONS_SPARSE + r->max_pages / (XR_REGION_PAGES / 4))
		return 0;
	return xr_fail(err, -EOPNOTSUPP, XR_STAGE_ENGINE, where, XR_NO_PFN,
		       "the stream gives and takes frames in %" PRIu64
		       " regions of 2M: too many for the receipt of a domain of %" PRIu64 " pages",
		       xr_digests_regions(r->digests), r->max_pages);
}

void xr_receipt_record(struct xr_restore *r, const struct xr_item *it)
{
	if (r->digests)
		r->control_digest = xr_digest_add_record(r->control_digest, it->where.type,
							 it->body, it->length);
}

uint64_t xr_receipt_contents(const struct xr_restore *r)
{
	struct xr_region region = { 0 };
	uint64_t digest = 0, from = 0;

	while (r->digests && xr_digests_region(r->digests, from, &region)) {
		digest = xr_digest_add_region(digest, &region);
		from = region.first + XR_REGION_PAGES;
	}
	return digest;
}

int xr_next_region(const struct xr_restore *r, uint64_t from, struct xr_region *out)
{
	if (!r->digests || !r->complete)
		return -EINVAL;
	return from < XR_PFN_LIMIT && xr_digests_region(r->digests, from, out) ? 0 : -ENOENT;
}
