/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page tables of a PV guest: which frames are some, and how they come to hold mfns. */
#include "copy/localise.h"
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>

static int no_memory(const struct xr_where *where, struct xr_error *err)
{
	return xr_fail_host(err, -ENOMEM, XR_STAGE_ENGINE, where, XR_NO_PFN,
			    "no memory for the books about the guest's page tables");
}

/* The frames are backed; contents follow, and are only compared with in verify mode. */
int xr_pv_types(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_pv *pv = r->guest.pv;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < it->n; i++) {
		const unsigned int type = XR_ENTRY_TYPE(it->entries[i]);
		const uint64_t pfn = XR_ENTRY_PFN(it->entries[i]);
		const bool contents = xr_page_in(XR_PAGES_DATA, type);
		const bool table = contents && xr_pv_is_table(type);

		xr_p2m_set_type(r->p2m, pfn, type);
		if (contents && !r->verify)
			xr_p2m_set_raw(r->p2m, pfn, table);
		if (contents && pfn == pv->start_pfn)
			pv->start_pfn = XR_NO_PFN;
		if (table != xr_pfnset_has(pv->tables, pfn))
			rc = table ? xr_pfnset_add(pv->tables, pfn, 1)
				   : xr_pfnset_del(pv->tables, pfn, 1);
		if (!table && xr_pfnset_has(pv->pinned, pfn))
			rc = xr_pfnset_del(pv->pinned, pfn, 1);
	}
	return rc ? no_memory(&it->where, err) : 0;
}

/* Up to max tables from *from on that are raw. */
static size_t next_raw(struct xr_restore *r, uint64_t *from, uint64_t *pfns, size_t max)
{
	size_t n = 0;

	while (n < max) {
		const uint64_t pfn = xr_pfnset_next(r->guest.pv->tables, *from, false);

		if (pfn >= XR_PFN_LIMIT)
			break;
		*from = pfn + 1;
		if (xr_p2m_is_raw(r->p2m, pfn))
			pfns[n++] = pfn;
	}
	return n;
}

/* *lacking: how many were left as they are. */
static int localise_all(struct xr_restore *r, uint64_t *lacking, struct xr_error *err)
{
	struct xr_copy_stats before, after;
	uint64_t pfns[XR_WINDOW], from = 0;
	size_t n;
	int rc = 0;

	xr_copy_stats(r->copy, &before);
	while (!rc && (n = next_raw(r, &from, pfns, XR_WINDOW))) {
		rc = xr_pulse(r, err);
		if (!rc)
			rc = xr_copy_localise(r->copy, NULL, pfns, n, err);
	}
	if (!rc)
		rc = xr_copy_drain(r->copy, err);
	xr_copy_stats(r->copy, &after);
	*lacking = after.tables_lacking - before.tables_lacking;
	return rc;
}

/* What is collected takes memory of ours, so no more of it than the domain may have. */
static int check_lack(struct xr_restore *r, uint64_t table, const struct xr_pfnset *lack,
		      struct xr_error *err)
{
	const uint64_t have = xr_pfnset_count(xr_physmap_set(r->pm)), n = xr_pfnset_count(lack);

	if (n + have <= r->max_pages)
		return 0;
	return xr_fail(err, -E2BIG, XR_STAGE_ENGINE, NULL, table,
		       "the page tables, up to that at pfn %#" PRIx64 ", refer to %" PRIu64
		       " pfns that the stream did not send: with the %" PRIu64
		       " that it did they are more than the domain's limit of %" PRIu64 " pages",
		       table, n, have, r->max_pages);
}

/* The pfns that this table refers to and that have no frame. */
static int collect(struct xr_restore *r, uint64_t table, struct xr_pfnset *lack,
		   struct xr_error *err)
{
	const uint64_t mfn = xr_p2m_mfn(r->p2m, table);
	const uint64_t *e = xr_pv_map(r, &mfn, 1, NULL, table, err);
	int rc = 0, unmapped;

	if (!e)
		return err->code;
	for (unsigned int i = 0; !rc && i < XR_PTES; i++) {
		const uint64_t pfn = xr_pte_pfn(e[i]);

		if (pfn <= xr_p2m_max(r->p2m) && xr_p2m_mfn(r->p2m, pfn) == XR_NO_MFN)
			rc = xr_pfnset_add(lack, pfn, 1);
	}
	if (rc)
		rc = no_memory(NULL, err);
	unmapped = xr_pv_unmap(r, (void *)(uintptr_t)e, 1, NULL, err);
	return rc ? rc : unmapped;
}

/* As ordinary pages without contents. */
static int back(struct xr_restore *r, const struct xr_pfnset *lack, struct xr_error *err)
{
	struct xr_entries chunk = { .where = XR_NOWHERE };
	uint64_t entries[XR_CHUNK], pfn = 0;
	int rc = 0;

	chunk.entry = entries;
	do {
		for (chunk.n = 0; chunk.n < XR_CHUNK; chunk.n++) {
			pfn = xr_pfnset_next(lack, pfn, false);
			if (pfn >= XR_PFN_LIMIT)
				break;
			entries[chunk.n] = pfn++;
		}
		if (chunk.n)
			rc = xr_physmap_apply(r->pm, &chunk, NULL, 0, err);
	} while (!rc && chunk.n == XR_CHUNK);
	return rc ? rc : xr_physmap_finish(r->pm, err);
}

/* Xen's own restorer gives a frame to every pfn that a page table refers to. */
static int back_targets(struct xr_restore *r, struct xr_error *err)
{
	struct xr_pfnset *lack = xr_pfnset_new();
	uint64_t from = 0, table;
	int rc = lack ? 0 : no_memory(NULL, err);

	while (!rc && next_raw(r, &from, &table, 1)) {
		rc = xr_pulse(r, err);
		if (!rc)
			rc = collect(r, table, lack, err);
		if (!rc)
			rc = check_lack(r, table, lack, err);
	}
	if (!rc) {
		xr_log(r, XTL_DETAIL,
		       "page tables refer to %" PRIu64 " pfns that the stream did not send",
		       xr_pfnset_count(lack));
		rc = back(r, lack, err);
	}
	xr_pfnset_free(lack);
	return rc;
}

int xr_pv_settle(struct xr_restore *r, struct xr_error *err)
{
	uint64_t lacking;
	int rc = localise_all(r, &lacking, err);

	if (rc || !lacking)
		return rc;
	rc = back_targets(r, err);
	if (!rc)
		rc = localise_all(r, &lacking, err);
	if (rc || !lacking)
		return rc;
	return xr_fail_host(err, -EIO, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			    "%" PRIu64 " page tables refer to pfns that could not be backed",
			    lacking);
}
