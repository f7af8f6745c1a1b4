/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An error about a frame says where in the stream that frame is, however far ahead populate was. */
#include "props/check.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>

#define PER_RECORD 600u /* no divisor of a region */

/* Frames [first, end) without contents, in records of their own. */
static void add_frames(struct builder *b, uint64_t first, uint64_t end)
{
	uint64_t entries[PER_RECORD];

	while (first < end) {
		uint32_t n = 0;

		for (; n < PER_RECORD && first < end; n++)
			entries[n] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, first++);
		builder_page_data(b, entries, n, NULL);
	}
}

static void make(struct rig *g, uint64_t max_pages, uint64_t again)
{
	rig_init(g, max_pages, 3);
	builder_static(&g->b, true, true);
	add_frames(&g->b, 0, 6000);
	if (again) /* a second pass, with frames that the first one did not have */
		add_frames(&g->b, again, 9000);
	rig_tail(g);
}

static void check_error_of(struct rig *g, enum feed_kind kind, int code)
{
	char text[512] = "";
	const struct why w = { text, sizeof(text) };
	const uint64_t start = kind == FEED_FILE ? (uint64_t)g->feed.start : 0;

	cr_assert_eq(g->err.code, code, "%s", g->err.text);
	cr_assert_neq(g->err.pfn, XR_NO_PFN, "%s", g->err.text);
	cr_assert(check_place(&w, &g->err, &g->b, NULL, start, true), "%s: %s",
		  feed_kind_name(kind), text);
}

Test(place, of_the_frame_that_is_above_the_limit)
{
	static const uint64_t limits[] = { 1, 599, 600, 601, 2047, 5999 };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
			struct rig g;

			make(&g, limits[i], 0);
			rig_run(&g, kind);
			check_error_of(&g, kind, -E2BIG);
			cr_expect_eq(g.err.stage, XR_STAGE_POPULATE);
			cr_expect_eq(g.err.pfn, limits[i], "%s", g.err.text);
			rig_free(&g);
		}
	}
}

Test(place, of_a_frame_that_only_a_later_pass_has)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct rig g;

		make(&g, 7000, 4000);
		rig_run(&g, kind);
		check_error_of(&g, kind, -E2BIG);
		cr_expect_eq(g.err.pfn, 7000, "%s", g.err.text);
		rig_free(&g);
	}
}

Test(place, of_a_frame_that_the_host_refuses)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct rig g;

		make(&g, 6000, 0);
		xr_model_fail_orders_from(g.model, 0);
		rig_run(&g, kind);
		check_error_of(&g, kind, -ENOMEM);
		cr_expect(g.err.host_failed);
		rig_free(&g);
	}
}

Test(place, of_a_window_that_cannot_be_unmapped)
{
	static const uint64_t four[] = { 8, 9, 12, 13 };

	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct rig g;

		rig_init(&g, 4096, 3);
		g.set.worker_kind = XR_WORKER_THREAD;
		builder_static(&g.b, true, true);
		builder_page_data(&g.b, four, 4, NULL);
		rig_tail(&g);
		xr_model_fail(g.model, XR_CALL_UNMAP, 1, -1, -EIO);
		rig_run(&g, kind);
		check_error_of(&g, kind, -EIO);
		cr_expect_eq(g.err.stage, XR_STAGE_COPY);
		rig_free(&g);
	}
}
