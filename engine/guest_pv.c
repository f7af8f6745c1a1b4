/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PV guests: the records that describe one, and what their handling shares. */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a vcpu's state may take here; Xen's own limits are lower. */
#define BLOB_MAX (64u << 10)
#define VCPU_INFOS 32u
#define VCPU_INFO_BYTES 64u

static const struct xr_pv_layout layout64 = {
	.width = 8,
	.levels = 4,
	.vcpu = { XR_WIRE_VCPU64, 616, 4832, 4960, 4984 },
	.start = { 32, 40, 48, 56, 64, 72, 80 },
	.shared = { 8, 2048, 2560, 512, 3088, 48, 3096 },
};

static const struct xr_pv_layout layout32 = {
	.width = 4,
	.levels = 3,
	.vcpu = { XR_WIRE_VCPU32, 524, 2640, 2704, 2716 },
	.start = { 32, 36, 40, 44, 48, 52, 56 },
	.shared = { 4, 2048, 2176, 128, 2316, 28, 2320 },
};

uint64_t xr_pv_get(const struct xr_pv *pv, const void *base, size_t at)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)base + at, pv->layout->width);
	return value;
}

int xr_pv_set(const struct xr_pv *pv, void *base, size_t at, uint64_t value)
{
	if (pv->layout->width == 4 && value > UINT32_MAX)
		return -ERANGE;
	memcpy((char *)base + at, &value, pv->layout->width);
	return 0;
}

void *xr_pv_map(struct xr_restore *r, const uint64_t *gfns, size_t n, const struct xr_where *where,
		uint64_t pfn, struct xr_error *err)
{
	const struct xr_host_ops *ops = r->host->ops;
	int status[XR_WINDOW];
	int rc = xr_open_mapper(r, where, err);
	void *at;

	if (rc)
		return NULL;
	r->other_calls++;
	at = ops->map(r->mapper, n, gfns, status);
	if (!at)
		rc = errno ? -errno : -EIO;
	for (size_t i = 0; !rc && i < n; i++)
		rc = status[i];
	if (!rc)
		return at;
	if (at)
		ops->unmap(r->mapper, at, n);
	xr_fail_host(err, rc, XR_STAGE_ENGINE, where, pfn,
		     "cannot map the frames of the guest's state: %s", strerror(-rc));
	return NULL;
}

int xr_pv_unmap(struct xr_restore *r, void *addr, size_t n, const struct xr_where *where,
		struct xr_error *err)
{
	int rc = r->host->ops->unmap(r->mapper, addr, n);

	r->other_calls++;
	if (!rc)
		return 0;
	r->guest.pv->stuck = addr;
	r->guest.pv->nstuck = n;
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN,
			    "cannot unmap the frames of the guest's state: %s", strerror(-rc));
}

int xr_pv_frame(struct xr_restore *r, uint64_t pfn, const char *what, uint64_t *mfn,
		struct xr_error *err)
{
	*mfn = xr_p2m_mfn(r->p2m, pfn);
	if (pfn > xr_p2m_max(r->p2m) || *mfn == XR_NO_MFN)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, pfn,
			       "%s is said to be at pfn %#" PRIx64 ", where the guest has no frame",
			       what, pfn);
	if (xr_p2m_type(r->p2m, pfn))
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, NULL, pfn,
			       "%s is said to be at pfn %#" PRIx64
			       ", which is a page of type %#x, not an ordinary one",
			       what, pfn, xr_p2m_type(r->p2m, pfn));
	return 0;
}

int xr_pv_open(struct xr_restore *r, const struct xr_dominfo *dom, struct xr_error *err)
{
	struct xr_pv *pv = calloc(1, sizeof(*pv));

	r->guest.pv = pv;
	if (!pv || !r->p2m)
		goto fail;
	pv->nvcpus = dom->max_vcpu_id + 1;
	pv->shared_info_gfn = dom->shared_info_gfn;
	pv->start_pfn = XR_NO_PFN;
	pv->vcpu = calloc(pv->nvcpus, sizeof(*pv->vcpu));
	pv->tables = xr_pfnset_new();
	pv->pinned = xr_pfnset_new();
	if (!pv->vcpu || !pv->tables || !pv->pinned)
		goto fail;
	xr_copy_set_pv(r->copy, true);
	return 0;
fail:
	return xr_fail_host(err, -ENOMEM, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			    "no memory for the books about a PV guest");
}

void xr_pv_free(struct xr_restore *r)
{
	struct xr_pv *pv = r->guest.pv;

	if (!pv)
		return;
	if (pv->stuck)
		r->host->ops->unmap(r->mapper, pv->stuck, pv->nstuck);
	for (uint32_t i = 0; pv->vcpu && i < pv->nvcpus; i++)
		for (unsigned int s = 0; s < XR_VCPU_STATES; s++)
			free(pv->vcpu[i][s].data);
	free(pv->vcpu);
	free(pv->frame);
	xr_pfnset_free(pv->tables);
	xr_pfnset_free(pv->pinned);
	free(pv);
	r->guest.pv = NULL;
}

static int width_failed(const struct xr_item *it, int rc, unsigned int width, struct xr_error *err)
{
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			    "the domain cannot be made one for a %u-bit PV guest: %s", width * 8,
			    strerror(-rc));
}

/* Before any memory: Xen changes the width of an empty domain only. */
static int pv_info(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	const struct xr_host_ops *ops = r->host->ops;
	struct xr_wire_pv_info info;
	unsigned int width;
	int rc;

	memcpy(&info, it->body, sizeof(info));
	r->guest.pv->layout = info.width == 4 ? &layout32 : &layout64;
	r->other_calls++;
	rc = ops->get_width(r->host, &width);
	if (!rc && width != info.width) {
		r->other_calls += 2;
		rc = ops->set_width(r->host, info.width);
		if (!rc)
			rc = ops->get_width(r->host, &width);
		if (!rc && width != info.width)
			rc = -EOPNOTSUPP;
	}
	return rc ? width_failed(it, rc, info.width, err) : 0;
}

static int grow_frames(struct xr_pv *pv, size_t n)
{
	uint32_t *more;

	if (n <= pv->nframes)
		return 0;
	more = realloc(pv->frame, n * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + pv->nframes, 0xff, (n - pv->nframes) * sizeof(*more));
	pv->frame = more;
	pv->nframes = n;
	return 0;
}

static int p2m_frames(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_pv *pv = r->guest.pv;
	const uint32_t per_frame = XR_PAGE_SIZE / pv->layout->width;
	struct xr_wire_p2m_frames h;
	uint32_t first, n;

	memcpy(&h, it->body, sizeof(h));
	if (pv->layout->width == 4 && h.last == UINT32_MAX)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			       "the guest's p2m ends at pfn %#x: a 32-bit guest cannot count so "
			       "many pages",
			       h.last);
	first = h.first / per_frame;
	n = h.last / per_frame - first + 1;
	if (grow_frames(pv, (size_t)first + n))
		return xr_fail_host(err, -ENOMEM, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
				    "no memory for the list of the guest's p2m frames");
	for (uint32_t i = 0; i < n; i++) {
		uint64_t pfn;

		memcpy(&pfn, (char *)it->body + sizeof(h) + i * sizeof(pfn), sizeof(pfn));
		pv->frame[first + i] = pfn < XR_PV_NO_FRAME ? (uint32_t)pfn : XR_PV_NO_FRAME;
	}
	xr_p2m_raise(r->p2m, h.last);
	xr_physmap_limit(r->pm, xr_p2m_max(r->p2m) + 1);
	return 0;
}

static int vcpu_state(struct xr_restore *r, const struct xr_item *it, enum xr_vcpu_state state,
		      struct xr_error *err)
{
	struct xr_pv *pv = r->guest.pv;
	struct xr_wire_vcpu h;
	struct xr_pv_blob *b;
	uint32_t size;

	memcpy(&h, it->body, sizeof(h));
	size = it->length - (uint32_t)sizeof(h);
	if (h.vcpu >= pv->nvcpus)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			       "the stream has state of vcpu %u, the domain has vcpus 0 to %u",
			       h.vcpu, pv->nvcpus - 1);
	if (size > BLOB_MAX)
		return xr_fail(err, -EOPNOTSUPP, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			       "state of vcpu %u takes %u bytes, more than %u are not accepted",
			       h.vcpu, size, BLOB_MAX);
	if (!size)
		return 0;
	b = &pv->vcpu[h.vcpu][state];
	free(b->data);
	b->size = size;
	b->data = malloc(size);
	if (!b->data)
		return xr_fail_host(err, -ENOMEM, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
				    "no memory for the state of vcpu %u", h.vcpu);
	memcpy(b->data, (char *)it->body + sizeof(h), size);
	return 0;
}

/* Event channels are made anew, and the guest tells Xen of its p2m again; the clock is Xen's. */
static void fill_shared_info(const struct xr_pv_layout *l, char *to, const char *from)
{
	const uint64_t none = 0;

	memcpy(to, from, VCPU_INFOS * VCPU_INFO_BYTES);
	for (unsigned int i = 0; i < VCPU_INFOS; i++)
		memcpy(to + i * VCPU_INFO_BYTES + l->shared.pending_sel, &none, l->width);
	memset(to + l->shared.pending, 0, l->shared.port_bytes);
	memset(to + l->shared.mask, 0xff, l->shared.port_bytes);
	memcpy(to + l->shared.arch, from + l->shared.arch, l->shared.arch_bytes);
	memcpy(to + l->shared.p2m_list, &none, l->width);
}

static int shared_info(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_pv *pv = r->guest.pv;
	void *page = xr_pv_map(r, &pv->shared_info_gfn, 1, &it->where, XR_NO_PFN, err);

	if (!page)
		return err->code;
	fill_shared_info(pv->layout, page, it->body);
	return xr_pv_unmap(r, page, 1, &it->where, err);
}

static int pv_control(struct xr_restore *r, struct xr_item *it, struct xr_error *err)
{
	switch (it->where.type) {
	case XR_REC_PV_INFO:
		return pv_info(r, it, err);
	case XR_REC_PV_P2M_FRAMES:
		return p2m_frames(r, it, err);
	case XR_REC_PV_VCPU_BASIC:
		return vcpu_state(r, it, XR_VCPU_BASIC, err);
	case XR_REC_PV_VCPU_EXTENDED:
		return vcpu_state(r, it, XR_VCPU_EXTENDED, err);
	case XR_REC_PV_VCPU_XSAVE:
		return vcpu_state(r, it, XR_VCPU_XSAVE, err);
	case XR_REC_PV_VCPU_MSRS:
		return vcpu_state(r, it, XR_VCPU_MSRS, err);
	case XR_REC_SHARED_INFO:
		return shared_info(r, it, err);
	}
	return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
		       "a record of type %#x has no place in a PV stream", it->where.type);
}

const struct xr_guest_ops xr_guest_pv = {
	.control = pv_control,
	.types = xr_pv_types,
	.settle = xr_pv_settle,
	.complete = xr_pv_complete,
};
