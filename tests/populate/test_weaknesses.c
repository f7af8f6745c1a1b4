/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The known weaknesses of allocating on the first touch, one test each: what went wrong there must
 * not go wrong here. (W13, a single thread for everything, is no matter of this stage.)
 */
#include "populate/rig.h"

#include <criterion/criterion.h>
#include <errno.h>

#define GIG (1u << 18)

Test(weakness, w1_one_hypercall_per_page)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	script_range(&r.s, 512, 1024, RAM); /* a 2M extent that loses every other page */
	for (uint64_t pfn = 1024; pfn < 1536; pfn++)
		script_say(&r.s, pfn, pfn % 2 ? XTAB : RAM);
	for (uint64_t pfn = 1537; pfn < 2048; pfn += 2)
		script_say(&r.s, pfn, RAM); /* 4K pages */
	r.chunk = 512;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.calls_of[9], 2);
	cr_assert_eq(r.f.calls_of[0], 1);
	cr_assert_eq(r.f.release_calls, 1);
	rig_close(&r);
}

Test(weakness, w2_the_tail_stays)
{
	static const unsigned int orders[] = { 9, 18 };

	for (unsigned int i = 0; i < 2; i++) {
		struct rig r;

		rig_open(&r, XR_POLICY_SPECULATIVE, orders[i]);
		script_say(&r.s, GIG, RAM);
		cr_assert_eq(rig_run(&r), 0);
		cr_assert_eq(r.f.extents_of[orders[i]], 1);
		rig_check(&r);
		rig_close(&r);
	}
}

/* A whole extent that nothing touched goes back as such. */
Test(weakness, w2_the_tail_goes_in_large_pieces)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 18);
	script_say(&r.s, GIG, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_leq(r.f.release_calls, 9);
	rig_close(&r);
}

Test(weakness, w3_a_pass_that_starts_high)
{
	static const enum xr_policy policies[] = { XR_POLICY_EXACT, XR_POLICY_SPECULATIVE };

	for (unsigned int i = 0; i < 2; i++) {
		struct rig r;

		rig_open(&r, policies[i], 9);
		r.cfg.ahead_pages = 16384;
		r.idle = true;
		r.look_ahead = 0;
		script_range(&r.s, 0, 1024, RAM);
		script_say(&r.s, 5, RAM);
		script_say(&r.s, 3000, RAM);
		script_say(&r.s, 7, RAM);
		script_say(&r.s, 2000, RAM);
		script_say(&r.s, 4000, RAM);
		cr_assert_eq(rig_run(&r), 0);
		rig_check(&r);
		cr_assert(xr_physmap_has(r.pm, 3000));
		rig_close(&r);
	}
}

Test(weakness, w4_superpages_in_later_passes)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 18);
	script_range(&r.s, 0, 1024, RAM);
	script_say(&r.s, 0, RAM);
	script_say(&r.s, GIG, RAM);	     /* one page only */
	script_range(&r.s, 4096, 4608, RAM); /* a whole region */
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(fake_order(&r.f, GIG), 0);
	cr_assert_eq(fake_order(&r.f, 4096), 9);
	cr_assert_eq(r.f.peak_pages, r.s.ram);
	rig_close(&r);
}

Test(weakness, w5_holes_left_out_or_out_of_order)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 18);
	for (uint64_t pfn = GIG; pfn < 3 * GIG; pfn += 4001)
		script_say(&r.s, pfn, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	rig_close(&r);

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	for (uint64_t pfn = 5000; pfn > 1000; pfn--)
		script_say(&r.s, pfn, pfn % 3 ? RAM : XTAB);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(weakness, w6_one_far_pfn_costs_everything)
{
	static const enum xr_policy policies[] = { XR_POLICY_EXACT, XR_POLICY_SPECULATIVE };

	for (unsigned int i = 0; i < 2; i++) {
		struct rig r;

		rig_open(&r, policies[i], 9);
		r.cfg.ahead_pages = 16384;
		r.idle = true;
		script_range(&r.s, 512, 1536, RAM);
		script_say(&r.s, XR_PFN_LIMIT - 1, RAM);
		cr_assert_eq(rig_run(&r), 0);
		rig_check(&r);
		cr_assert_leq(r.f.populate_calls + r.f.release_calls, 12);
		cr_assert_lt(xr_pfnset_bytes(xr_physmap_set(r.pm)), 64u << 10);
		rig_close(&r);
	}
}

Test(weakness, w7_others_change_the_limit)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 512 + 8192, RAM);
	r.f.max_pages = 4096;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 4), 0);
	r.f.max_pages = 8192;
	cr_assert_eq(rig_apply(&r, 100), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	cr_assert_eq(r.f.extents_of[9], 16);
	rig_close(&r);
}

Test(weakness, w7_others_add_pages)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 512 + 8192, RAM);
	r.f.max_pages = 8192 + 100;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 4), 0);
	r.f.tot_pages += 100; /* the device model's */
	cr_assert_eq(rig_apply(&r, 100), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	cr_assert_eq(r.f.tot_pages, 8192 + 100);
	cr_assert_eq(fake_faults(&r.f), 0);
	rig_close(&r);
}

Test(weakness, w7_pages_that_vanish_are_noticed)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 512, 1024, RAM);
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 4), 0);
	r.f.tot_pages--;
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), -EIO);
	cr_assert(r.err.host_failed);
	rig_close(&r);
}

Test(weakness, w8_guest_data_goes_back_uncleared)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, 0, 4096, RAM);
	script_range(&r.s, 1000, 3000, XTAB);
	script_say(&r.s, 5, BROKEN);
	script_say(&r.s, 1500, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.retired, 2001);
	cr_assert_eq(r.f.retire_calls, r.f.release_calls);
	cr_assert_leq(r.f.retire_calls, 3);
	cr_assert_eq(rig_stats(&r).whole_2m, 8 - 6);
	rig_close(&r);
}

/* What was only guessed holds no data: nobody has to wait for copies to it. */
Test(weakness, w8_guesses_need_no_clearing)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	script_say(&r.s, 512, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(rig_stats(&r).released, 511);
	cr_assert_eq(r.f.retire_calls, 0);
	rig_close(&r);
}

Test(weakness, w9_one_gigabyte_in_one_call_unasked)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, GIG, 2 * GIG, RAM);
	r.look_ahead = 1000;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_eq(r.f.calls_of[18], 0);
	cr_assert_eq(r.f.extents_of[9], 512);
	rig_close(&r);
}

Test(weakness, w10_the_largest_pfn_is_not_the_last)
{
	struct rig r;

	rig_open(&r, XR_POLICY_SPECULATIVE, 9);
	script_say(&r.s, 1, RAM);
	script_say(&r.s, 1ull << 30, RAM);
	script_say(&r.s, 2, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	rig_close(&r);
}

Test(weakness, w11_one_past_the_end)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_say(&r.s, XR_PFN_LIMIT - 1, RAM);
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);

	struct xr_entries beyond = { .where = { 40, 3, 1 }, .n = 1 };
	uint64_t e = XR_PFN_LIMIT;

	beyond.entry = &e;
	cr_assert_eq(xr_physmap_apply(r.pm, &beyond, NULL, 0, &r.err), -EBADMSG);
	cr_assert_eq(r.err.pfn, XR_PFN_LIMIT);
	cr_assert_eq(r.err.record, 3);
	rig_check(&r);
	rig_close(&r);
}

/* Every refused superpage is a line in Xen's log: a host that has none is not asked in vain. */
Test(weakness, w12_noise_about_what_is_normal)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, GIG, 9 * GIG, RAM);
	r.f.max_order = 0;
	cr_assert_eq(rig_run(&r), 0);
	rig_check(&r);
	cr_assert_leq(r.f.calls_of[9], 16, "%lu attempts", r.f.calls_of[9]);
	cr_assert_eq(r.err.code, 0);
	rig_close(&r);
}

/* ... but is when it has some again. */
Test(weakness, w12_superpages_that_come_back)
{
	struct rig r;

	rig_open(&r, XR_POLICY_EXACT, 9);
	script_range(&r.s, GIG, 3 * GIG, RAM);
	r.f.max_order = 0;
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 128), 0);
	r.f.max_order = 9;
	cr_assert_eq(rig_apply(&r, 1000), 0);
	cr_assert_eq(xr_physmap_finish(r.pm, &r.err), 0);
	rig_check(&r);
	cr_assert_gt(r.f.extents_of[9], 512);
	rig_close(&r);
}
