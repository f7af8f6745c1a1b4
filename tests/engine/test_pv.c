/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PV guests, 64-bit and 32-bit: what a restore makes of them, whichever way it goes. */
#include "internal.h"
#include "lib/isolate.h"
#include "lib/pvguest.h"
#include "lib/pvref.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned int widths[] = { 8, 4 };

/* Xen reads more than a 32-bit guest's registers: zeros, from us. */
static bool is_filled_up(struct xr_model *m, char *why, size_t room)
{
	unsigned char is[XR_VCPU_BASIC_BYTES];

	if (xr_model_vcpu(m, 0, XR_VCPU_BASIC, is, sizeof(is)) != sizeof(is))
		return snprintf(why, room, "no registers"), false;
	for (size_t i = XR_WIRE_VCPU32; i < sizeof(is); i++)
		if (is[i])
			return snprintf(why, room, "byte %zu is %#x", i, is[i]), false;
	return true;
}

/* Restore what was built, and compare it with the plainest reading of the same bytes. */
static bool restores(struct rig *g, enum feed_kind kind, char *why, size_t room)
{
	const struct pvref_ports ports = { 5, 6 };
	struct pvref ref;
	bool ok;

	g->set.store_port = ports.store;
	g->set.console_port = ports.console;
	if (!pvref_read(&ref, builder_data(&g->b), builder_size(&g->b), 0))
		return snprintf(why, room, "the stream can't be read"), false;
	if (rig_run(g, kind))
		return snprintf(why, room, "%s (pfn %#lx)", g->err.text, g->err.pfn), false;
	ok = pvref_check(&ref, g->model, &ports, g->res.store_gfn, g->res.console_gfn, why, room);
	if (ok && ref.width == 4)
		ok = is_filled_up(g->model, why, room);
	if (ok && (!g->res.pv || g->res.pages_populated != ref.backed))
		ok = snprintf(why, room, "%lu pages populated", g->res.pages_populated) < 0;
	pvref_free(&ref);
	return ok;
}

static void expect_restored(struct rig *g, enum feed_kind kind)
{
	char why[ISOLATE_WHY];

	cr_assert(restores(g, kind, why, sizeof(why)), "%s", why);
}

struct way {
	unsigned int width;
	enum feed_kind feed;
	enum xr_worker_kind kind;
	bool spawned;
};

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static bool one_way(void *arg, char *why, size_t room)
{
	const struct way *w = arg;
	struct pvguest guest;
	pthread_t t;
	struct rig g;
	bool ok;

	setenv("XENRESTORE_WORKER", XR_TEST_WORKER, 1);
	if (w->spawned && pthread_create(&t, NULL, wait_for_ever, NULL))
		return false;
	rig_init_pv(&g, 4096);
	g.set.worker_kind = w->kind;
	pvguest_init(&guest, w->width);
	pvguest_stream(&guest, &g.b);
	ok = restores(&g, w->feed, why, room);
	if (ok && g.res.worker_kind != w->kind)
		ok = snprintf(why, room, "workers are of kind %u", g.res.worker_kind) < 0;
	pvguest_free(&guest);
	rig_free(&g);
	return ok;
}

Test(pv, a_guest_is_restored_from_anything_by_any_worker)
{
	static const struct way ways[] = {
		{ 0, FEED_FILE, XR_WORKER_THREAD, false },
		{ 0, FEED_PIPE, XR_WORKER_THREAD, false },
		{ 0, FEED_FILE, XR_WORKER_PROCESS, false },
		{ 0, FEED_PIPE, XR_WORKER_PROCESS, false },
		{ 0, FEED_FILE, XR_WORKER_PROCESS, true },
		{ 0, FEED_PIPE, XR_WORKER_PROCESS, true },
	};
	char why[ISOLATE_WHY];

	for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
		struct way w = ways[i / 2];

		w.width = widths[i % 2];
		if (NO_PROCESSES && w.kind == XR_WORKER_PROCESS)
			continue;
		cr_assert(isolated(one_way, &w, why), "%u-bit by %s, workers %u, spawned %d: %s",
			  w.width * 8, feed_kind_name(w.feed), w.kind, w.spawned, why);
	}
}

static void begin(struct rig *g, struct pvguest *guest, unsigned int width)
{
	rig_init_pv(g, 4096);
	g->set.worker_kind = XR_WORKER_THREAD;
	pvguest_init(guest, width);
}

static void end(struct rig *g, struct pvguest *guest)
{
	pvguest_free(guest);
	rig_free(g);
}

Test(pv, state_is_set_in_the_order_of_xen_s_own_restorer)
{
	struct pvguest guest;
	struct rig g;

	begin(&g, &guest, 8);
	pvguest_stream(&guest, &g.b);
	expect_restored(&g, FEED_PIPE);
	cr_assert_str_eq(xr_model_log(g.model),
			 "policy tsc vcpu:0:basic vcpu:0:extended vcpu:0:xsave vcpu:0:msrs pin:2 "
			 "grants");
	end(&g, &guest);
	begin(&g, &guest, 4);
	pvguest_stream(&guest, &g.b);
	expect_restored(&g, FEED_PIPE);
	cr_assert_str_eq(xr_model_log(g.model),
			 "width:4 policy tsc vcpu:0:basic vcpu:0:extended vcpu:0:xsave "
			 "vcpu:0:msrs pin:1 grants");
	end(&g, &guest);
}

Test(pv, whole_regions_are_large_extents)
{
	static const enum xr_policy policies[] = { XR_POLICY_EXACT, XR_POLICY_SPECULATIVE,
						   XR_POLICY_4K };

	for (unsigned int i = 0; i < 6; i++) {
		struct xr_model_stats st;
		struct pvguest guest;
		struct rig g;

		begin(&g, &guest, widths[i % 2]);
		g.set.policy = policies[i / 2];
		pvguest_stream(&guest, &g.b);
		expect_restored(&g, FEED_PIPE);
		xr_model_stats(g.model, &st);
		/* of five regions the hole is in two; none is guessed at the first */
		cr_expect_eq(st.whole_2m,
			     i / 2 == 0	  ? 3
			     : i / 2 == 1 ? 2
					  : 0,
			     "%u: %lu", i, st.whole_2m);
		end(&g, &guest);
	}
}

Test(pv, no_large_extent_to_be_had_is_no_loss)
{
	struct pvguest guest;
	struct rig g;

	begin(&g, &guest, 8);
	xr_model_fail_orders_from(g.model, 9);
	pvguest_stream(&guest, &g.b);
	expect_restored(&g, FEED_FILE);
	end(&g, &guest);
}

/* A live migration: versions of tables and pages that replace each other in every way. */
Test(pv, the_newest_version_counts)
{
	const uint64_t one = PVG_L1 + 2, two = PVG_L1 + 3, page = PVG_DATA;

	for (unsigned int i = 0; i < 4; i++) {
		struct pvguest guest, before;
		struct rig g;

		begin(&g, &guest, widths[i % 2]);
		pvguest_init(&before, widths[i % 2]);
		/* a table that comes as a page first, a page that comes as a table, a table that
		 * is not there yet, one with other entries */
		before.type[one] = XR_EMIT_NOTAB;
		before.type[page] = 2 | 8;
		memset(before.page[page], 0, PVG_PAGE);
		pvguest_pte(&before, page, 3, PVG_L1, 0x67);
		before.type[two] = XR_EMIT_XTAB;
		pvguest_pte(&before, PVG_L1, 7, 1234, 0x61);
		pvguest_head(&guest, &g.b);
		pvguest_pages(&before, &g.b, 0, PVG_PFNS);
		pvguest_pages(&guest, &g.b, PVG_L1, PVG_L1 + 1);
		pvguest_pages(&before, &g.b, page, page + 1);
		pvguest_pages(&guest, &g.b, one, two + 1);
		pvguest_pages(&guest, &g.b, page, page + 1);
		pvguest_tail(&guest, &g.b);
		expect_restored(&g, i / 2 ? FEED_FILE : FEED_PIPE);
		pvguest_free(&before);
		end(&g, &guest);
	}
}

Test(pv, page_tables_may_come_before_what_they_refer_to)
{
	struct pvguest guest;
	struct rig g;

	begin(&g, &guest, 8);
	pvguest_head(&guest, &g.b);
	for (uint64_t pfn = PVG_PFNS; pfn; pfn -= 100)
		pvguest_pages(&guest, &g.b, pfn - 100, pfn);
	pvguest_tail(&guest, &g.b);
	expect_restored(&g, FEED_PIPE);
	end(&g, &guest);
}

Test(pv, what_only_a_page_table_names_gets_a_frame)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct pvguest guest;
		struct rig g;

		begin(&g, &guest, widths[i]);
		pvguest_pte(&guest, PVG_L1 + 2, PVG_HOLE % 512, PVG_HOLE, 0x63);
		pvguest_pte(&guest, PVG_L1 + 2, PVG_HOLE % 512 + 1, PVG_HOLE + 1, 0x61);
		pvguest_pte(&guest, PVG_L1 + 1, 30, PVG_HOLE, 0x61);
		pvguest_pte(&guest, PVG_L1 + 3, PVG_BROKEN % 512, PVG_BROKEN, 0x61);
		pvguest_head(&guest, &g.b);
		pvguest_pages(&guest, &g.b, 0, PVG_PFNS - 50); /* some are never named */
		pvguest_tail(&guest, &g.b);
		expect_restored(&g, i ? FEED_PIPE : FEED_FILE);
		cr_assert_eq(xr_model_order(g.model, PVG_HOLE + 1), 0);
		cr_assert_eq(xr_model_order(g.model, PVG_HOLE + 2), -1);
		cr_assert_eq(xr_model_order(g.model, PVG_PFNS - 1), 0);
		end(&g, &guest);
	}
}

Test(pv, contents_that_are_sent_again_are_compared)
{
	for (unsigned int differ = 0; differ < 2; differ++) {
		struct pvguest guest;
		struct rig g;

		begin(&g, &guest, 8);
		pvguest_head(&guest, &g.b);
		pvguest_pages(&guest, &g.b, 0, PVG_PFNS);
		builder_record(&g.b, XR_EMIT_VERIFY, NULL, 0);
		if (differ)
			pvguest_pte(&guest, PVG_L1, 7, 1234, 0x61);
		pvguest_pages(&guest, &g.b, 0, PVG_PFNS);
		pvguest_tail(&guest, &g.b);
		expect_restored(&g, FEED_PIPE);
		cr_assert_eq(g.res.verify_differences, differ);
		cr_assert_eq(g.res.verify_lowest_pfn, differ ? PVG_L1 : XR_NO_PFN);
		end(&g, &guest);
	}
}

Test(pv, the_p2m_may_grow)
{
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int per = PVG_PAGE / widths[i];
		uint64_t list[2] = { 0, PVG_P2M + 9 };
		struct pvguest guest;
		uint64_t pfn;
		struct rig g;

		begin(&g, &guest, widths[i]);
		pvguest_head(&guest, &g.b);
		pvguest_pages(&guest, &g.b, 0, PVG_PFNS);
		/* to the end of a frame of the p2m, then one frame more */
		pfn = (PVG_PFNS / per + 1) * per;
		list[0] = pfn | (pfn + per / 2) << 32;
		builder_record(&g.b, 0x03, list, sizeof(list));
		builder_page_data(&g.b, (uint64_t[]){ pfn + 7 }, 1, NULL);
		pvguest_tail(&guest, &g.b);
		expect_restored(&g, FEED_PIPE);
		cr_assert_eq(xr_model_order(g.model, pfn + 7), 0);
		end(&g, &guest);
	}
}

Test(pv, a_frame_of_the_p2m_may_be_shared)
{
	const uint32_t last = 5 * 512 - 1;
	uint64_t list[1 + 5] = { (uint64_t)last << 32, PVG_P2M, PVG_P2M, 33, 33, 33 };
	struct pvguest guest;
	unsigned char page[PVG_PAGE];
	struct rig g;

	begin(&g, &guest, 8);
	pvguest_head(&guest, &g.b);
	builder_record(&g.b, 0x03, list, sizeof(list));
	pvguest_pages(&guest, &g.b, 0, PVG_PFNS);
	pvguest_tail(&guest, &g.b);
	cr_assert_eq(rig_run(&g, FEED_PIPE), 0, "%s", g.err.text);
	cr_assert_eq(xr_model_peek(g.model, 33, page), 0);
	cr_assert_eq(*(uint64_t *)(void *)page, xr_model_mfn(g.model, 4 * 512));
	end(&g, &guest);
}

static const struct xr_guest_ops *real;

static int thrice(struct xr_restore *r, struct xr_error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < 3; i++)
		rc = real->complete(r, err);
	return rc;
}

static int make_it_thrice(unsigned int missing, void *opaque)
{
	static struct xr_guest_ops ops;
	struct xr_restore **r = opaque;

	(void)missing;
	real = (*r)->guest.ops;
	ops = *real;
	ops.complete = thrice;
	(*r)->guest.ops = &ops;
	return 0;
}

/* As for a guest that goes on from checkpoint to checkpoint. */
Test(pv, completion_may_run_more_than_once)
{
	const struct pvref_ports ports = { 5, 6 };
	char why[ISOLATE_WHY];

	for (unsigned int i = 0; i < 2; i++) {
		struct xr_restore *r;
		struct pvguest guest;
		struct pvref ref;
		struct rig g;

		begin(&g, &guest, widths[i]);
		pvguest_stream(&guest, &g.b);
		cr_assert(pvref_read(&ref, builder_data(&g.b), builder_size(&g.b), 0));
		cr_assert_eq(
			feed_open(&g.feed, FEED_FILE, builder_data(&g.b), builder_size(&g.b), 1),
			0);
		g.set.fd = g.feed.fd;
		g.set.store_port = ports.store;
		g.set.console_port = ports.console;
		g.set.callbacks.static_data_done = make_it_thrice;
		g.set.opaque = &r;
		cr_assert_eq(xr_open(&r, &g.set, &g.err), 0);
		cr_assert_eq(xr_run(r, &g.res, &g.err), 0, "%s", g.err.text);
		cr_assert(strstr(xr_model_log(g.model), "msrs grants vcpu"), "it ran again");
		cr_assert(pvref_check(&ref, g.model, &ports, g.res.store_gfn, g.res.console_gfn,
				      why, sizeof(why)),
			  "%s", why);
		xr_close(&r);
		feed_close(&g.feed);
		pvref_free(&ref);
		end(&g, &guest);
	}
}

Test(pv, an_empty_model_becomes_what_the_stream_is_of)
{
	struct xr_model_settings ms;
	struct pvguest guest;
	struct rig g;

	begin(&g, &guest, 8);
	xr_model_settings_default(&ms);
	ms.follow = true;
	ms.no_huge = true;
	ms.max_vcpu_id = 1;
	cr_assert_eq(xr_model_reset(g.model, &ms), 0);
	pvguest_stream(&guest, &g.b);
	expect_restored(&g, FEED_FILE);
	end(&g, &guest);
	/* and so does one that the library makes */
	begin(&g, &guest, 4);
	g.set.model = NULL;
	pvguest_stream(&guest, &g.b);
	cr_assert_eq(rig_run(&g, FEED_FILE), 0, "%s", g.err.text);
	cr_assert(g.res.pv);
	end(&g, &guest);
}
