/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vcpus of a PV guest, and the start info that the first one points to. */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_AT 512u
#define FLAG_ONLINE (1u << 5)
#define GDT_ENTRIES_MAX 7168u
#define GDT_PER_FRAME 512u
#define CR1 1u
#define CR3 3u

static int wide(uint64_t pfn, const char *what, struct xr_error *err)
{
	return xr_fail_host(err, -ERANGE, XR_STAGE_ENGINE, NULL, pfn,
			    "%s got a frame that a 32-bit guest cannot name", what);
}

static int put(const struct xr_pv *pv, void *base, size_t at, uint64_t mfn, uint64_t pfn,
	       const char *what, struct xr_error *err)
{
	return xr_pv_set(pv, base, at, mfn) ? wide(pfn, what, err) : 0;
}

/* The frame of a ring that the start info names by pfn. */
static int ring(struct xr_restore *r, uint64_t pfn, const char *what, uint64_t *mfn,
		struct xr_error *err)
{
	*mfn = xr_p2m_mfn(r->p2m, pfn);
	if (pfn <= xr_p2m_max(r->p2m) && *mfn != XR_NO_MFN)
		return 0;
	return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, pfn,
		       "the start info has the %s ring at pfn %#" PRIx64
		       ", where the guest has no frame",
		       what, pfn);
}

static int fill_start_info(struct xr_restore *r, char *page, struct xr_error *err)
{
	struct xr_guest *g = &r->guest;
	const struct xr_pv *pv = g->pv;
	const struct xr_pv_layout *l = pv->layout;
	const uint32_t none = 0;
	int rc;

	rc = ring(r, pv->store_pfn, "xenstore", &g->store_gfn, err);
	if (!rc)
		rc = ring(r, pv->console_pfn, "console", &g->console_gfn, err);
	if (!rc)
		rc = put(pv, page, l->start.store_mfn, g->store_gfn, pv->store_pfn,
			 "the xenstore ring", err);
	if (!rc)
		rc = put(pv, page, l->start.console_mfn, g->console_gfn, pv->console_pfn,
			 "the console ring", err);
	if (!rc)
		rc = put(pv, page, l->start.nr_pages, xr_p2m_max(r->p2m) + 1, XR_NO_PFN,
			 "the start info", err);
	if (!rc)
		rc = put(pv, page, l->start.shared_info, pv->shared_info_gfn << XR_PAGE_SHIFT,
			 XR_NO_PFN, "the shared info", err);
	memcpy(page + l->start.flags, &none, sizeof(none));
	memcpy(page + l->start.store_port, &r->set.store_port, sizeof(r->set.store_port));
	memcpy(page + l->start.console_port, &r->set.console_port, sizeof(r->set.console_port));
	return rc;
}

/* Its frame is to be named by the first vcpu's register. */
static int start_info(struct xr_restore *r, void *context, struct xr_error *err)
{
	struct xr_pv *pv = r->guest.pv;
	const struct xr_pv_layout *l = pv->layout;
	const uint64_t pfn = xr_pv_get(pv, context, l->vcpu.start_info);
	uint64_t mfn;
	char *page;
	int rc, unmapped;

	rc = xr_pv_frame(r, pfn, "the start info", &mfn, err);
	if (!rc)
		rc = put(pv, context, l->vcpu.start_info, mfn, pfn, "the start info", err);
	if (rc)
		return rc;
	page = xr_pv_map(r, &mfn, 1, NULL, pfn, err);
	if (!page)
		return err->code;
	if (pv->start_pfn != pfn) {
		pv->store_pfn = xr_pv_get(pv, page, l->start.store_mfn);
		pv->console_pfn = xr_pv_get(pv, page, l->start.console_mfn);
		pv->start_pfn = pfn;
	}
	xr_receipt_own(r, pfn);
	rc = fill_start_info(r, page, err);
	unmapped = xr_pv_unmap(r, page, 1, NULL, err);
	return rc ? rc : unmapped;
}

static int gdt(struct xr_restore *r, uint32_t vcpu, void *context, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	const struct xr_pv_layout *l = pv->layout;
	const uint64_t entries = xr_pv_get(pv, context, l->vcpu.gdt_ents);
	int rc = 0;

	if (entries > GDT_ENTRIES_MAX)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			       "vcpu %u has a GDT of %" PRIu64 " entries, %u are possible", vcpu,
			       entries, GDT_ENTRIES_MAX);
	for (unsigned int i = 0; !rc && i < (entries + GDT_PER_FRAME - 1) / GDT_PER_FRAME; i++) {
		const size_t at = l->vcpu.gdt_frames + i * l->width;
		const uint64_t pfn = xr_pv_get(pv, context, at);
		uint64_t mfn;

		rc = xr_pv_frame(r, pfn, "a GDT", &mfn, err);
		if (!rc)
			rc = put(pv, context, at, mfn, pfn, "a GDT", err);
	}
	return rc;
}

/* The frame of a page table of the highest level. */
static int root(struct xr_restore *r, uint32_t vcpu, uint64_t pfn, uint64_t *mfn,
		struct xr_error *err)
{
	const unsigned int levels = r->guest.pv->layout->levels;

	*mfn = xr_p2m_mfn(r->p2m, pfn);
	if (pfn <= xr_p2m_max(r->p2m) && *mfn != XR_NO_MFN &&
	    (xr_p2m_type(r->p2m, pfn) & 7) == levels && xr_pfnset_has(r->guest.pv->tables, pfn))
		return 0;
	return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, pfn,
		       "vcpu %u has its page tables at pfn %#" PRIx64
		       ", which is no page table of level %u",
		       vcpu, pfn, levels);
}

/* A 32-bit guest's cr3 has bits 20 to 31 of the frame number at its low end. */
static int cr3(struct xr_restore *r, uint32_t vcpu, void *context, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	const size_t at = pv->layout->vcpu.ctrlreg + (size_t)CR3 * pv->layout->width;
	const uint64_t value = xr_pv_get(pv, context, at);
	const bool narrow = pv->layout->width == 4;
	uint64_t pfn = value >> 12, mfn;
	int rc;

	if (narrow)
		pfn |= (value & 0xfff) << 20;
	rc = root(r, vcpu, pfn, &mfn, err);
	if (rc)
		return rc;
	if (narrow && mfn > UINT32_MAX)
		return wide(pfn, "a vcpu's page table", err);
	return put(pv, context, at, narrow ? (uint32_t)(mfn << 12) | mfn >> 20 : mfn << 12, pfn,
		   "a vcpu's page table", err);
}

/* The page tables of user mode, which only a 64-bit guest has apart; bit 0 says so. */
static int cr1(struct xr_restore *r, uint32_t vcpu, void *context, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	const size_t at = pv->layout->vcpu.ctrlreg + (size_t)CR1 * pv->layout->width;
	const uint64_t value = xr_pv_get(pv, context, at);
	uint64_t mfn;
	int rc;

	if (pv->layout->width == 4 || !(value & 1))
		return 0;
	rc = root(r, vcpu, value >> 12, &mfn, err);
	return rc ? rc : xr_pv_set(pv, context, at, mfn << 12);
}

static int load(struct xr_restore *r, uint32_t vcpu, enum xr_vcpu_state state, const void *blob,
		uint32_t size, struct xr_error *err)
{
	static const char *const names[] = { "registers", "extended state", "xsave state", "MSRs" };
	char what[48];
	int rc = xr_pulse(r, err);

	if (rc)
		return rc;
	r->other_calls++;
	rc = r->host->ops->set_vcpu(r->host, vcpu, state, blob, size);
	if (!rc)
		return 0;
	snprintf(what, sizeof(what), "the %s of vcpu %u", names[state], vcpu);
	return xr_refused(err, rc, &XR_NOWHERE, what);
}

static int load_basic(struct xr_restore *r, uint32_t vcpu, const struct xr_pv_blob *b,
		      struct xr_error *err)
{
	uint64_t context[XR_VCPU_BASIC_BYTES / 8] = { 0 };
	uint32_t flags;
	int rc = 0;

	memcpy(context, b->data, b->size);
	if (!vcpu)
		rc = start_info(r, context, err);
	memcpy(&flags, (char *)context + FLAGS_AT, sizeof(flags));
	flags |= FLAG_ONLINE;
	memcpy((char *)context + FLAGS_AT, &flags, sizeof(flags));
	if (!rc)
		rc = gdt(r, vcpu, context, err);
	if (!rc)
		rc = cr3(r, vcpu, context, err);
	if (!rc)
		rc = cr1(r, vcpu, context, err);
	return rc ? rc : load(r, vcpu, XR_VCPU_BASIC, context, sizeof(context), err);
}

static int load_vcpu(struct xr_restore *r, uint32_t vcpu, struct xr_error *err)
{
	const struct xr_pv_blob *b = r->guest.pv->vcpu[vcpu];
	int rc = load_basic(r, vcpu, &b[XR_VCPU_BASIC], err);

	for (unsigned int s = XR_VCPU_EXTENDED; !rc && s < XR_VCPU_STATES; s++)
		if (b[s].data)
			rc = load(r, vcpu, s, b[s].data, b[s].size, err);
	return rc;
}

/* A vcpu without registers was offline. */
int xr_pv_load_vcpus(struct xr_restore *r, struct xr_error *err)
{
	const struct xr_pv *pv = r->guest.pv;
	int rc = 0;

	if (!pv->vcpu[0][XR_VCPU_BASIC].data)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			       "the stream has no X86_PV_VCPU_BASIC record for vcpu 0");
	for (uint32_t v = 0; !rc && v < pv->nvcpus; v++)
		if (pv->vcpu[v][XR_VCPU_BASIC].data)
			rc = load_vcpu(r, v, err);
	return rc;
}
