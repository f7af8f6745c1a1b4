/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of records: lengths that hang on what is in them, page entries, the PV shape. */
#include "stream/decode.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define bad(err, rec, ...)                                                                         \
	xr_fail(err, -EBADMSG, XR_STAGE_STREAM, &(rec)->where, XR_NO_PFN, __VA_ARGS__)

static int check_multiple(const struct xr_record *rec, uint32_t head, uint32_t unit,
			  struct xr_error *err)
{
	if ((rec->length - head) % unit == 0)
		return 0;
	return bad(err, rec, "%s: length %u is not %u plus a multiple of %u",
		   xr_record_name(rec->where.type), rec->length, head, unit);
}

static int decode_params(const struct xr_record *rec, const void *body, struct xr_error *err)
{
	struct xr_wire_params h;
	uint64_t need;

	memcpy(&h, body, sizeof(h));
	need = sizeof(h) + (uint64_t)le32toh(h.count) * sizeof(struct xr_wire_param);
	if (need == rec->length)
		return 0;
	return bad(err, rec, "HVM_PARAMS: %u entries need %" PRIu64 " bytes, the record has %u",
		   le32toh(h.count), need, rec->length);
}

static int decode_pv_info(struct xr_decoder *d, const struct xr_record *rec, const void *body,
			  struct xr_error *err)
{
	struct xr_wire_pv_info h;

	memcpy(&h, body, sizeof(h));
	if (!(h.width == 8 && h.levels == 4) && !(h.width == 4 && h.levels == 3))
		return bad(err, rec,
			   "X86_PV_INFO: guest width %u with %u page-table levels; 8 with 4 and "
			   "4 with 3 are possible",
			   h.width, h.levels);
	d->width = h.width;
	d->pv_info = true;
	return 0;
}

static int decode_p2m_frames(struct xr_decoder *d, const struct xr_record *rec, const void *body,
			     struct xr_error *err)
{
	const uint32_t per_frame = XR_WIRE_PAGE / d->width;
	struct xr_wire_p2m_frames h;
	uint32_t first, last;
	uint64_t need;

	memcpy(&h, body, sizeof(h));
	first = le32toh(h.first);
	last = le32toh(h.last);
	if (first > last)
		return bad(err, rec, "X86_PV_P2M_FRAMES: first pfn %#x is behind last pfn %#x",
			   first, last);
	need = sizeof(h) + 8 * ((uint64_t)last / per_frame - first / per_frame + 1);
	if (need != rec->length)
		return bad(err, rec,
			   "X86_PV_P2M_FRAMES: pfns %#x to %#x need %" PRIu64
			   " bytes, the record has %u",
			   first, last, need, rec->length);
	if (last > d->max_pfn)
		return xr_fail(err, -EBADMSG, XR_STAGE_STREAM, &rec->where, last,
			       "X86_PV_P2M_FRAMES: pfn %#x is beyond %#" PRIx64, last, d->max_pfn);
	if (!d->pv_frames || last > d->pv_max_pfn)
		d->pv_max_pfn = last;
	d->pv_frames = true;
	return 0;
}

/* An empty blob is an erratum of old savers and stands for none; the record is 8 bytes then. */
static int decode_vcpu(const struct xr_decoder *d, const struct xr_record *rec,
		       struct xr_error *err)
{
	const uint32_t blob = rec->length - (uint32_t)sizeof(struct xr_wire_vcpu);
	const uint32_t basic = d->width == 8 ? XR_WIRE_VCPU64 : XR_WIRE_VCPU32;

	switch (rec->where.type) {
	case XR_REC_PV_VCPU_BASIC:
		if (blob != basic)
			return bad(err, rec, "X86_PV_VCPU_BASIC: length %u, a %u-bit guest's is %u",
				   rec->length, d->width * 8u, basic + 8);
		return 0;
	case XR_REC_PV_VCPU_XSAVE:
		if (blob && blob < XR_WIRE_VCPU_XSAVE)
			return bad(err, rec, "X86_PV_VCPU_XSAVE: length %u, at least %u is needed",
				   rec->length, 8 + XR_WIRE_VCPU_XSAVE);
		return 0;
	case XR_REC_PV_VCPU_MSRS:
		return check_multiple(rec, 8, XR_WIRE_VCPU_MSR, err);
	}
	return 0;
}

int xr_decode_body(struct xr_decoder *d, const struct xr_record *rec, const void *body,
		   struct xr_error *err)
{
	switch (rec->where.type) {
	case XR_REC_HVM_PARAMS:
		return decode_params(rec, body, err);
	case XR_REC_CPUID_POLICY:
		return check_multiple(rec, 0, sizeof(struct xr_wire_cpuid), err);
	case XR_REC_MSR_POLICY:
		return check_multiple(rec, 0, sizeof(struct xr_wire_msr), err);
	case XR_REC_PV_INFO:
		return decode_pv_info(d, rec, body, err);
	case XR_REC_PV_P2M_FRAMES:
		return decode_p2m_frames(d, rec, body, err);
	case XR_REC_PV_VCPU_BASIC:
	case XR_REC_PV_VCPU_EXTENDED:
	case XR_REC_PV_VCPU_XSAVE:
	case XR_REC_PV_VCPU_MSRS:
		return decode_vcpu(d, rec, err);
	}
	return 0;
}

int xr_decode_pages(const struct xr_record *rec, const void *bytes, struct xr_pages *p,
		    struct xr_error *err)
{
	struct xr_wire_pages h;
	uint64_t front;

	memcpy(&h, bytes, sizeof(h));
	memset(p, 0, sizeof(*p));
	p->count = le32toh(h.count);
	p->reserved = le32toh(h.reserved);
	p->ascending = true;
	if (!p->count)
		return bad(err, rec, "PAGE_DATA: no entries");
	front = sizeof(h) + (uint64_t)p->count * 8;
	if (front > rec->length)
		return bad(err, rec,
			   "PAGE_DATA: %u entries need at least %" PRIu64
			   " bytes, the record has %u",
			   p->count, front, rec->length);
	p->room = (uint32_t)((rec->length - front) / XR_WIRE_PAGE);
	if ((rec->length - front) % XR_WIRE_PAGE || p->room > p->count)
		return bad(err, rec,
			   "PAGE_DATA: length %u does not fit %u entries with whole pages of "
			   "contents for at most all of them",
			   rec->length, p->count);
	return 0;
}

/* The first entry at fault, said exactly; there is one. */
static __attribute__((cold)) int blame_entry(const struct xr_record *rec, uint32_t done,
					     const uint64_t *entries, uint64_t max,
					     struct xr_error *err)
{
	for (size_t i = 0;; i++) {
		const uint64_t pfn = entries[i] & XR_WIRE_ENTRY_PFN;
		const unsigned int type = (unsigned int)(entries[i] >> 60);

		if (xr_page_in(XR_PAGES_RESERVED, type))
			return xr_fail(err, -EBADMSG, XR_STAGE_STREAM, &rec->where, pfn,
				       "PAGE_DATA: entry %zu, pfn %#" PRIx64
				       ", is of the reserved page type %#x",
				       done + i, pfn, type);
		if (pfn > max)
			return xr_fail(err, -EBADMSG, XR_STAGE_STREAM, &rec->where, pfn,
				       "PAGE_DATA: entry %zu, pfn %#" PRIx64 ", is beyond %#" PRIx64
				       ", the highest that is possible here",
				       done + i, pfn, max);
	}
}

int xr_decode_entries(const struct xr_decoder *d, const struct xr_record *rec, struct xr_pages *p,
		      const void *wire, size_t n, uint64_t *entries, struct xr_error *err)
{
	const uint64_t max = d->pv ? d->pv_max_pfn : d->max_pfn;
	const unsigned char *from = wire;
	uint64_t last = p->last, wrong = 0, behind = 0;
	uint32_t data = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t e, pfn;

		memcpy(&e, from + 8 * i, 8);
		e = le64toh(e) & XR_WIRE_ENTRY_BITS;
		pfn = e & XR_WIRE_ENTRY_PFN;
		entries[i] = e;
		data += xr_page_in(XR_PAGES_DATA, (unsigned int)(e >> 60));
		wrong |= (pfn > max) | xr_page_in(XR_PAGES_RESERVED, (unsigned int)(e >> 60));
		behind |= (pfn <= last) & (p->done + i > 0);
		last = pfn;
	}
	if (wrong)
		return blame_entry(rec, p->done, entries, max, err);
	if (!p->done)
		p->first = entries[0] & XR_WIRE_ENTRY_PFN;
	p->ascending &= !behind;
	p->last = last;
	p->data += data;
	p->done += (uint32_t)n;
	if (p->data > p->room || (p->done == p->count && p->data != p->room))
		return bad(err, rec,
			   "PAGE_DATA: %u of its %u entries carry contents, the length %u has room "
			   "for %u",
			   p->data, p->count, rec->length, p->room);
	return 0;
}
