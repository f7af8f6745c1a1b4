/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers and the rules of order; bodies are in decode_body.c. */
#include "stream/decode.h"

#include "stream/stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum guest { ANY, PV, HVM };

/* What is known of a record by its type alone. */
struct rule {
	const char *name;
	enum xr_record_kind kind;
	enum guest guest;
	uint8_t since;	   /* stream version */
	uint32_t min, max; /* length; 0, 0: empty */
};

#define MOST XR_CONTROL_MAX

static const struct rule rules[] = {
	[XR_REC_END] = { "END", XR_RECORD_END, ANY, 2, 0, 0 },
	[XR_REC_PAGE_DATA] = { "PAGE_DATA", XR_RECORD_PAGES, ANY, 2, 16, XR_WIRE_BODY_MAX },
	[XR_REC_PV_INFO] = { "X86_PV_INFO", XR_RECORD_CONTROL, PV, 2, 8, MOST },
	[XR_REC_PV_P2M_FRAMES] = { "X86_PV_P2M_FRAMES", XR_RECORD_CONTROL, PV, 2, 16, MOST },
	[XR_REC_PV_VCPU_BASIC] = { "X86_PV_VCPU_BASIC", XR_RECORD_CONTROL, PV, 2,
				   8 + XR_WIRE_VCPU32, 8 + XR_WIRE_VCPU64 },
	[XR_REC_PV_VCPU_EXTENDED] = { "X86_PV_VCPU_EXTENDED", XR_RECORD_CONTROL, PV, 2, 8,
				      8 + XR_WIRE_VCPU_EXT },
	[XR_REC_PV_VCPU_XSAVE] = { "X86_PV_VCPU_XSAVE", XR_RECORD_CONTROL, PV, 2, 8, MOST },
	[XR_REC_SHARED_INFO] = { "SHARED_INFO", XR_RECORD_CONTROL, PV, 2, 4096, 4096 },
	[XR_REC_TSC_INFO] = { "X86_TSC_INFO", XR_RECORD_CONTROL, ANY, 2, 24, 24 },
	[XR_REC_HVM_CONTEXT] = { "HVM_CONTEXT", XR_RECORD_CONTROL, HVM, 2, 1, MOST },
	[XR_REC_HVM_PARAMS] = { "HVM_PARAMS", XR_RECORD_CONTROL, HVM, 2, 8, MOST },
	[XR_REC_TOOLSTACK] = { "TOOLSTACK", XR_RECORD_CONTROL, ANY, 0, 0, 0 },
	[XR_REC_PV_VCPU_MSRS] = { "X86_PV_VCPU_MSRS", XR_RECORD_CONTROL, PV, 2, 8, MOST },
	[XR_REC_VERIFY] = { "VERIFY", XR_RECORD_CONTROL, ANY, 2, 0, 0 },
	[XR_REC_CHECKPOINT] = { "CHECKPOINT", XR_RECORD_CHECKPOINT, ANY, 2, 0, 0 },
	[XR_REC_DIRTY_PFN_LIST] = { "CHECKPOINT_DIRTY_PFN_LIST", XR_RECORD_CONTROL, ANY, 0, 0, 0 },
	[XR_REC_STATIC_DATA_END] = { "STATIC_DATA_END", XR_RECORD_CONTROL, ANY, 3, 0, 0 },
	[XR_REC_CPUID_POLICY] = { "X86_CPUID_POLICY", XR_RECORD_CONTROL, ANY, 3, 24, MOST },
	[XR_REC_MSR_POLICY] = { "X86_MSR_POLICY", XR_RECORD_CONTROL, ANY, 3, 16, MOST },
};

#define NR_RULES (sizeof(rules) / sizeof(rules[0]))

#define bad(err, where, ...) xr_fail(err, -EBADMSG, XR_STAGE_STREAM, where, XR_NO_PFN, __VA_ARGS__)
#define unsupported(err, where, ...)                                                               \
	xr_fail(err, -EOPNOTSUPP, XR_STAGE_STREAM, where, XR_NO_PFN, __VA_ARGS__)

const char *xr_record_name(uint32_t type)
{
	return type < NR_RULES ? rules[type].name : "unknown";
}

void xr_decoder_init(struct xr_decoder *d, bool checkpointed, uint64_t max_pfn)
{
	memset(d, 0, sizeof(*d));
	d->checkpointed = checkpointed;
	d->max_pfn = max_pfn;
}

int xr_decode_image(struct xr_decoder *d, const void *bytes, uint64_t offset, struct xr_error *err)
{
	const struct xr_where at = { offset, XR_NO_RECORD, XR_NO_TYPE };
	struct xr_wire_image h;

	memcpy(&h, bytes, sizeof(h));
	d->version = be32toh(h.be_version);
	if (be32toh(h.be_id) != XR_WIRE_ID)
		return bad(err, &at, "this is no libxc stream: its id is %#x, not %#x",
			   be32toh(h.be_id), XR_WIRE_ID);
	if (d->version != 2 && d->version != 3)
		return unsupported(err, &at, "libxc stream version %u; 2 and 3 are supported",
				   d->version);
	if (be16toh(h.be_options) & XR_WIRE_BIG_ENDIAN)
		return unsupported(err, &at, "the libxc stream is big-endian");
	return 0;
}

int xr_decode_domain(struct xr_decoder *d, const void *bytes, uint64_t offset, struct xr_error *err)
{
	const struct xr_where at = { offset, XR_NO_RECORD, XR_NO_TYPE };
	struct xr_wire_domain h;
	uint32_t type;

	memcpy(&h, bytes, sizeof(h));
	type = le32toh(h.type);
	if (type != XR_WIRE_PV && type != XR_WIRE_HVM)
		return unsupported(err, &at,
				   "the stream's domain is of type %u; 1 (x86 PV) and 2 (x86 HVM) "
				   "are known",
				   type);
	if (le16toh(h.page_shift) != 12)
		return unsupported(err, &at, "the stream's page shift is %u, not 12",
				   le16toh(h.page_shift));
	d->pv = type == XR_WIRE_PV;
	d->xen_major = le32toh(h.xen_major);
	d->xen_minor = le32toh(h.xen_minor);
	return 0;
}

static int check_known(const struct xr_decoder *d, const struct rule *rule,
		       const struct xr_where *at, struct xr_error *err)
{
	if (!rule || !rule->since)
		return bad(err, at, "mandatory record of %s type %#x%s%s",
			   rule ? "unsupported" : "unknown", at->type, rule ? ": " : "",
			   rule ? rule->name : "");
	if (rule->guest != ANY && (rule->guest == PV) != d->pv)
		return bad(err, at, "%s record in the stream of %s guest", rule->name,
			   d->pv ? "a PV" : "an HVM");
	if (rule->since > d->version)
		return bad(err, at, "%s record in a stream of version %u", rule->name, d->version);
	return 0;
}

static int check_length(const struct rule *rule, uint32_t length, const struct xr_where *at,
			struct xr_error *err)
{
	/* Known: else check_known() has failed. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	if (length < rule->min)
		return bad(err, at, "%s: length %u, at least %u is needed", rule->name, length,
			   rule->min);
	if (length > rule->max && rule->max == MOST)
		return unsupported(err, at, "%s: length %u, more than %u is not accepted",
				   rule->name, length, rule->max);
	if (length > rule->max)
		return bad(err, at, "%s: length %u, at most %u is possible", rule->name, length,
			   rule->max);
	return 0;
}

/* Memory may come only behind the static data: the CPU policy must be in place. */
static int pass_static_end(struct xr_decoder *d, struct xr_record *rec, struct xr_error *err)
{
	if (d->static_end)
		return 0;
	if (d->version > 2)
		return bad(err, &rec->where, "%s record without STATIC_DATA_END before it",
			   xr_record_name(rec->where.type));
	d->static_end = rec->static_end = true;
	return 0;
}

static int check_static(struct xr_decoder *d, const struct xr_record *rec, struct xr_error *err)
{
	if (d->static_end)
		return bad(err, &rec->where, "%s record behind STATIC_DATA_END",
			   xr_record_name(rec->where.type));
	d->static_end = rec->where.type == XR_REC_STATIC_DATA_END;
	return 0;
}

static int need_pv_info(const struct xr_decoder *d, const struct xr_record *rec,
			struct xr_error *err)
{
	if (d->pv_info)
		return 0;
	return bad(err, &rec->where, "%s record without X86_PV_INFO before it",
		   xr_record_name(rec->where.type));
}

static int check_order(struct xr_decoder *d, struct xr_record *rec, struct xr_error *err)
{
	int rc;

	switch (rec->where.type) {
	case XR_REC_STATIC_DATA_END:
	case XR_REC_CPUID_POLICY:
	case XR_REC_MSR_POLICY:
		return check_static(d, rec, err);
	case XR_REC_PAGE_DATA:
		if (d->pv && !d->pv_frames)
			return bad(err, &rec->where,
				   "PAGE_DATA record without X86_PV_P2M_FRAMES before it");
		return pass_static_end(d, rec, err);
	case XR_REC_END:
		return pass_static_end(d, rec, err);
	case XR_REC_PV_INFO:
		if (d->pv_info)
			return bad(err, &rec->where, "second X86_PV_INFO record");
		return 0;
	case XR_REC_PV_P2M_FRAMES:
		rc = need_pv_info(d, rec, err);
		return rc ? rc : pass_static_end(d, rec, err);
	case XR_REC_PV_VCPU_BASIC:
	case XR_REC_PV_VCPU_EXTENDED:
	case XR_REC_PV_VCPU_XSAVE:
	case XR_REC_PV_VCPU_MSRS:
	case XR_REC_SHARED_INFO:
		return need_pv_info(d, rec, err);
	case XR_REC_CHECKPOINT:
		if (!d->checkpointed)
			return bad(err, &rec->where, "CHECKPOINT record in a plain stream");
		return pass_static_end(d, rec, err);
	}
	return 0;
}

int xr_decode_header(struct xr_decoder *d, const void *bytes, uint64_t offset,
		     struct xr_record *rec, struct xr_error *err)
{
	const struct rule *rule;
	struct xr_wire_record h;
	int rc;

	memcpy(&h, bytes, sizeof(h));
	rec->where = (struct xr_where){ offset, d->records, le32toh(h.type) };
	rec->length = le32toh(h.length);
	rec->static_end = false;
	if (rec->length > XR_WIRE_BODY_MAX)
		return bad(err, &rec->where, "record of type %#x (%s): length %u, more than %u",
			   rec->where.type, xr_record_name(rec->where.type), rec->length,
			   XR_WIRE_BODY_MAX);
	rec->padded = (rec->length + 7) & ~7u;
	d->records++;
	if (rec->where.type & XR_REC_OPTIONAL) {
		rec->kind = XR_RECORD_SKIP;
		return 0;
	}
	rule = rec->where.type < NR_RULES ? &rules[rec->where.type] : NULL;
	rc = check_known(d, rule, &rec->where, err);
	if (!rc)
		rc = check_length(rule, rec->length, &rec->where, err);
	if (!rc)
		rc = check_order(d, rec, err);
	if (!rc)
		rec->kind = rule->kind;
	return rc;
}
