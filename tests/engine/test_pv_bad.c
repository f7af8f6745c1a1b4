/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PV streams that lie, are cut off, or meet a host that fails: always an error, never worse. */
#include "lib/pvguest.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct setting {
	struct rig g;
	struct pvguest guest;
};

static void begin(struct setting *s, unsigned int width)
{
	rig_init_pv(&s->g, 4096);
	s->g.set.worker_kind = XR_WORKER_THREAD;
	pvguest_init(&s->guest, width);
}

static void end(struct setting *s)
{
	struct xr_model_stats st;

	xr_model_stats(s->g.model, &st);
	cr_expect_eq(st.live_mappings, 0);
	cr_expect_eq(st.left_mapped, 0);
	cr_expect_eq(st.leaked, 0);
	pvguest_free(&s->guest);
	rig_free(&s->g);
}

/* The stream of this guest is refused with this code, at this pfn, in these words. */
static void refused(struct setting *s, int code, uint64_t pfn, const char *words)
{
	const struct xr_error *e = &s->g.err;

	pvguest_stream(&s->guest, &s->g.b);
	cr_expect_eq(rig_run(&s->g, FEED_PIPE), code, "%s: %d, %s", words, e->code, e->text);
	cr_expect(strstr(e->text, words), "%s: %s", words, e->text);
	cr_expect_eq(e->pfn, pfn, "%s: pfn %#lx", words, e->pfn);
	cr_expect_eq(e->host_failed, code != -EBADMSG && code != -EOPNOTSUPP && code != -EINVAL);
	end(s);
}

#define CTRLREG(w) ((w) == 8 ? 4984u : 2716u)
#define RDX(w) ((w) == 8 ? 616u : 524u)
#define GDT_FRAMES(w) ((w) == 8 ? 4832u : 2640u)
#define GDT_ENTS(w) ((w) == 8 ? 4960u : 2704u)

static void put(struct setting *s, unsigned int at, uint64_t value)
{
	pvguest_put(&s->guest, s->guest.context, at, value);
}

Test(pv_bad, hostile_page_table_entries)
{
	static const uint64_t to[] = { PVG_PFNS, 1ull << 32, (1ull << 40) - 1 };

	for (unsigned int i = 0; i < 6; i++) {
		struct setting s;

		begin(&s, i % 2 ? 4 : 8);
		pvguest_pte(&s.guest, PVG_L1 + 1, 77, to[i / 2], 1);
		refused(&s, -EBADMSG, PVG_L1 + 1, "the guest ends at 0xa27");
	}
}

/* All that a table can name, so that nothing is left that could be. */
Test(pv_bad, entries_that_would_fill_the_domain)
{
	struct setting s;

	begin(&s, 8);
	pvguest_head(&s.guest, &s.g.b);
	builder_record(&s.g.b, 0x03,
		       (uint64_t[12]){ 5119ull << 32, PVG_P2M, PVG_P2M, PVG_P2M, PVG_P2M, PVG_P2M,
				       PVG_P2M, PVG_P2M, PVG_P2M, PVG_P2M, PVG_P2M },
		       88);
	for (unsigned int i = 0; i < 512 * 4; i++)
		pvguest_pte(&s.guest, PVG_L1 + i / 512, i % 512, 3000 + i, 1);
	pvguest_pages(&s.guest, &s.g.b, 0, PVG_PFNS);
	pvguest_tail(&s.guest, &s.g.b);
	cr_assert_eq(rig_run(&s.g, FEED_FILE), -E2BIG, "%s", s.g.err.text);
	cr_expect_eq(s.g.err.stage, XR_STAGE_ENGINE, "noticed before all are collected");
	cr_expect(s.g.err.pfn >= PVG_L1 && s.g.err.pfn < PVG_L1 + 4, "the table: %#lx",
		  s.g.err.pfn);
	end(&s);
}

Test(pv_bad, registers_that_name_the_wrong_pfns)
{
	for (unsigned int w = SANITIZED ? 8 : 4; w <= 8; w += 4) {
		struct setting s;

#define CASE(at, value, pfn, words)                                                                \
	do {                                                                                       \
		begin(&s, w);                                                                      \
		put(&s, at, value);                                                                \
		refused(&s, -EBADMSG, pfn, words);                                                 \
	} while (0)
		CASE(RDX(w), PVG_PFNS, PVG_PFNS, "the start info is said to be at pfn 0xa28");
		CASE(RDX(w), PVG_HOLE, PVG_HOLE, "the start info is said to be");
		CASE(RDX(w), PVG_L1, PVG_L1, "a page of type 0x1");
		CASE(RDX(w), PVG_XALLOC, PVG_XALLOC, "a page of type 0xe");
		CASE(GDT_FRAMES(w), PVG_L2, PVG_L2, "a GDT is said to be");
		CASE(GDT_FRAMES(w), PVG_BROKEN, PVG_BROKEN, "a GDT is said to be");
		CASE(GDT_ENTS(w), 7169, XR_NO_PFN, "a GDT of 7169 entries");
		CASE(CTRLREG(w) + 3 * w, (uint64_t)PVG_L2 << 12, PVG_L2, "no page table of level");
		CASE(CTRLREG(w) + 3 * w, (uint64_t)PVG_DATA << 12, PVG_DATA, "no page table");
		CASE(CTRLREG(w) + 3 * w, (uint64_t)PVG_HOLE << 12, PVG_HOLE, "no page table");
	}
}

Test(pv_bad, a_user_s_root_that_is_none)
{
	struct setting s;
	const unsigned int w = 8;

	CASE(CTRLREG(8) + 8, (uint64_t)PVG_L3 << 12 | 1, PVG_L3, "no page table of level 4");
	CASE(CTRLREG(8) + 8, 1ull << 60 | 1, 1ull << 48, "no page table of level 4");
	begin(&s, 8); /* not said to be there */
	put(&s, CTRLREG(8) + 8, 0);
	pvguest_stream(&s.guest, &s.g.b);
	cr_assert_eq(rig_run(&s.g, FEED_PIPE), 0, "%s", s.g.err.text);
	end(&s);
}

Test(pv_bad, rings_that_are_nowhere)
{
	for (unsigned int w = 4; w <= 8; w += 4) {
		struct setting s;
		unsigned char *start;

		begin(&s, w);
		start = s.guest.page[PVG_START];
		pvguest_put(&s.guest, start, w == 8 ? 56 : 44, PVG_HOLE);
		refused(&s, -EBADMSG, PVG_HOLE, "the xenstore ring");
		begin(&s, w);
		start = s.guest.page[PVG_START];
		pvguest_put(&s.guest, start, w == 8 ? 72 : 52, PVG_PFNS + 5);
		refused(&s, -EBADMSG, PVG_PFNS + 5, "the console ring");
	}
}

/* Pages of the guest that are to hold its p2m. */
Test(pv_bad, a_p2m_that_is_nowhere)
{
	static const uint64_t at[] = { PVG_HOLE, PVG_L2, PVG_PFNS, 1ull << 40 };

	for (unsigned int i = 0; i < 4; i++) {
		uint64_t list[2] = { 511ull << 32, at[i] };
		struct setting s;

		begin(&s, 8);
		pvguest_head(&s.guest, &s.g.b);
		builder_record(&s.g.b, 0x03, list, sizeof(list));
		pvguest_pages(&s.guest, &s.g.b, 0, PVG_PFNS);
		pvguest_tail(&s.guest, &s.g.b);
		cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EBADMSG);
		cr_expect(strstr(s.g.err.text, "a frame of the guest's p2m"), "%s", s.g.err.text);
		end(&s);
	}
}

/* What Xen itself would refuse: the model does. */
Test(pv_bad, page_tables_that_xen_refuses)
{
	struct setting s;

	begin(&s, 8);
	pvguest_pte(&s.guest, PVG_L1, PVG_L2, PVG_L2, 0x63);
	refused(&s, -EBADMSG, XR_NO_PFN, "Xen refuses the registers of vcpu 0");
	begin(&s, 8); /* not below the root of any vcpu */
	s.guest.type[PVG_DATA] = 1 | 8;
	memset(s.guest.page[PVG_DATA], 0, PVG_PAGE);
	refused(&s, -EBADMSG, XR_NO_PFN, "Xen refuses page tables that are to be pinned");
}

Test(pv_bad, records_that_do_not_fit_the_domain)
{
	struct setting s;
	unsigned char vcpu[8 + 16] = { 2 }, big[8 + 65537] = { 0 };

	begin(&s, 8);
	pvguest_head(&s.guest, &s.g.b);
	builder_record(&s.g.b, 0x0c, vcpu, sizeof(vcpu));
	cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EBADMSG);
	cr_expect(strstr(s.g.err.text, "the domain has vcpus 0 to 1"), "%s", s.g.err.text);
	end(&s);
	begin(&s, 8);
	pvguest_head(&s.guest, &s.g.b);
	builder_record(&s.g.b, 0x06, big, sizeof(big));
	cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EOPNOTSUPP);
	end(&s);
}

Test(pv_bad, what_must_be_there)
{
	struct setting s;

	begin(&s, 8);
	pvguest_head(&s.guest, &s.g.b);
	pvguest_pages(&s.guest, &s.g.b, 0, PVG_PFNS);
	pvguest_state(&s.g.b);
	builder_end(&s.g.b, false, 0);
	cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EBADMSG);
	cr_expect(strstr(s.g.err.text, "X86_PV_VCPU_BASIC record for vcpu 0"), "%s", s.g.err.text);
	end(&s);
	begin(&s, 8);
	builder_static(&s.g.b, true, true);
	builder_end(&s.g.b, false, 0);
	cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EBADMSG);
	cr_expect(strstr(s.g.err.text, "X86_PV_INFO"), "%s", s.g.err.text);
	end(&s);
}

Test(pv_bad, more_pages_than_32_bits_count)
{
	const uint64_t list[2] = { ~(uint64_t)0, PVG_P2M };
	struct setting s;

	begin(&s, 4);
	pvguest_head(&s.guest, &s.g.b);
	builder_record(&s.g.b, 0x03, list, sizeof(list));
	builder_end(&s.g.b, false, 0);
	cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EBADMSG);
	cr_expect(strstr(s.g.err.text, "a 32-bit guest cannot count"), "%s", s.g.err.text);
	cr_expect_not(s.g.err.host_failed);
	end(&s);
}

Test(pv_bad, what_xen_finds_invalid_is_the_streams)
{
	static const enum xr_model_call calls[] = { XR_CALL_VCPU, XR_CALL_PIN, XR_CALL_TSC };

	for (size_t i = 0; i < 3; i++) {
		struct setting s;

		begin(&s, 8);
		xr_model_fail(s.g.model, calls[i], 1, -1, -EINVAL);
		refused(&s, -EBADMSG, XR_NO_PFN, "holds none that is valid");
	}
}

Test(pv_bad, a_domain_without_vcpus)
{
	struct xr_model_settings set;
	struct setting s;

	begin(&s, 8);
	xr_model_destroy(&s.g.model);
	xr_model_settings_default(&set);
	set.pv = true;
	set.max_vcpu_id = XR_NO_VCPU;
	cr_assert_eq(xr_model_create(&s.g.model, &set), 0);
	s.g.set.model = s.g.model;
	refused(&s, -EINVAL, XR_NO_PFN, "has no vcpus yet");
}

Test(pv_bad, a_width_that_the_domain_cannot_have)
{
	struct setting s;

	for (unsigned int nth = 1; nth <= 3; nth++) {
		begin(&s, 4);
		xr_model_fail(s.g.model, XR_CALL_WIDTH, nth, -1, -EOPNOTSUPP);
		pvguest_stream(&s.guest, &s.g.b);
		cr_expect_eq(rig_run(&s.g, FEED_PIPE), -EOPNOTSUPP);
		cr_expect(s.g.err.host_failed);
		cr_expect(strstr(s.g.err.text, "for a 32-bit PV guest"), "%s", s.g.err.text);
		end(&s);
	}
}

/* Every call of a restore, failed once: by kind and number until the restore goes through. (With a
 * sanitizer each takes long, and some are left out.) */
Test(pv_bad, any_call_may_fail)
{
	static const enum xr_model_call kinds[] = {
		XR_CALL_WIDTH, XR_CALL_VCPU, XR_CALL_PIN,   XR_CALL_GRANTS, XR_CALL_TSC,
		XR_CALL_MAP,   XR_CALL_INFO, XR_CALL_UNMAP, XR_CALL_MAPPER,
	};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		bool failed = true;
		unsigned int nth = 0;

		while (failed && nth < 100) {
			struct setting s;
			int rc;

			begin(&s, k % 2 ? 4 : 8);
			nth += SANITIZED && nth > 5 ? 7 : 1;
			xr_model_fail(s.g.model, kinds[k], nth, -1, -EIO);
			pvguest_stream(&s.guest, &s.g.b);
			rc = rig_run(&s.g, FEED_FILE);
			failed = rc != 0;
			cr_expect(!rc || rc == -EIO, "call %u.%u: %d, %s", kinds[k], nth, rc,
				  s.g.err.text);
			cr_expect(!rc || s.g.err.host_failed);
			pvguest_free(&s.guest);
			rig_free(&s.g);
		}
		cr_expect_gt(nth, 1, "no call of kind %u was made", kinds[k]);
	}
}

static void cut(size_t at, enum feed_kind kind)
{
	struct setting s;

	begin(&s, 8);
	pvguest_stream(&s.guest, &s.g.b);
	s.g.b.sink.len = at;
	cr_expect_eq(rig_run(&s.g, kind), -ENODATA, "cut at %zu: %s", at, s.g.err.text);
	end(&s);
}

Test(pv_bad, a_stream_may_end_anywhere)
{
	struct setting s;
	size_t size, tail;

	begin(&s, 8);
	pvguest_stream(&s.guest, &s.g.b);
	size = builder_size(&s.g.b);
	end(&s);
	tail = 4096 + 5168 + 1400; /* what comes behind the pages, roughly */
	for (size_t at = 0; at < 4096; at += SANITIZED ? 1297 : 397)
		cut(at, FEED_PIPE);
	for (size_t at = 8192; at < size - tail; at += size / (SANITIZED ? 5 : 15))
		cut(at, at % 2 ? FEED_PIPE : FEED_FILE);
	for (size_t at = size - tail; at < size; at += SANITIZED ? 2797 : 997)
		cut(at, FEED_PIPE);
	cut(size - 1, FEED_FILE);
}
