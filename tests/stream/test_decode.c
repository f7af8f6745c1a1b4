/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decoder: what is taken, what is refused, and that damage never does more than that. */
#include "stream/samples.h"
#include "stream/walk.h"

#include "base/pfnset.h"
#include "stream/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int walk(const struct builder *b, struct walk *w, struct xr_error *e)
{
	xr_error_clear(e);
	return walk_stream(w, builder_data(b), builder_size(b), false, e);
}

/* A refusal names a code of the contract, a sentence and a place. */
static bool clean(int rc, const struct xr_error *e)
{
	if (rc == 0 || rc == -ENODATA)
		return e->code == 0;
	return (rc == -EBADMSG || rc == -EOPNOTSUPP) && e->code == rc && e->text[0] &&
	       e->stage == XR_STAGE_STREAM && !e->host_failed && e->offset != XR_NO_OFFSET;
}

Test(decode, takes_every_kind_of_record)
{
	for (unsigned int layer = XR_EMIT_BARE; layer <= XR_EMIT_LIBVIRT; layer++) {
		for (unsigned int i = 0; i < SAMPLES; i++) {
			struct xr_error e;
			struct builder b;
			struct walk w;

			sample_make(&b, i, layer, 5);
			cr_assert_eq(walk(&b, &w, &e), 0, "sample %u: %s", i, e.text);
			cr_assert_eq(w.end, b.end_offset);
			cr_assert_eq(w.records, b.records);
			cr_assert_eq(w.dec.version, i == SAMPLE_HVM2 ? 2 : 3);
			cr_assert_eq(w.dec.pv, i >= SAMPLE_PV64);
			cr_assert_eq(w.pages, i >= SAMPLE_PV64 ? 2 : 3);
			builder_free(&b);
		}
	}
}

Test(decode, every_truncation_is_found)
{
	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct xr_error e;
		struct builder b;
		struct walk w;

		sample_make(&b, i, XR_EMIT_XL, 0);
		for (size_t n = 0; n < b.end_offset; n++) {
			xr_error_clear(&e);
			cr_assert_eq(walk_stream(&w, builder_data(&b), n, false, &e), -ENODATA,
				     "sample %u cut at %zu: %s", i, n, e.text);
		}
		builder_free(&b);
	}
}

Test(decode, every_bit_flip_is_refused_or_harmless)
{
	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct builder b;
		struct walk w;

		sample_make(&b, i, XR_EMIT_LIBXL, 0);
		for (size_t bit = 0; bit < 8 * b.end_offset; bit++) {
			unsigned char *at = b.sink.data + bit / 8;
			struct xr_error e;
			int rc;

			if (bit / 8 > 600 && bit / 8 % 64)
				continue; /* contents, mostly */
			*at ^= (unsigned char)(1u << bit % 8);
			rc = walk(&b, &w, &e);
			*at ^= (unsigned char)(1u << bit % 8);
			cr_assert(clean(rc, &e), "sample %u bit %zu: %d %s", i, bit, rc, e.text);
		}
		builder_free(&b);
	}
}

Test(decode, reserved_and_padding_bits_change_nothing)
{
	struct builder b;
	struct walk plain, w;
	struct xr_error e;
	size_t tail, entry;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, false, false);
	builder_page_data(&b, (uint64_t[]){ 7 }, 1, NULL);
	entry = b.last_record + 16;
	sample_blob(&b, XR_REC_HVM_CONTEXT, 9);
	tail = b.last_record + 8 + 9;
	builder_end(&b, false, 0);
	cr_assert_eq(walk(&b, &plain, &e), 0);
	memset(b.sink.data + tail, 0xa5, 7);
	b.sink.data[18] = 1; /* image: reserved */
	b.sink.data[23] = 0xff;
	b.sink.data[17] = 0xfe; /* options 1 to 7 */
	b.sink.data[16] = 0xff;
	b.sink.data[30] = 1;	       /* domain: reserved */
	b.sink.data[entry - 1] = 0x80; /* PAGE_DATA: reserved */
	b.sink.data[entry + 7] = 0x0f; /* entry: bits 56 to 59 */
	b.sink.data[entry + 6] |= 0xf0;
	cr_assert_eq(walk(&b, &w, &e), 0, "%s", e.text);
	cr_assert_eq(w.digest, plain.digest);
	builder_free(&b);
}

struct length_rule {
	uint32_t type, length;
	int rc;
	bool pv;
};

#define OK(t, l)                                                                                   \
	{                                                                                          \
		t, l, 0, false                                                                     \
	}
#define NO(t, l)                                                                                   \
	{                                                                                          \
		t, l, -EBADMSG, false                                                              \
	}
#define BIG(t)                                                                                     \
	{                                                                                          \
		t, XR_CONTROL_MAX + 8, -EOPNOTSUPP, false                                          \
	}
#define OKP(t, l)                                                                                  \
	{                                                                                          \
		t, l, 0, true                                                                      \
	}
#define NOP(t, l)                                                                                  \
	{                                                                                          \
		t, l, -EBADMSG, true                                                               \
	}
static const struct length_rule lengths[] = {
	OK(XR_REC_TSC_INFO, 24),
	NO(XR_REC_TSC_INFO, 23),
	NO(XR_REC_TSC_INFO, 25),
	NO(XR_REC_TSC_INFO, 0),
	OK(XR_REC_HVM_CONTEXT, 1),
	NO(XR_REC_HVM_CONTEXT, 0),
	BIG(XR_REC_HVM_CONTEXT),
	BIG(XR_REC_HVM_PARAMS),
	NO(XR_REC_HVM_PARAMS, 7),
	NO(XR_REC_VERIFY, 1),
	OK(XR_REC_VERIFY, 0),
	NO(XR_REC_END, 8),
	NO(XR_REC_CHECKPOINT, 0),
	NO(XR_REC_TOOLSTACK, 8),
	NO(XR_REC_DIRTY_PFN_LIST, 8),
	NO(0x13, 8),
	NO(0x7fffffff, 0),
	OK(0x80000000, 0),
	OK(0xffffffff, 4097),
	NO(XR_REC_PAGE_DATA, 8),
	NO(XR_REC_PAGE_DATA, 0),
	NO(XR_REC_TSC_INFO, 0xffffffff),
	NO(0x80000000, XR_WIRE_BODY_MAX + 1),
	NO(XR_REC_SHARED_INFO, 4096),
	NO(XR_REC_PV_INFO, 8),
	NO(XR_REC_PV_VCPU_BASIC, 5176),
	NO(XR_REC_STATIC_DATA_END, 0),
	NO(XR_REC_CPUID_POLICY, 24),
	NO(XR_REC_MSR_POLICY, 16),
	OKP(XR_REC_SHARED_INFO, 4096),
	NOP(XR_REC_SHARED_INFO, 4095),
	NOP(XR_REC_SHARED_INFO, 4097),
	OKP(XR_REC_PV_VCPU_BASIC, 5176),
	NOP(XR_REC_PV_VCPU_BASIC, 5175),
	NOP(XR_REC_PV_VCPU_BASIC, 5177),
	NOP(XR_REC_PV_VCPU_BASIC, 2808),
	NOP(XR_REC_PV_VCPU_BASIC, 8),
	OKP(XR_REC_PV_VCPU_EXTENDED, 8),
	OKP(XR_REC_PV_VCPU_EXTENDED, 136),
	NOP(XR_REC_PV_VCPU_EXTENDED, 137),
	NOP(XR_REC_PV_VCPU_EXTENDED, 7),
	OKP(XR_REC_PV_VCPU_XSAVE, 8),
	OKP(XR_REC_PV_VCPU_XSAVE, 24),
	NOP(XR_REC_PV_VCPU_XSAVE, 23),
	NOP(XR_REC_PV_VCPU_XSAVE, 9),
	OKP(XR_REC_PV_VCPU_MSRS, 8),
	OKP(XR_REC_PV_VCPU_MSRS, 24),
	NOP(XR_REC_PV_VCPU_MSRS, 16),
	NOP(XR_REC_PV_VCPU_MSRS, 25),
	NOP(XR_REC_HVM_CONTEXT, 8),
	NOP(XR_REC_HVM_PARAMS, 8),
	NOP(XR_REC_PV_INFO, 8),
	NOP(XR_REC_STATIC_DATA_END, 0),
};

/* A stream that is right but for the record of the rule. */
static void build_rule(struct builder *b, const struct length_rule *r)
{
	const uint32_t held = r->length < 70000 ? r->length : 0;
	uint32_t head[2] = { r->type, r->length };
	unsigned char *body = calloc(1, held + 16);

	builder_begin(b, XR_EMIT_BARE, 3, r->pv);
	if (r->pv)
		sample_pv_info(b, 8);
	builder_static(b, false, false);
	builder_raw(b, head, 8);
	builder_raw(b, body, (held + 7) & ~7u);
	builder_end(b, false, 0);
	free(body);
}

Test(decode, lengths_at_their_bounds)
{
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const struct length_rule *r = &lengths[i];
		struct xr_error e;
		struct builder b;
		struct walk w;
		int rc;

		build_rule(&b, r);
		rc = walk(&b, &w, &e);
		cr_assert_eq(rc, r->rc, "%#x of %u: %d %s", r->type, r->length, rc, e.text);
		cr_assert(clean(rc, &e));
		if (rc) {
			cr_assert_eq(e.type, r->type);
			cr_assert_eq(e.record, r->pv ? 2 : 1);
			cr_assert_eq(e.offset, r->pv ? 64 : 48);
		}
		builder_free(&b);
	}
}

/* One record of this type and these words, in its place; what becomes of it. */
static int try_body(uint32_t type, const void *body, uint32_t length, bool pv, bool early)
{
	struct xr_error e;
	struct builder b;
	struct walk w;
	int rc;

	builder_begin(&b, XR_EMIT_BARE, 3, pv);
	if (pv && type != XR_REC_PV_INFO)
		sample_pv_info(&b, 8);
	if (!early)
		builder_static(&b, false, false);
	builder_record(&b, type, body, length);
	if (early)
		builder_static(&b, false, false);
	builder_end(&b, false, 0);
	rc = walk(&b, &w, &e);
	cr_assert(clean(rc, &e), "%#x: %d %s", type, rc, e.text);
	builder_free(&b);
	return rc;
}

Test(decode, counts_must_fit_their_bodies)
{
	uint64_t body[40] = { 1 };

	cr_assert_eq(try_body(XR_REC_HVM_PARAMS, body, 24, false, false), 0);
	cr_assert_eq(try_body(XR_REC_HVM_PARAMS, body, 40, false, false), -EBADMSG);
	cr_assert_eq(try_body(XR_REC_HVM_PARAMS, body, 8, false, false), -EBADMSG);
	body[0] = 0;
	cr_assert_eq(try_body(XR_REC_HVM_PARAMS, body, 8, false, false), 0);
	body[0] = 0x10000001; /* times 16 is 16 in 32 bits */
	cr_assert_eq(try_body(XR_REC_HVM_PARAMS, body, 24, false, false), -EBADMSG);
	for (uint32_t n = 1; n < 100; n++) {
		cr_assert_eq(try_body(XR_REC_CPUID_POLICY, body, n, false, true),
			     n % 24 ? -EBADMSG : 0);
		cr_assert_eq(try_body(XR_REC_MSR_POLICY, body, n, false, true),
			     n % 16 ? -EBADMSG : 0);
	}
	cr_assert_eq(try_body(XR_REC_CPUID_POLICY, NULL, 0, false, true), -EBADMSG);
	cr_assert_eq(try_body(XR_REC_MSR_POLICY, NULL, 0, false, true), -EBADMSG);
}

Test(decode, pv_shapes)
{
	for (unsigned int width = 0; width < 256; width++) {
		for (unsigned int levels = 0; levels < 8; levels++) {
			const unsigned char body[8] = { (unsigned char)width,
							(unsigned char)levels };
			const bool legal =
				(width == 8 && levels == 4) || (width == 4 && levels == 3);

			cr_assert_eq(try_body(XR_REC_PV_INFO, body, 8, true, false),
				     legal ? 0 : -EBADMSG);
		}
	}
	for (uint32_t last = 500; last < 1100; last++) {
		uint32_t body[10] = { 3, last };
		const uint32_t need = 8 + 8 * (last / 512 + 1);

		for (uint32_t n = 16; n <= 40; n += 8)
			cr_assert_eq(try_body(XR_REC_PV_P2M_FRAMES, body, n, true, false),
				     n == need ? 0 : -EBADMSG);
	}
	cr_assert_eq(try_body(XR_REC_PV_P2M_FRAMES, (uint32_t[4]){ 4, 3 }, 16, true, false),
		     -EBADMSG);
}

/* The highest pfn of the guest that is possible here, and one more. */
Test(decode, p2m_frames_within_the_limit)
{
	for (uint32_t last = 99; last <= 100; last++) {
		const uint32_t body[4] = { 0, last };
		const struct xr_record rec = { .where = { 64, 1, XR_REC_PV_P2M_FRAMES },
					       .length = sizeof(body) };
		struct xr_decoder d;
		struct xr_error e;

		xr_error_clear(&e);
		xr_decoder_init(&d, false, 99);
		d.width = 8;
		cr_assert_eq(xr_decode_body(&d, &rec, body, &e), last > 99 ? -EBADMSG : 0);
		cr_assert_eq(e.code ? e.pfn : d.pv_max_pfn, last);
	}
}

/* Whole pages of contents, but no entry that they could belong to; and a piece of one. */
Test(decode, contents_beyond_the_entries)
{
	const uint32_t head[2] = { 2, 0 };
	struct xr_record rec = { .where = { 64, 1, XR_REC_PAGE_DATA } };
	struct xr_error e;
	struct xr_pages p;

	for (uint32_t pages = 0; pages < 5; pages++) {
		rec.length = 8 + 2 * 8 + pages * 4096;
		cr_assert_eq(xr_decode_pages(&rec, head, &p, &e), pages > 2 ? -EBADMSG : 0);
		cr_assert(pages > 2 || p.room == pages);
		rec.length++;
		cr_assert_eq(xr_decode_pages(&rec, head, &p, &e), -EBADMSG);
	}
}

static int try_entry(uint64_t entry, bool with_page, uint32_t count, uint64_t max_pfn,
		     struct xr_error *e)
{
	const struct xr_record rec = {
		.where = { 64, 1, XR_REC_PAGE_DATA },
		.kind = XR_RECORD_PAGES,
		.length = 16 + (with_page ? 4096 : 0),
	};
	const uint32_t head[2] = { count, 0 };
	struct xr_decoder d;
	struct xr_pages p;
	uint64_t out;
	int rc;

	xr_error_clear(e);
	xr_decoder_init(&d, false, max_pfn);
	rc = xr_decode_pages(&rec, head, &p, e);
	return rc ? rc : xr_decode_entries(&d, &rec, &p, &entry, 1, &out, e);
}

Test(decode, page_types_and_pfns)
{
	struct xr_error e;

	for (unsigned int type = 0; type < 16; type++) {
		const uint64_t entry = (uint64_t)type << 60 | 5;
		const bool reserved = type >= 5 && type <= 8;

		cr_assert_eq(try_entry(entry, true, 1, 9, &e),
			     builder_has_data(type) ? 0 : -EBADMSG, "type %#x with page", type);
		cr_assert_eq(try_entry(entry, false, 1, 9, &e),
			     reserved || builder_has_data(type) ? -EBADMSG : 0, "type %#x", type);
		cr_assert(!reserved || e.pfn == 5);
	}
	cr_assert_eq(try_entry(9, true, 1, 9, &e), 0);
	cr_assert_eq(try_entry(10, true, 1, 9, &e), -EBADMSG);
	cr_assert_eq(e.pfn, 10);
	cr_assert_eq(try_entry(XR_PFN_LIMIT - 1, true, 1, XR_PFN_LIMIT - 1, &e), 0);
	cr_assert_eq(try_entry(XR_PFN_LIMIT, true, 1, XR_PFN_LIMIT - 1, &e), -EBADMSG);
	cr_assert_eq(try_entry(0x00f0000000000001, true, 1, 9, &e), 0, "reserved bits");
	cr_assert_eq(try_entry(5, true, 0, 9, &e), -EBADMSG, "no entries");
	cr_assert_eq(try_entry(5, true, 2, 9, &e), -EBADMSG);
	cr_assert_eq(try_entry(5, true, 0x20000001, 9, &e), -EBADMSG, "times 8 is 8 in 32 bits");
	cr_assert_eq(try_entry(5, true, 0xffffffff, 9, &e), -EBADMSG);
}

/* Records by letter: order is all that is looked at. */
static void put_letter(struct builder *b, char c)
{
	switch (c) {
	case 'S':
		builder_record(b, XR_REC_STATIC_DATA_END, NULL, 0);
		break;
	case 'c':
		sample_blob(b, XR_REC_CPUID_POLICY, 24);
		break;
	case 'm':
		sample_blob(b, XR_REC_MSR_POLICY, 16);
		break;
	case 'P':
		builder_page_data(b, (uint64_t[]){ 3 }, 1, NULL);
		break;
	case 'i':
		sample_pv_info(b, 8);
		break;
	case 'f':
		sample_p2m(b, 8, 0, 10);
		break;
	case 'v':
		sample_blob(b, XR_REC_PV_VCPU_EXTENDED, 8);
		break;
	case 's':
		sample_blob(b, XR_REC_SHARED_INFO, 4096);
		break;
	case 't':
		builder_tsc(b);
		break;
	case 'E':
		builder_record(b, XR_REC_END, NULL, 0);
		break;
	}
}

Test(decode, rules_of_order)
{
	static const struct {
		const char *records;
		uint32_t version;
		bool pv, good;
	} rules[] = {
		{ "SPE", 3, false, true },   { "cmSPPtE", 3, false, true },
		{ "SE", 3, false, true },    { "PE", 3, false, false },
		{ "E", 3, false, false },    { "tE", 3, false, false },
		{ "SSPE", 3, false, false }, { "SPSE", 3, false, false },
		{ "SPcE", 3, false, false }, { "ScPE", 3, false, false },
		{ "SmE", 3, false, false },  { "PE", 2, false, true },
		{ "E", 2, false, true },     { "SPE", 2, false, false },
		{ "cPE", 2, false, false },  { "mE", 2, false, false },
		{ "iSfPE", 3, true, true },  { "iSffPtsvE", 3, true, true },
		{ "ifSPE", 3, true, false }, { "iSPE", 3, true, false },
		{ "SfPE", 3, true, false },  { "iiSfPE", 3, true, false },
		{ "SvE", 3, true, false },   { "SsE", 3, true, false },
		{ "ifPE", 2, true, true },   { "iSfPE", 2, true, false },
		{ "iPE", 2, true, false },   { "tSE", 3, false, true },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct xr_error e;
		struct builder b;
		struct walk w;
		int rc;

		builder_begin(&b, XR_EMIT_BARE, rules[i].version, rules[i].pv);
		for (const char *c = rules[i].records; *c; c++)
			put_letter(&b, *c);
		rc = walk(&b, &w, &e);
		cr_assert_eq(rc, rules[i].good ? 0 : -EBADMSG, "%s v%u: %d %s", rules[i].records,
			     rules[i].version, rc, e.text);
		builder_free(&b);
	}
}

Test(decode, pv_pfns_are_bounded_by_the_p2m)
{
	for (uint64_t pfn = 1000; pfn < 1003; pfn++) {
		struct xr_error e;
		struct builder b;
		struct walk w;

		builder_begin(&b, XR_EMIT_BARE, 3, true);
		sample_pv_info(&b, 8);
		builder_static(&b, false, false);
		sample_p2m(&b, 8, 0, 1001);
		sample_p2m(&b, 8, 0, 500); /* does not shrink it */
		builder_page_data(&b, &pfn, 1, NULL);
		builder_end(&b, false, 0);
		cr_assert_eq(walk(&b, &w, &e), pfn > 1001 ? -EBADMSG : 0);
		cr_assert_eq(e.pfn, pfn > 1001 ? pfn : XR_NO_PFN);
		builder_free(&b);
	}
}

Test(decode, headers_of_other_kinds_are_told_apart)
{
	static const struct {
		size_t at;
		unsigned char value;
		int rc;
	} changes[] = {
		{ 8, 0, -EBADMSG },	{ 15, 1, -EOPNOTSUPP },	 { 15, 4, -EOPNOTSUPP },
		{ 15, 2, -EBADMSG },	{ 17, 1, -EOPNOTSUPP },	 { 24, 3, -EOPNOTSUPP },
		{ 24, 0, -EOPNOTSUPP }, { 28, 13, -EOPNOTSUPP }, { 29, 200, -EOPNOTSUPP },
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct xr_error e;
		struct builder b;
		struct walk w;
		int rc;

		sample_make(&b, SAMPLE_HVM3, XR_EMIT_BARE, 0);
		b.sink.data[changes[i].at] = changes[i].value;
		rc = walk(&b, &w, &e);
		cr_assert_eq(rc, changes[i].rc, "byte %zu: %d %s", changes[i].at, rc, e.text);
		builder_free(&b);
	}
}
