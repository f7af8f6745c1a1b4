/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receipts. That they hold for any stream restored in any way is checked by tests/props; here are
 * PV guests, and what callers may and may not ask.
 */
#include "lib/isolate.h"
#include "lib/pvguest.h"
#include "lib/pvref.h"
#include "lib/receipt.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_own(const struct pvref *ref, uint64_t pfn)
{
	for (size_t i = 0; i < ref->nframes; i++)
		if (ref->frame[i] == pfn)
			return true;
	return pfn == PVG_START;
}

static bool pv_receipt_holds(struct rig *g, const struct xr_restore *r, char *why, size_t room)
{
	struct receipt_check c = { .r = r, .why = why, .room = room };
	struct pvref ref;
	bool ok = pvref_read(&ref, builder_data(&g->b), builder_size(&g->b), 0);

	for (uint64_t pfn = 0; ok && pfn <= ref.max_pfn; pfn++)
		if (ref.at[pfn].backed && ref.at[pfn].page)
			ok = receipt_check_page(&c, pfn, ref.at[pfn].page, is_own(&ref, pfn));
	ok = ok && receipt_check_end(&c, &g->res);
	pvref_free(&ref);
	return ok;
}

struct way {
	unsigned int width;
	enum feed_kind feed;
	enum xr_worker_kind kind;
};

static bool pv_one_way(void *arg, char *why, size_t room)
{
	const struct way *w = arg;
	struct xr_restore *r = NULL;
	struct pvguest guest;
	struct rig g;
	bool ok;

	rig_init_pv(&g, 4096);
	pvguest_init(&guest, w->width);
	pvguest_stream(&guest, &g.b);
	g.set.worker_kind = w->kind;
	g.set.receipt = true;
	feed_open(&g.feed, w->feed, builder_data(&g.b), builder_size(&g.b), 1);
	g.set.fd = g.feed.fd;
	ok = !xr_open(&r, &g.set, &g.err) && !xr_run(r, &g.res, &g.err);
	if (!ok)
		snprintf(why, room, "%s", g.err.text);
	ok = ok && pv_receipt_holds(&g, r, why, room);
	xr_close(&r);
	feed_close(&g.feed);
	pvguest_free(&guest);
	rig_free(&g);
	return ok;
}

Test(receipt, page_tables_count_as_the_stream_has_them)
{
	static const struct way ways[] = {
		{ 8, FEED_FILE, XR_WORKER_THREAD },
		{ 4, FEED_PIPE, XR_WORKER_THREAD },
		{ 8, FEED_PIPE, XR_WORKER_PROCESS },
		{ 4, FEED_FILE, XR_WORKER_PROCESS },
	};
	char why[ISOLATE_WHY];

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct way w = ways[i];

		if (NO_PROCESSES && w.kind == XR_WORKER_PROCESS)
			continue;
		cr_expect(isolated(pv_one_way, &w, why), "%u-bit by %s: %s", w.width * 8,
			  feed_kind_name(w.feed), why);
	}
}

static void small_guest(struct rig *g)
{
	const uint64_t entry[4] = { 0, 1, 2, 3 };

	rig_init(g, 512, 3);
	g->set.worker_kind = XR_WORKER_THREAD;
	builder_static(&g->b, true, true);
	builder_page_data(&g->b, entry, 4, NULL);
}

static int run(struct rig *g, struct xr_restore **r)
{
	cr_assert_eq(feed_open(&g->feed, FEED_PIPE, builder_data(&g->b), builder_size(&g->b), 1),
		     0);
	g->set.fd = g->feed.fd;
	cr_assert_eq(xr_open(r, &g->set, &g->err), 0);
	return xr_run(*r, &g->res, &g->err);
}

static void end(struct rig *g, struct xr_restore **r)
{
	xr_close(r);
	feed_close(&g->feed);
	rig_free(g);
}

Test(receipt, there_is_none_unasked)
{
	struct xr_restore *r;
	struct xr_region region;
	struct rig g;

	small_guest(&g);
	rig_tail(&g);
	cr_assert_eq(run(&g, &r), 0, "%s", g.err.text);
	cr_expect_eq(xr_next_region(r, 0, &region), -EINVAL);
	cr_expect_eq(g.res.contents_digest | g.res.control_digest, 0);
	end(&g, &r);
}

Test(receipt, a_failed_restore_gives_none)
{
	struct xr_restore *r;
	struct xr_region region;
	struct rig g;

	small_guest(&g);
	g.set.receipt = true;
	cr_assert_eq(run(&g, &r), -ENODATA, "%s", g.err.text);
	cr_expect_eq(xr_next_region(r, 0, &region), -EINVAL);
	cr_expect_eq(g.res.contents_digest, 0);
	end(&g, &r);
}

Test(receipt, rings_are_the_restore_s_own)
{
	struct xr_restore *r;
	struct xr_region region;
	struct rig g;

	small_guest(&g);
	rig_tail(&g);
	g.set.receipt = true;
	cr_assert_eq(run(&g, &r), 0, "%s", g.err.text);
	cr_assert_eq(xr_next_region(r, 100, &region), 0);
	cr_expect_eq(region.first, 0);
	cr_expect_eq(region.written[0], 1 | 8);
	cr_expect_eq(region.own[0], 2 | 4);
	cr_expect_eq(xr_next_region(r, 512, &region), -ENOENT);
	cr_expect_eq(xr_next_region(r, ~0ull, &region), -ENOENT);
	end(&g, &r);
}

static struct xr_result result_with(uint64_t nsec, uint64_t serial)
{
	struct { /* as the stream has it */
		uint32_t mode, khz;
		uint64_t nsec;
		uint32_t incarnation, reserved;
	} tsc = { .mode = 1, .khz = 1000, .nsec = nsec };
	const uint64_t entry[1] = { 7 };
	unsigned char page[4096];
	struct xr_restore *r;
	struct rig g;

	small_guest(&g);
	builder_fill(7, serial, page);
	builder_page_data(&g.b, entry, 1, page);
	builder_record(&g.b, XR_EMIT_TSC_INFO, &tsc, sizeof(tsc));
	rig_tail(&g);
	g.set.receipt = true;
	cr_assert_eq(run(&g, &r), 0, "%s", g.err.text);
	end(&g, &r);
	return g.res;
}

Test(receipt, pages_and_other_records_have_a_digest_each)
{
	const struct xr_result a = result_with(5, 1), b = result_with(5, 1), c = result_with(6, 1),
			       d = result_with(5, 2);

	cr_expect(a.contents_digest == b.contents_digest && a.control_digest == b.control_digest);
	cr_expect(a.contents_digest == c.contents_digest && a.control_digest != c.control_digest);
	cr_expect(a.contents_digest != d.contents_digest && a.control_digest == d.control_digest);
}

/* A frame here, then there, none of which stays: what is remembered of them stays within bounds. */
Test(receipt, frames_that_come_and_go_everywhere_are_too_many)
{
	struct xr_restore *r;
	struct rig g;

	rig_init(&g, 64, 3);
	g.set.worker_kind = XR_WORKER_THREAD;
	g.set.receipt = true;
	builder_static(&g.b, true, true);
	for (uint64_t i = 0; i < 8300; i++) {
		const uint64_t come[1] = { i * 512 + 8 };
		const uint64_t go[1] = { XR_EMIT_ENTRY(XR_EMIT_XTAB, i * 512 + 8) };

		builder_page_data(&g.b, come, 1, NULL);
		builder_page_data(&g.b, go, 1, NULL);
	}
	rig_tail(&g);
	cr_assert_eq(run(&g, &r), -EOPNOTSUPP, "%s", g.err.text);
	cr_expect_neq(g.err.record, XR_NO_RECORD);
	end(&g, &r);
}
