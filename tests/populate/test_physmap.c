/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many calls it takes, how large the extents are, how far it goes ahead: by example. */
#include "populate/physmap.h"
#include "populate/rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* As few calls as so many 2M extents take. */
#define CALLS_2M(n) (((n) + XR_BATCH_2M - 1) / XR_BATCH_2M)

#define GIG (1u << 18)

/* A regular first pass of one gigabyte in which every nth region has a hole. */
static void say_gig(struct script *s, unsigned int every)
{
	for (uint64_t pfn = GIG; pfn < 2 * GIG; pfn++)
		script_say(s, pfn, pfn / 512 % every == 0 && pfn % 512 == 77 ? XTAB : RAM);
}

Test(calls, a_gigabyte_with_holes_on_a_pipe)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	say_gig(&r.s, 20);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_leq(r.f.populate_calls, 256 + 26);
	cr_assert_eq(r.f.release_calls, 0);
	cr_assert_eq(r.f.extents_of[9], 512 - 26);
	rig_close(&r);
}

Test(calls, a_gigabyte_with_holes_from_an_index)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	say_gig(&r.s, 20);
	for (uint64_t pfn = GIG; pfn < 2 * GIG; pfn++)
		if (r.s.in[pfn])
			xr_pfnset_add(want, pfn, 1);
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	cr_assert_leq(r.f.populate_calls, CALLS_2M(512 - 26) + 512 / 16 + 1, "%lu",
		      r.f.populate_calls);
	cr_assert_eq(r.f.release_calls, 0);
	cr_assert_eq(r.f.extents_of[9], 512 - 26);
	xr_pfnset_free(want);
	rig_close(&r);
}

Test(calls, nothing_is_asked_for_what_is_there)
{
	struct xr_pfnset *want = xr_pfnset_new();
	uint64_t pfns[600], calls;
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	xr_pfnset_add(want, 512, 5000);
	for (uint64_t i = 0; i < 600; i++)
		pfns[i] = 700 + i;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_ensure(r.pm, NULL, pfns, 600, &r.err), 0);
	calls = r.f.populate_calls;
	cr_assert_eq(r.f.extents_of[9], 9, "a whole step of the plan");
	cr_assert_eq(xr_physmap_ensure(r.pm, NULL, pfns, 600, &r.err), 0);
	cr_assert_eq(r.f.populate_calls, calls);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(xr_physmap_ahead(r.pm, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 5000);
	xr_pfnset_free(want);
	rig_close(&r);
}

/* What is far from where the plan is must not make everything in between wait. */
Test(calls, what_lies_far_ahead_is_asked_for_alone)
{
	struct xr_pfnset *want = xr_pfnset_new();
	uint64_t pfn = 100 * 512;
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	xr_pfnset_add(want, 0, 200 * 512);
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_ensure(r.pm, NULL, &pfn, 1, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 512);
	pfn = 3 * 512;
	cr_assert_eq(xr_physmap_ensure(r.pm, NULL, &pfn, 1, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 17 * 512, "a step from the beginning");
	xr_pfnset_free(want);
	rig_close(&r);
}

Test(extents, one_gigabyte_where_it_is_asked_for)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 18);
	xr_pfnset_add(want, GIG - 512, 2 * GIG);
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(r.f.extents_of[18], 1);
	cr_assert_eq(r.f.extents_of[9], 512);
	cr_assert_eq(r.f.extents_of[0], 0);
	cr_assert_eq(rig_stats(&r).whole_1g, 1);
	xr_pfnset_free(want);
	rig_close(&r);

	rig_open(&r, XR_POLICY_EXACT, 18);
	script_range(&r.s, GIG, 2 * GIG, RAM);
	r.look_ahead = 300;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.extents_of[18], 1);
	cr_assert_eq(r.f.populate_calls, 1);
	rig_close(&r);
}

Test(extents, the_limit_met_exactly)
{
	static const size_t chunks[] = { 1024, 1000, 300 };

	for (unsigned int i = 0; i < 3; i++) {
		struct rig r;

		rig_open(&r, XR_POLICY_EXACT, 9);
		say_gig(&r.s, 20);
		r.f.max_pages = r.s.ram;
		r.chunk = chunks[i];
		r.cfg.ahead_pages = 16384;
		cr_assert_eq(rig_run(&r), 0);
		rig_check(&r);
		cr_assert_eq(r.f.extents_of[9], 512 - 26);
		rig_close(&r);
	}
}

/* Whole regions near the special addresses are whole for the exact policy. */
Test(extents, forbidden_to_the_speculative_only)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0xfc000, 0xfc200, RAM);
	cr_assert_eq(rig_run(&r), 0);
	cr_assert_eq(fake_order(&r.f, 0xfc000), 9);
	rig_close(&r);

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	script_range(&r.s, 0xfc000, 0xfc200, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(fake_order(&r.f, 0xfc000), 0);
	rig_close(&r);
}

Test(extents, a_refused_one_falls_back_alone)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 512 * 60, RAM);
	r.chunk = 512 * 60;
	r.f.refuse_2m = 20;
	r.f.seed = 12345;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_gt(r.f.refused_of[9], 2);
	cr_assert_eq(r.f.extents_of[9] * 512 + r.f.extents_of[0], r.s.ram);
	cr_assert_gt(r.f.extents_of[9], 30);
	rig_close(&r);
}

Test(ahead, a_regular_pass_never_waits_for_frames)
{
	uint64_t calls;
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, GIG, 2 * GIG, RAM);
	r.look_ahead = 0;
	r.cfg.ahead_pages = 16384;
	r.idle = true;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 64), 0);
	calls = r.f.populate_calls;
	r.idle = false;
	cr_assert_eq(rig_stats(&r).speculative, 16384);
	cr_assert_eq(rig_apply(&r, 16), 0);
	cr_assert_eq(r.f.populate_calls, calls); /* 64 MiB were there already */
	cr_assert_eq(rig_apply(&r, 1000), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	cr_assert_eq(r.f.release_calls, 0);
	cr_assert_eq(rig_stats(&r).peak_speculative, 16384);
	cr_assert_eq(r.f.extents_of[9], 512);
	rig_close(&r);
}

Test(ahead, a_wrong_guess_stops_it)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 512 * 21, RAM);
	script_range(&r.s, 512 * 21, 512 * 401, XTAB); /* as below 4 GiB */
	script_range(&r.s, 512 * 401, 512 * 431, RAM);
	r.look_ahead = 0;
	r.cfg.ahead_pages = 8192;
	r.idle = true;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_leq(rig_stats(&r).released, 2 * 8192);
	cr_assert_gt(rig_stats(&r).released, 0);
	cr_assert_eq(rig_stats(&r).whole_2m, 50);
	rig_close(&r);
}

Test(ahead, without_superpages_in_4k)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 0);
	script_range(&r.s, GIG, GIG + 512 * 64, RAM);
	r.look_ahead = 0;
	r.cfg.ahead_pages = 4096;
	r.idle = true;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(rig_stats(&r).peak_speculative, 4096);
	rig_close(&r);
}

Test(ahead, not_beyond_the_limit_and_given_back_under_pressure)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512 * 64, 512 * 80, RAM);
	script_range(&r.s, 512 * 100, 512 * 102, RAM);
	r.look_ahead = 0;
	r.cfg.ahead_pages = 8192;
	r.idle = true;
	r.f.max_pages = r.s.ram;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 8), 0);
	cr_assert_gt(rig_stats(&r).speculative, 0);
	cr_assert_leq(r.f.tot_pages, r.s.ram);
	cr_assert_eq(rig_apply(&r, 100), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(ahead, not_past_the_first_pass)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 512 * 20, RAM);
	script_say(&r.s, 600, RAM);
	r.look_ahead = 0;
	r.cfg.ahead_pages = 8192;
	r.idle = true;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, r.s.nchunks), 0);
	cr_assert_eq(rig_stats(&r).speculative, 0);
	cr_assert_eq(xr_physmap_ahead(r.pm, &r.err), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(ahead, not_behind_the_end_of_the_guest)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0, 2048, RAM);
	r.cfg.ahead_pages = 8192;
	r.idle = true;
	rig_begin(&r);
	xr_physmap_limit(r.pm, 2048 + 512 + 100);
	cr_assert_eq(rig_apply(&r, 2), 0);
	cr_assert_eq(fake_order(&r.f, 2048), 9);
	cr_assert_eq(fake_order(&r.f, 2048 + 512), -1);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(speculative, no_extent_reaches_behind_the_end_of_the_guest)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	script_range(&r.s, 512, 512 + 1024, RAM);
	r.chunk = 600;
	rig_begin(&r);
	xr_physmap_limit(r.pm, 512 + 1024 - 1);
	cr_assert_eq(rig_apply(&r, 1), 0);
	cr_assert_eq(fake_order(&r.f, 512), 9);
	cr_assert_eq(fake_order(&r.f, 1024), 0);
	cr_assert_eq(rig_apply(&r, r.s.nchunks), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(ahead, not_where_the_first_pass_is_known_to_end)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 612, RAM);
	script_range(&r.s, 512, 612, RAM);
	r.cfg.ahead_pages = 8192;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 1), 0);
	cr_assert_eq(r.f.calls_of[9], 0);
	cr_assert_eq(rig_apply(&r, 1), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

/* A chunk was announced, a region decided by it, but the stream ended. */
Test(failure, a_chunk_that_never_comes)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 1024, RAM);
	r.chunk = 256;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 1), 0);
	cr_assert_eq(r.f.tot_pages, 512);
	cr_assert_eq(rig_stats(&r).due, 256);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 256);
	cr_assert_eq(fake_faults(&r.f), 0);
	rig_close(&r);
}

Test(failure, the_call_itself)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 1024, RAM);
	r.f.call_error = -EPERM;
	cr_assert_eq(rig_run(&r), -EPERM);
	cr_assert(r.err.host_failed);
	cr_assert_eq(r.err.stage, XR_STAGE_POPULATE);
	cr_assert_eq(r.err.pfn, 512);
	cr_assert_eq(r.err.record, 0);
	cr_assert_eq(xr_pfnset_count(xr_physmap_set(r.pm)), 0);
	rig_close(&r);
}

static int cannot_retire(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n,
			 bool clear, struct xr_error *err)
{
	(void)ctx;
	(void)where;
	(void)n;
	(void)clear;
	return xr_fail_host(err, -EFAULT, XR_STAGE_COPY, NULL, pfns[0], "no");
}

/* A frame that could not be retired is not released. */
Test(failure, retiring)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	r.cfg.retire = cannot_retire;
	script_range(&r.s, 512, 1024, RAM);
	script_say(&r.s, 600, XTAB);
	cr_assert_eq(rig_run(&r), -EFAULT);
	cr_assert_eq(r.err.stage, XR_STAGE_COPY);
	cr_assert_eq(r.f.release_calls, 0);
	cr_assert(xr_physmap_has(r.pm, 600));
	rig_close(&r);
}

Test(failure, reading_the_limits)
{
	struct rig r;
	struct xr_physmap *pm;

	rig_open(&r, XR_POLICY_EXACT, 9);
	r.f.info_error = -EPERM;
	cr_assert_eq(xr_physmap_open(&pm, &r.f.host, &r.cfg, &r.err), -EPERM);
	cr_assert_null(pm);
	cr_assert(r.err.host_failed);
	rig_close(&r);
}

/* What the host did take back is no longer RAM, the rest still is. */
Test(failure, a_release_that_stops_short)
{
	static const long errors[] = { 3, -ENOMEM };

	for (unsigned int i = 0; i < 2; i++) {
		struct rig r;
		uint64_t kept = errors[i] < 0 ? 512 : 509;

		rig_open(&r, XR_POLICY_EXACT, 9);
		script_range(&r.s, 512, 1024, RAM);
		script_range(&r.s, 600, 610, XTAB);
		r.f.release_error = errors[i];
		cr_assert_eq(rig_run(&r), errors[i] < 0 ? -ENOMEM : -EIO);
		cr_assert(r.err.host_failed);
		cr_assert_eq(r.err.pfn, errors[i] < 0 ? 600 : 603);
		cr_assert_eq(r.f.tot_pages, kept);
		cr_assert_eq(rig_stats(&r).populated, kept);
		rig_close(&r);
	}
}

Test(failure, a_host_that_boasts)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 1024, RAM);
	r.f.boast = true;
	cr_assert_eq(rig_run(&r), -EIO);
	cr_assert(r.err.host_failed);
	rig_close(&r);
}

Test(failure, the_first_cause_stays)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 1024, RAM);
	r.f.frames = 100;
	cr_assert_eq(rig_run(&r), -ENOMEM);
	cr_assert_eq(r.err.pfn, 612);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(r.err.code, -ENOMEM);
	rig_close(&r);
}

/* Many regions in one call, each of them several times. */
Test(calls, scattered_pfns_are_ensured_once)
{
	struct xr_pfnset *want = xr_pfnset_new();
	uint64_t pfns[600];
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	xr_pfnset_add(want, 0, 512 * 200);
	for (uint64_t i = 0; i < 600; i++)
		pfns[i] = i % 200 * 512 + i;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_ensure(r.pm, NULL, pfns, 600, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 512 * 200);
	cr_assert_leq(r.f.populate_calls, CALLS_2M(200));
	cr_assert_eq(fake_faults(&r.f), 0);
	xr_pfnset_free(want);
	rig_close(&r);
}

/* Refused 1G extents are not asked for again and again, and their regions become 2M extents. */
Test(extents, refused_gigabytes_become_2m)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 18);
	xr_pfnset_add(want, GIG, 8 * GIG);
	r.f.max_order = 9;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_leq(r.f.calls_of[18], 8);
	cr_assert_eq(r.f.extents_of[9], 8 * 512);
	cr_assert_leq(r.f.calls_of[9], CALLS_2M(8 * 512) + 8);
	cr_assert_eq(fake_faults(&r.f), 0);
	xr_pfnset_free(want);
	rig_close(&r);
}

/* In a later pass, a region that is known to lose a page again is not asked for in one extent. */
Test(extents, not_where_a_hole_is_known_to_come)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0, 1024, XTAB);
	script_range(&r.s, 512, 1024, RAM);
	script_say(&r.s, 700, XTAB);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.calls_of[9], 0);
	rig_close(&r);
}

/* Order matters to nobody once the first pass is over. */
Test(extents, from_interleaved_pfns)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0, 1024, XTAB);
	for (uint64_t i = 0; i < 1024; i++)
		script_say(&r.s, i * 769 % 1024, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.extents_of[9], 2);
	cr_assert_eq(r.f.populate_calls, 1);
	rig_close(&r);
}

/* The rest of an extent that is due only after others went must not starve those before it. */
Test(extents, due_frames_give_way)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 2048, 3072, RAM);
	script_range(&r.s, 512, 624, RAM);
	script_range(&r.s, 1600, 2000, RAM); /* the limit is reached */
	script_range(&r.s, 2048, 2560, XTAB);
	script_range(&r.s, 624, 1024, RAM);
	r.chunk = 512;
	r.f.max_pages = 1536;
	cr_assert_eq(r.s.peak, 1536);
	cr_assert_eq(rig_run(&r), 0, "%s", r.err.text);
	rig_check(&r);
	rig_close(&r);
}

/* A 1G extent may come due again while 2M ones of its region are queued. */
Test(extents, a_gigabyte_is_not_laid_over_queued_regions)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 18);
	xr_pfnset_add(want, GIG, 60 * (uint64_t)GIG);
	r.f.max_order = 9;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	for (uint64_t gig = 1; gig <= 50; gig++) {
		uint64_t pfns[] = { gig * GIG, gig * GIG + 512 };

		if (r.f.calls_of[18] == 4)
			r.f.max_order = 18;
		cr_assert_eq(xr_physmap_ensure(r.pm, NULL, pfns, gig == 7 ? 1 : 2, &r.err), 0);
		cr_assert_eq(fake_faults(&r.f), 0, "gigabyte %lu", gig);
	}
	cr_assert_gt(r.f.extents_of[18], 0);
	xr_pfnset_free(want);
	rig_close(&r);
}

Test(extents, one_gigabyte_on_the_first_touch)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 18);
	script_range(&r.s, GIG, GIG + 5000, RAM);
	script_range(&r.s, GIG + 5000, GIG + 6000, XTAB);
	script_range(&r.s, GIG + 6000, 2 * GIG, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.populate_calls, 1);
	cr_assert_eq(r.f.extents_of[18], 1);
	cr_assert_eq(rig_stats(&r).whole_1g, 0);
	cr_assert_eq(rig_stats(&r).whole_2m, 512 - 3);
	cr_assert_leq(r.f.release_calls, 4);
	rig_close(&r);
}

/* Too little room for another 1G extent is no reason to ask for 2M ones singly. */
Test(extents, near_the_limit_in_batches)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 18);
	xr_pfnset_add(want, GIG, 2 * GIG);
	xr_pfnset_del(want, GIG, 1);
	r.f.max_pages = 2 * GIG - 1;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 2 * GIG - 1);
	cr_assert_eq(r.f.extents_of[9], 511);
	cr_assert_eq(r.f.extents_of[18], 1);
	cr_assert_leq(r.f.populate_calls, CALLS_2M(511) + 8);
	cr_assert_eq(fake_faults(&r.f), 0);
	xr_pfnset_free(want);
	rig_close(&r);
}

/* Others take the room for the 1G extent: 2M and 4K ones in batches instead, up to the limit. */
Test(extents, no_room_for_a_gigabyte)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 18);
	xr_pfnset_add(want, GIG, GIG);
	r.f.max_pages = GIG - 1;
	rig_begin(&r);
	xr_physmap_foresee(r.pm, want);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), -E2BIG);
	cr_assert_eq(r.err.pfn, 2 * GIG - 1);
	cr_assert_not(r.err.host_failed);
	cr_assert_leq(r.f.populate_calls, CALLS_2M(512) + 8, "%lu", r.f.populate_calls);
	cr_assert_eq(fake_faults(&r.f), 0);
	xr_pfnset_free(want);
	rig_close(&r);
}

/* --- prepared ----------------------------------------------------------------------------------
 */

/* Chunks of the script from the nth on. */
static void prepare_from(struct rig *r, size_t n)
{
	for (size_t i = n; i < r->s.nchunks; i++)
		cr_assert_eq(xr_physmap_prepare(r->pm, &r->s.chunk[i], &r->err), 0, "%s",
			     r->err.text);
}

/* Two chunks of a guest; then some frames go, others come. */
static void say_change(struct rig *r)
{
	rig_open(r, XR_POLICY_EXACT, 9);
	script_range(&r->s, 0, 2048, RAM);
	script_range(&r->s, 100, 200, XTAB);
	script_range(&r->s, 2048, 2748, RAM);
	rig_begin(r);
	cr_assert_eq(rig_apply(r, 2), 0);
	cr_assert_eq(xr_physmap_settle(r->pm, &r->err), 0);
}

Test(prepared, what_was_prepared_needs_no_call_when_it_is_applied)
{
	uint64_t calls;
	struct rig r;

	say_change(&r);
	prepare_from(&r, 2);
	cr_expect_eq(r.f.tot_pages, 2748);
	cr_expect_not(xr_physmap_has(r.pm, 2048));
	cr_expect(xr_physmap_has(r.pm, 100), "something was taken away");
	calls = r.f.populate_calls;
	cr_assert_eq(rig_apply(&r, r.s.nchunks - 2), 0);
	cr_expect_eq(r.f.populate_calls, calls);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(prepared, what_is_never_applied_is_given_back)
{
	struct rig r;

	say_change(&r);
	prepare_from(&r, 2);
	cr_assert_eq(xr_physmap_settle(r.pm, &r.err), 0);
	cr_expect_eq(r.f.tot_pages, 2048);
	cr_expect_eq(rig_stats(&r).due, 0);
	cr_expect_eq(rig_stats(&r).populated, 2048);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_close(&r);
}

/* Frames that go first make room: that is for the application to find out. */
Test(prepared, a_full_domain_is_no_obstacle_to_the_application)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0, 2048, RAM);
	script_range(&r.s, 1024, 2048, XTAB);
	script_range(&r.s, 4096, 5120, RAM);
	r.f.max_pages = 2048;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 2), 0);
	cr_assert_eq(xr_physmap_settle(r.pm, &r.err), 0);
	cr_assert_eq(xr_physmap_prepare(r.pm, &r.s.chunk[r.s.nchunks - 1], &r.err), -E2BIG);
	xr_error_clear(&r.err);
	cr_assert_eq(rig_apply(&r, r.s.nchunks - 2), 0, "%s", r.err.text);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	rig_close(&r);
}
