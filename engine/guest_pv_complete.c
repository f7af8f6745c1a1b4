/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a PV guest's restore: vcpus, pinned page tables, the guest's own p2m, grants. */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PINS 1024u

static int pin(struct xr_restore *r, const struct xr_pin *pins, const uint64_t *pfns, size_t n,
	       struct xr_error *err)
{
	int rc = xr_pulse(r, err);

	if (rc)
		return rc;
	r->other_calls++;
	rc = r->host->ops->pin(r->host, n, pins);
	if (rc)
		return xr_refused(err, rc, &XR_NOWHERE, "page tables that are to be pinned");
	for (size_t i = 0; !rc && i < n; i++)
		rc = xr_pfnset_add(r->guest.pv->pinned, pfns[i], 1);
	return rc ? xr_fail_host(err, rc, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
				 "no memory for the books about the guest's page tables")
		  : 0;
}

static bool is_to_be_pinned(const struct xr_restore *r, uint64_t pfn)
{
	return xr_p2m_type(r->p2m, pfn) & 8 && !xr_pfnset_has(r->guest.pv->pinned, pfn);
}

static int pin_tables(struct xr_restore *r, struct xr_error *err)
{
	struct xr_pin pins[PINS];
	uint64_t pfns[PINS], pfn = 0;
	size_t n = 0;
	int rc = 0;

	for (; !rc; pfn++) {
		pfn = xr_pfnset_next(r->guest.pv->tables, pfn, false);
		if (pfn >= XR_PFN_LIMIT)
			break;
		if (!is_to_be_pinned(r, pfn))
			continue;
		pins[n] = (struct xr_pin){ xr_p2m_type(r->p2m, pfn) & 7, xr_p2m_mfn(r->p2m, pfn) };
		pfns[n++] = pfn;
		if (n < PINS)
			continue;
		rc = pin(r, pins, pfns, n, err);
		n = 0;
	}
	return rc || !n ? rc : pin(r, pins, pfns, n, err);
}

/* Entries [from, from + n) of the guest's p2m, INVALID where there is no frame. */
static int write_entries(struct xr_restore *r, char *to, uint64_t from, uint64_t n,
			 struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t mfn = xr_p2m_mfn(r->p2m, from + i);

		if (mfn == XR_NO_MFN)
			memset(to + i * pv->layout->width, 0xff, pv->layout->width);
		else if (xr_pv_set(pv, to, i * pv->layout->width, mfn))
			return xr_fail_host(err, -ERANGE, XR_STAGE_ENGINE, NULL, from + i,
					    "pfn %#" PRIx64
					    " got a frame that a 32-bit guest cannot name",
					    from + i);
	}
	return 0;
}

/* Frames [first, first + n) of the guest's p2m. */
static int write_frames(struct xr_restore *r, size_t first, size_t n, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	const uint64_t per_frame = XR_PAGE_SIZE / pv->layout->width;
	const uint64_t from = first * per_frame, left = xr_p2m_max(r->p2m) + 1 - from;
	uint64_t mfns[XR_WINDOW];
	int rc = 0, unmapped;
	char *at;

	for (size_t i = 0; !rc && i < n; i++)
		rc = xr_pv_frame(r, pv->frame[first + i], "a frame of the guest's p2m", &mfns[i],
				 err);
	if (rc)
		return rc;
	at = xr_pv_map(r, mfns, n, NULL, pv->frame[first], err);
	if (!at)
		return err->code;
	rc = write_entries(r, at, from, left < n * per_frame ? left : n * per_frame, err);
	for (size_t i = 0; i < n; i++)
		xr_receipt_own(r, pv->frame[first + i]);
	unmapped = xr_pv_unmap(r, at, n, NULL, err);
	return rc ? rc : unmapped;
}

static int write_p2m(struct xr_restore *r, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	size_t n;
	int rc = 0;

	for (size_t at = 0; !rc && at < pv->nframes; at += n) {
		n = pv->nframes - at < XR_WINDOW ? pv->nframes - at : XR_WINDOW;
		rc = xr_pulse(r, err);
		if (!rc)
			rc = write_frames(r, at, n, err);
	}
	return rc;
}

static int seed_grants(struct xr_restore *r, struct xr_error *err)
{
	const struct xr_guest *g = &r->guest;
	int rc = xr_pulse(r, err);

	if (rc)
		return rc;
	r->other_calls++;
	rc = r->host->ops->seed_grants(r->host, false, g->console_gfn, g->store_gfn,
				       r->set.console_domid, r->set.store_domid);
	if (!rc)
		return 0;
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			    "cannot seed the guest's grant table: %s", strerror(-rc));
}

/* The order is Xen's own restorer's. No page table is mapped by us or by a worker any more. */
int xr_pv_complete(struct xr_restore *r, struct xr_error *err)
{
	int rc;

	if (!r->guest.pv->layout || !r->guest.pv->nframes)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			       "the stream does not describe its PV guest: there is no "
			       "X86_PV_INFO or no X86_PV_P2M_FRAMES record");
	rc = xr_pv_load_vcpus(r, err);
	if (!rc)
		rc = pin_tables(r, err);
	if (!rc)
		rc = write_p2m(r, err);
	return rc ? rc : seed_grants(r, err);
}
