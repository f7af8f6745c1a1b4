/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams that ask for much in few words, or in very many. */
#include "toll.h"

#include "host/host.h"
#include "stream/wire.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1u << 20)
#define SOME 32u
#define MOST_BODY (128u * MIB)
#define FAR ((uint64_t)1 << 51)
#define MANY (SANITIZED ? 100000u : 1000000u)
#define MANY_CHANGES (MANY / 20) /* of what wakes a worker up: each takes far longer */

static const enum feed_kind ways[] = { FEED_FILE, FEED_PIPE };

#define FOR_EACH_WAY(t)                                                                            \
	for (size_t way_ = 0; way_ < 2 && ((t)->way = ways[way_], toll_take(t), true); way_++)

static struct toll toll(void (*make)(struct xr_sink *s, uint64_t n), uint64_t n)
{
	return (struct toll){ .make = make, .n = n };
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void far_pfn(struct xr_sink *s, uint64_t pfn)
{
	const uint64_t e[] = { XR_EMIT_ENTRY(XR_EMIT_XALLOC, 1),
			       XR_EMIT_ENTRY(XR_EMIT_XALLOC, pfn) };

	toll_begin(s);
	toll_pages(s, e, 2, 0);
	toll_end(s);
}

Test(resources, a_pfn_that_no_guest_has_is_refused)
{
	struct toll t = toll(far_pfn, FAR);

	FOR_EACH_WAY(&t)
	{
		cr_expect_eq(t.rc, -EBADMSG, "%s", t.err.text);
		cr_expect_eq(t.err.pfn, FAR);
		cr_expect_eq(t.err.record, 3);
		cr_expect_leq(t.pages_now, 1);
	}
}

/* The highest that is accepted: the books about it must not begin at 0. */
Test(resources, a_far_pfn_costs_no_more_than_a_near_one)
{
	struct toll t = toll(far_pfn, ((uint64_t)1 << 36) - 1);

	FOR_EACH_WAY(&t)
	{
		cr_expect_eq(t.rc, 0, "%s", t.err.text);
		cr_expect_eq(t.pages_now, 2);
	}
}

/* --- large records ---------------------------------------------------------------------------- */

static void zeros(struct xr_sink *s, uint64_t n)
{
	static const unsigned char zero[MIB];

	for (; n; n -= n < MIB ? n : MIB)
		xr_sink_put(s, zero, n < MIB ? n : MIB);
}

static void optional_of(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	xr_emit_record_header(s, XR_EMIT_OPTIONAL | 0x77, (uint32_t)n);
	zeros(s, (n + 7) & ~(uint64_t)7);
	toll_end(s);
}

static void context_of(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	xr_emit_record_header(s, XR_EMIT_HVM_CONTEXT, (uint32_t)n);
	zeros(s, n);
	toll_end(s);
}

Test(resources, a_large_record_that_may_be_skipped_is)
{
	struct toll t = toll(optional_of, MOST_BODY);

	FOR_EACH_WAY(&t) cr_expect_eq(t.rc, 0, "%s", t.err.text);
	t = toll(optional_of, MOST_BODY + 1);
	FOR_EACH_WAY(&t) cr_expect_eq(t.rc, -EBADMSG, "%s", t.err.text);
	t = toll(optional_of, 0xffffffff);
	t.way = FEED_PIPE;
	toll_take(&t);
	cr_expect_eq(t.rc, -EBADMSG, "%s", t.err.text);
}

Test(resources, a_large_record_that_must_be_kept_is_refused_by_its_header)
{
	struct toll t = toll(context_of, MOST_BODY);

	FOR_EACH_WAY(&t) cr_expect_eq(t.rc, -EOPNOTSUPP, "%s", t.err.text);
}

/* As many pages as one record can name and hold. */
static void large_pages(struct xr_sink *s, uint64_t n)
{
	static uint64_t e[40000];

	for (uint32_t i = 0; i < n; i++)
		e[i] = XR_EMIT_ENTRY(XR_EMIT_NOTAB, i);
	toll_begin(s);
	toll_pages(s, e, (uint32_t)n, (uint32_t)n);
	toll_end(s);
}

Test(resources, a_large_record_of_pages_goes_through)
{
	const uint64_t n = (MOST_BODY - 8) / (XR_PAGE_SIZE + 8);
	struct toll t = toll(large_pages, n);

	FOR_EACH_WAY(&t)
	{
		cr_expect_eq(t.rc, 0, "%s", t.err.text);
		cr_expect_eq(t.res.pages_populated, n);
		cr_expect_eq(t.res.pages_written, n);
	}
}

/* 8 MiB each, of which two may wait. */
static void large_contexts(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++) {
		xr_emit_record_header(s, XR_EMIT_HVM_CONTEXT, 8 * MIB);
		zeros(s, 8 * MIB);
	}
	toll_end(s);
}

Test(resources, large_control_records_do_not_pile_up)
{
	struct toll t = toll(large_contexts, 24);

	FOR_EACH_WAY(&t)
	{
		cr_expect_eq(t.rc, 0, "%s", t.err.text);
		if (!SANITIZED)
			cr_expect_leq(t.peak_kib, TOLL_LIMIT_MIB << 10);
	}
}

/* --- very many of the smallest ---------------------------------------------------------------- */

static void optionals(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		xr_emit_record(s, XR_EMIT_OPTIONAL | 1, NULL, 0);
	toll_end(s);
}

static void params(struct xr_sink *s, uint64_t n)
{
	const struct xr_emit_param p = { XR_EMIT_IDENT_PT, 0xff000 };

	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		xr_emit_params(s, &p, 1);
	toll_end(s);
}

static void single_pages(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s, (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_XALLOC, i) }, 1, 0);
	toll_end(s);
}

/* Every record a pass of its own: the same frame again. */
static void passes(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s, (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_XALLOC, 5) }, 1, 0);
	toll_end(s);
}

/* A frame comes and goes. */
static void comings_and_goings(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s,
			   (uint64_t[]){ XR_EMIT_ENTRY(i & 1 ? XR_EMIT_XTAB : XR_EMIT_XALLOC, 5) },
			   1, 0);
	toll_end(s);
}

/* With contents, which go through the workers; fewer, as they weigh more. */
static void rewrites(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s, (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_NOTAB, 5) }, 1, 1);
	toll_end(s);
}

/* All were read, and nothing was asked of the host more often than once for each. */
static void expect_done(const struct toll *t, uint64_t n)
{
	cr_expect_eq(t->rc, 0, "%s", t->err.text);
	cr_expect_geq(t->res.records, n);
	cr_expect_leq(t->res.populate_calls, n + SOME);
	cr_expect_leq(t->res.release_calls, n + SOME);
	cr_expect_leq(t->res.map_calls, n + SOME);
	cr_expect_leq(t->res.other_calls, n + SOME);
}

Test(resources, a_million_empty_records, .timeout = 600)
{
	struct toll t = toll(optionals, MANY);

	FOR_EACH_WAY(&t) expect_done(&t, MANY);
}

Test(resources, a_million_parameters, .timeout = 600)
{
	struct toll t = toll(params, MANY);

	FOR_EACH_WAY(&t) expect_done(&t, MANY);
}

Test(resources, a_million_records_of_one_page, .timeout = 600)
{
	struct toll t = toll(single_pages, MANY);

	FOR_EACH_WAY(&t)
	{
		expect_done(&t, MANY);
		cr_expect_eq(t.res.pages_populated, MANY);
	}
}

Test(resources, a_million_passes, .timeout = 600)
{
	struct toll t = toll(passes, MANY);

	FOR_EACH_WAY(&t)
	{
		expect_done(&t, MANY);
		cr_expect_eq(t.res.passes, MANY);
		cr_expect_eq(t.res.pages_populated, 1);
	}
}

/* As many as an index takes, and one more. */
Test(resources, passes_of_an_index, .timeout = 600)
{
	struct toll t = toll(passes, 65536);

	toll_take(&t);
	expect_done(&t, 65536);
	cr_expect(t.res.indexed);
	t = toll(passes, 65537);
	toll_take(&t);
	expect_done(&t, 65537);
	cr_expect_not(t.res.indexed);
}

Test(resources, a_frame_that_comes_and_goes, .timeout = 600)
{
	struct toll t = toll(comings_and_goings, MANY_CHANGES);

	FOR_EACH_WAY(&t)
	{
		expect_done(&t, MANY_CHANGES);
		cr_expect_eq(t.res.pages_populated, 0);
		cr_expect_eq(t.pages_now, 0);
	}
}

Test(resources, a_frame_that_is_rewritten, .timeout = 600)
{
	struct toll t = toll(rewrites, MANY_CHANGES);

	FOR_EACH_WAY(&t)
	{
		expect_done(&t, MANY_CHANGES);
		cr_expect_eq(t.res.pages_written, t.way == FEED_FILE ? 1 : MANY_CHANGES);
	}
}

/* --- checkpoints ------------------------------------------------------------------------------ */

/* The fd changes hands twice at each; XR_MILLION: that often. In others a worker writes, too. */
#define CHECKPOINTS (getenv("XR_MILLION") ? 1000000u : MANY / 10)
#define FULL_CHECKPOINTS (MANY / 100)

static void checkpoint(struct xr_sink *s)
{
	xr_emit_context(s);
	xr_emit_record(s, XR_REC_CHECKPOINT, NULL, 0);
}

static void empty_checkpoints(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	xr_emit_context(s);
	for (uint64_t i = 0; i < n; i++)
		xr_emit_record(s, XR_REC_CHECKPOINT, NULL, 0);
}

/* In each a frame is written, and another comes or goes. */
static void checkpoints(struct xr_sink *s, uint64_t n)
{
	toll_begin(s);
	for (uint64_t i = 0; i < n; i++) {
		toll_pages(s,
			   (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_NOTAB, 5),
					 XR_EMIT_ENTRY(i & 1 ? XR_EMIT_XTAB : XR_EMIT_XALLOC, 6) },
			   2, 1);
		checkpoint(s);
	}
}

/* The second one never is complete. */
static void more_of_a_checkpoint(struct xr_sink *s, uint64_t n)
{
	if (!xr_sink_at(s)) {
		toll_begin(s);
		checkpoint(s);
	}
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s, (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_NOTAB, i % 16) }, 1, 1);
}

static void more_checkpoints(struct xr_sink *s, uint64_t n)
{
	if (!xr_sink_at(s))
		toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		checkpoint(s);
}

/* What is written is mapped, and so is what is cleared before it is given back. */
static void expect_failover(const struct toll *t, uint64_t n)
{
	cr_expect_eq(t->rc, 0, "%s", t->err.text);
	cr_expect(t->res.failed_over);
	cr_expect_eq(t->res.checkpoints, n);
	cr_expect_leq(t->res.populate_calls, n + SOME);
	cr_expect_leq(t->res.release_calls, n + SOME);
	cr_expect_leq(t->res.map_calls, 2 * n + SOME);
	if (!SANITIZED)
		cr_expect_leq(t->peak_kib, 16u << 10);
}

Test(resources, very_many_checkpoints, .timeout = 600)
{
	const uint64_t n = CHECKPOINTS;
	struct toll t = toll(empty_checkpoints, n);

	t.checkpointed = true;
	FOR_EACH_WAY(&t) expect_failover(&t, n);
}

Test(resources, very_many_checkpoints_with_contents, .timeout = 600)
{
	struct toll t = toll(checkpoints, FULL_CHECKPOINTS);

	t.checkpointed = true;
	FOR_EACH_WAY(&t)
	{
		expect_failover(&t, FULL_CHECKPOINTS);
		cr_expect_eq(t.pages_now, 1);
	}
}

/* What waits has a bound, which is the domain's. */
Test(resources, a_checkpoint_without_an_end, .timeout = 600)
{
	struct toll t = toll(more_of_a_checkpoint, 1000);

	t.way = FEED_PIPE;
	t.endless = t.checkpointed = true;
	t.max_pages = 64;
	toll_take(&t);
	cr_expect_eq(t.rc, -EOPNOTSUPP, "the primary runs: %s", t.err.text);
}

/* --- and without an end ----------------------------------------------------------------------- */

static void more_empty(struct xr_sink *s, uint64_t n)
{
	if (!xr_sink_at(s))
		toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		xr_emit_record(s, XR_EMIT_OPTIONAL | 1, NULL, 0);
}

static void more_passes(struct xr_sink *s, uint64_t n)
{
	if (!xr_sink_at(s))
		toll_begin(s);
	for (uint64_t i = 0; i < n; i++)
		toll_pages(s, (uint64_t[]){ XR_EMIT_ENTRY(XR_EMIT_XALLOC, i & 1) }, 1, 0);
}

static void expect_cancelled(struct toll t)
{
	t.way = FEED_PIPE;
	t.endless = true;
	t.cancel = 3;
	toll_take(&t);
	cr_expect_eq(t.rc, -ECANCELED, "%s", t.err.text);
	cr_expect_eq(t.progress, 3);
}

Test(resources, an_endless_stream_can_be_cancelled, .timeout = 600)
{
	expect_cancelled(toll(more_empty, 1000));
	expect_cancelled(toll(more_passes, 1000));
}

/* Which is no failover, though there are good checkpoints. */
Test(resources, endless_checkpoints_can_be_cancelled, .timeout = 600)
{
	struct toll t = toll(more_checkpoints, 1000);

	t.checkpointed = true;
	expect_cancelled(t);
}
