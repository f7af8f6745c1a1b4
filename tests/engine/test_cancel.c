/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A cancel ends a restore in whatever it is at: that is shown by what is still done afterwards, not
 * by the clock. (cancel_latency.c measures the time.)
 */
#include "hook.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define REGION 512u
#define WORKERS 2u
#define QUEUED 9u /* windows that a worker may have queued, and the one in work */

static void regions(struct rig *g, uint64_t first, size_t n, unsigned int type)
{
	uint64_t e[REGION];

	for (size_t k = 0; k < n; k++) {
		for (uint64_t i = 0; i < REGION; i++)
			e[i] = XR_EMIT_ENTRY(type, first + k * REGION + i);
		builder_page_data(&g->b, e, REGION, NULL);
	}
}

/* Whole regions with contents, holes, single frames, a second pass that takes some away, and frames
 * without contents, which an index leaves for the end. */
static void every_phase(struct rig *g)
{
	uint64_t strewn[60], again[40];

	rig_init(g, 1u << 16, 3);
	builder_static(&g->b, true, true);
	regions(g, 0, 2, XR_EMIT_NOTAB);
	for (uint64_t i = 0; i < 60; i++)
		strewn[i] = XR_EMIT_ENTRY(i % 3 ? XR_EMIT_NOTAB : XR_EMIT_XTAB, 1024 + i * 300);
	builder_page_data(&g->b, strewn, 60, NULL);
	regions(g, 40 * REGION, 18, XR_EMIT_XALLOC);
	for (uint64_t i = 0; i < 40; i++)
		again[i] = XR_EMIT_ENTRY(i % 2 ? XR_EMIT_NOTAB : XR_EMIT_XTAB, 8 + i * 20);
	builder_page_data(&g->b, again, 40, NULL);
	rig_tail(g);
}

struct cancel {
	struct rig *g;
	struct xr_restore *r;
	struct hook hook;
	struct xr_model_stats then;
};

static void cancel_now(void *arg)
{
	struct cancel *c = arg;

	xr_model_stats(c->g->model, &c->then);
	xr_cancel(c->r);
}

struct shape {
	enum feed_kind kind;
	enum xr_policy policy;
};

static const struct shape shapes[] = {
	{ FEED_FILE, XR_POLICY_EXACT },	      { FEED_FILE, XR_POLICY_4K },
	{ FEED_FILE, XR_POLICY_SPECULATIVE }, { FEED_PIPE, XR_POLICY_EXACT },
	{ FEED_PIPE, XR_POLICY_SPECULATIVE }, { FEED_SOCKET, XR_POLICY_4K },
};

/* The restore is cancelled in its nth call. Returns the number of calls it made. */
static uint64_t cancelled_at(const struct shape *s, uint64_t nth)
{
	struct rig g;
	struct cancel c = { .g = &g, .hook = { .at = nth, .then = cancel_now } };
	struct xr_model_stats st;
	int rc;

	c.hook.arg = &c;
	every_phase(&g);
	cr_assert_eq(feed_open(&g.feed, s->kind, builder_data(&g.b), builder_size(&g.b), 1), 0);
	g.set.fd = g.feed.fd;
	g.set.policy = s->policy;
	g.set.workers = WORKERS;
	g.set.worker_kind = XR_WORKER_THREAD;
	cr_assert_eq(xr_open(&c.r, &g.set, &g.err), 0, "%s", g.err.text);
	hook_install(&c.hook, c.r);
	rc = xr_run(c.r, &g.res, &g.err);
	if (rc == 0) {
		cr_expect(!nth || c.hook.calls <= nth, "call %lu of %lu: not cancelled", nth,
			  c.hook.calls);
	} else {
		xr_model_stats(g.model, &st);
		cr_expect_eq(rc, -ECANCELED, "call %lu: %s", nth, g.err.text);
		cr_expect_eq(g.err.code, -ECANCELED);
		cr_expect_str_eq(g.err.text, "cancelled");
		cr_expect_eq(c.hook.after, 0, "call %lu: %lu more followed", nth, c.hook.after);
		cr_expect_leq(st.calls[XR_CALL_MAP] - c.then.calls[XR_CALL_MAP], WORKERS * QUEUED);
	}
	rig_expect_clean(&g);
	xr_close(&c.r);
	feed_close(&g.feed);
	rig_free(&g);
	return c.hook.calls;
}

Test(cancel, in_any_call_to_the_host_is_the_last_of_them, .timeout = 300)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const uint64_t calls = cancelled_at(&shapes[i], 0);

		cr_expect_gt(calls, 12);
		for (uint64_t nth = 1; nth <= calls;
		     nth += (nth < 15 || nth + 6 > calls) && !SANITIZED ? 1
			    : TSAN					? 7
									: 3)
			cancelled_at(&shapes[i], nth);
	}
}
