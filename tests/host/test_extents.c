/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Populate and release: orders, limits, leaks, short counts, faults, and what they cost. */
#include "host_test.h"

Test(extents, an_order_is_kept_until_a_page_is_lost)
{
	struct rig r = rig(4 * PAGES_2M);

	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(xr_model_order(r.m, 512), 9);
	cr_assert_eq(xr_model_order(r.m, 1023), 9);
	cr_assert_eq(xr_model_order(r.m, 511), -1);
	cr_assert_eq(xr_model_order(r.m, 1024), -1);
	cr_assert_eq(stats(&r).whole_2m, 1);
	cr_assert_eq(release(&r, 0, 700), 1);
	cr_assert_eq(xr_model_order(r.m, 700), -1);
	cr_assert_eq(xr_model_order(r.m, 701), 0);
	cr_assert_eq(populate(&r, 0, 700), 1);
	cr_assert_eq(xr_model_order(r.m, 700), 0, "a split one never becomes whole again");
	cr_assert_eq(stats(&r).whole_2m, 0);
	cr_assert_eq(stats(&r).pages_4k, 512);
	cr_assert_eq(stats(&r).tot_pages, 512);
	cr_assert_eq(stats(&r).leaked, 0);
	rig_close(&r);
}

Test(extents, a_1g_extent_splits_into_2m_and_4k)
{
	struct xr_model_settings s = settings(2 * PAGES_1G);
	struct rig r;

	s.without_memory = true;
	r = rig_with(&s);
	cr_assert_eq(populate(&r, 18, PAGES_1G), 1);
	cr_assert_eq(xr_model_order(r.m, PAGES_1G), 18);
	cr_assert_eq(stats(&r).whole_1g, 1);
	cr_assert_eq(release(&r, 0, PAGES_1G + 5), 1);
	cr_assert_eq(stats(&r).whole_1g, 0);
	cr_assert_eq(stats(&r).whole_2m, 511);
	cr_assert_eq(stats(&r).pages_4k, 511);
	cr_assert_eq(xr_model_order(r.m, PAGES_1G + 512), 9);
	cr_assert_eq(release(&r, 9, PAGES_1G + 512), 1);
	cr_assert_eq(stats(&r).whole_2m, 510);
	cr_assert_eq(stats(&r).tot_pages, PAGES_1G - 513);
	/* page by page until the first that is empty */
	cr_assert_eq(release(&r, 18, PAGES_1G), 0);
	cr_assert_eq(stats(&r).tot_pages, PAGES_1G - 513 - 5);
	rig_close(&r);
}

Test(extents, a_misaligned_extent_has_small_entries)
{
	struct rig r = rig(PAGES_2M);

	cr_assert_eq(populate(&r, 9, 100), 1);
	cr_assert_eq(xr_model_order(r.m, 100), 0);
	cr_assert_eq(xr_model_order(r.m, 611), 0);
	cr_assert_eq(xr_model_order(r.m, 612), -1);
	cr_assert_eq(xr_model_next(r.m, 0), 100);
	cr_assert_eq(xr_model_next(r.m, 612), XR_NO_PFN);
	rig_close(&r);
}

Test(extents, the_limit_gives_a_short_count)
{
	struct rig r = rig(600);
	uint64_t two[2] = { 0, 512 };

	cr_assert_eq(r.h->ops->populate(r.h, 9, 2, two, NULL), 1);
	cr_assert_eq(each_4k(&r, false, 1024, 100), 88);
	cr_assert_eq(stats(&r).tot_pages, 600);
	cr_assert_eq(xr_model_order(r.m, 1024 + 87), 0);
	cr_assert_eq(xr_model_order(r.m, 1024 + 88), -1);
	cr_assert_eq(each_4k(&r, false, 2000, 1), 0);
	cr_assert_eq(release(&r, 9, 0), 1);
	cr_assert_eq(each_4k(&r, false, 2000, 2), 2);
	cr_assert_eq(stats(&r).peak_pages, 600);
	rig_close(&r);
}

Test(extents, start_pages_count)
{
	struct xr_model_settings s = settings(10);
	struct xr_dominfo info;
	struct rig r;

	s.start_pages = 7;
	s.max_vcpu_id = 3;
	r = rig_with(&s);
	cr_assert_eq(each_4k(&r, false, 0, 10), 3);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_eq(info.tot_pages, 10);
	cr_assert_eq(info.max_pages, 10);
	cr_assert_eq(info.max_vcpu_id, 3);
	cr_assert(info.hvm);
	rig_close(&r);
}

Test(extents, populate_of_a_backed_gfn_leaks)
{
	struct rig r = rig(4096);
	unsigned char page[XR_PAGE_SIZE] = { 1 };

	cr_assert_eq(populate(&r, 0, 5), 1);
	cr_assert_eq(xr_model_poke(r.m, 5, page), 0);
	cr_assert_eq(populate(&r, 0, 5), 1);
	cr_assert_eq(stats(&r).leaked, 1);
	cr_assert_eq(stats(&r).tot_pages, 2);
	cr_assert_eq(xr_model_peek(r.m, 5, page), 0);
	cr_assert_eq(page[0], 0, "the new frame is another one");
	cr_assert_eq(populate(&r, 9, 0), 1);
	cr_assert_eq(stats(&r).leaked, 2);
	cr_assert_eq(stats(&r).tot_pages, 514);
	cr_assert_eq(xr_model_order(r.m, 5), 9);
	cr_assert_eq(populate(&r, 0, 6), 1);
	cr_assert_eq(stats(&r).leaked, 3);
	cr_assert_eq(xr_model_order(r.m, 5), 0);
	cr_assert_eq(release(&r, 9, 0), 1);
	cr_assert_eq(stats(&r).tot_pages, 3, "what leaked stays");
	rig_close(&r);
}

Test(extents, gfns_beyond_the_end_strand_one_extent)
{
	struct xr_model_settings s = settings(4096);
	struct rig r;

	s.max_gfn = 1000;
	r = rig_with(&s);
	cr_assert_eq(each_4k(&r, false, 998, 10), 3);
	cr_assert_eq(stats(&r).tot_pages, 4, "the extent that failed stays owned");
	cr_assert_eq(populate(&r, 9, 512), 0);
	cr_assert_eq(stats(&r).tot_pages, 4 + 512);
	cr_assert_eq(xr_model_order(r.m, 1001), -1);
	cr_assert_eq(release(&r, 0, ~(uint64_t)0), 0);
	cr_assert_eq(xr_model_order(r.m, ~(uint64_t)0), -1);
	rig_close(&r);
	s.max_gfn = (uint64_t)1 << 36;
	cr_assert_eq(xr_model_create(&r.m, &s), -EINVAL);
}

Test(extents, the_last_gfns_of_all_work)
{
	struct rig r = rig(4096);
	uint64_t last = ((uint64_t)1 << 36) - 1;

	cr_assert_eq(populate(&r, 9, last & ~(uint64_t)511), 1);
	cr_assert_eq(xr_model_order(r.m, last), 9);
	cr_assert_eq(xr_model_next(r.m, 0), last - 511);
	cr_assert_eq(xr_model_next(r.m, last), last);
	cr_assert_eq(xr_model_next(r.m, last + 1), XR_NO_PFN);
	cr_assert_eq(populate(&r, 0, last + 1), 0);
	rig_close(&r);
}

Test(extents, release_of_an_empty_gfn_is_a_short_count)
{
	struct rig r = rig(4096);

	cr_assert_eq(release(&r, 0, 3), 0);
	cr_assert_eq(each_4k(&r, false, 0, 5), 5);
	cr_assert_eq(each_4k(&r, true, 2, 10), 3);
	cr_assert_eq(stats(&r).released_empty, 2);
	cr_assert_eq(stats(&r).pages_released, 3);
	cr_assert_eq(stats(&r).tot_pages, 2);
	rig_close(&r);
}

Test(extents, orders_can_be_refused)
{
	struct xr_model_settings s = settings(PAGES_1G * 2);
	struct rig r;

	s.max_order = 9;
	s.without_memory = true;
	r = rig_with(&s);
	cr_assert_eq(populate(&r, 18, 0), 0);
	cr_assert_eq(populate(&r, 30, 0), 0);
	cr_assert_eq(populate(&r, 9, 0), 1);
	xr_model_fail_orders_from(r.m, 9);
	cr_assert_eq(populate(&r, 9, 512), 0);
	cr_assert_eq(populate(&r, 0, 512), 1);
	xr_model_fail_orders_from(r.m, 255);
	cr_assert_eq(populate(&r, 9, 1024), 1);
	rig_close(&r);
}

Test(extents, faults_hit_the_nth_call_once)
{
	struct rig r = rig(4096);

	xr_model_fail(r.m, XR_CALL_POPULATE, 2, 0, 3);
	xr_model_fail(r.m, XR_CALL_POPULATE, 1, 9, -ENOMEM);
	xr_model_fail(r.m, XR_CALL_RELEASE, 1, -1, 1);
	cr_assert_eq(each_4k(&r, false, 0, 5), 5);
	cr_assert_eq(populate(&r, 9, 1024), -ENOMEM);
	cr_assert_eq(populate(&r, 9, 1024), 1);
	cr_assert_eq(each_4k(&r, false, 10, 5), 3);
	cr_assert_eq(xr_model_order(r.m, 12), 0);
	cr_assert_eq(xr_model_order(r.m, 13), -1);
	cr_assert_eq(each_4k(&r, false, 13, 5), 5);
	cr_assert_eq(each_4k(&r, true, 0, 3), 1);
	cr_assert_eq(each_4k(&r, true, 1, 2), 2);
	cr_assert_eq(stats(&r).calls[XR_CALL_POPULATE], 5);
	cr_assert_eq(stats(&r).calls[XR_CALL_RELEASE], 2);
	rig_close(&r);
}

Test(extents, released_memory_returns)
{
	struct rig r = rig(PAGES_1G);

	cr_assert_eq(populate(&r, 9, 0), 1);
	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(each_4k(&r, false, 5000, 3000), 3000);
	cr_assert_eq(file_bytes(r.m->file[1]), 2u << 21);
	cr_assert_eq(file_bytes(r.m->file[0]), 3000 * 4096);
	cr_assert_eq(each_4k(&r, true, 0, 100), 100);
	cr_assert_eq(file_bytes(r.m->file[1]), (2u << 21) - 100 * 4096);
	cr_assert_eq(each_4k(&r, true, 100, 924), 924);
	cr_assert_eq(each_4k(&r, true, 5000, 3000), 3000);
	cr_assert_eq(file_bytes(r.m->file[1]), 0);
	cr_assert_eq(file_bytes(r.m->file[0]), 0);
	cr_assert_eq(stats(&r).tot_pages, 0);
	rig_close(&r);
}

Test(extents, data_left_in_a_released_frame_shows)
{
	struct rig r = rig(4096);
	unsigned char page[XR_PAGE_SIZE] = { 0 };

	cr_assert_eq(populate(&r, 9, 0), 1);
	page[4095] = 1;
	cr_assert_eq(xr_model_poke(r.m, 7, page), 0);
	cr_assert_eq(xr_model_poke(r.m, 8, page), 0);
	page[4095] = 0;
	cr_assert_eq(xr_model_poke(r.m, 8, page), 0);
	cr_assert_eq(release(&r, 9, 0), 1);
	cr_assert_eq(stats(&r).released_dirty, 1);
	rig_close(&r);
}

static void expect_words(struct rig *r, uint64_t gfn, size_t n, uint64_t word)
{
	unsigned char page[XR_PAGE_SIZE];

	for (size_t i = 0; i < n; i++) {
		uint64_t first;

		cr_assert_eq(xr_model_peek(r->m, gfn + i, page), 0);
		memcpy(&first, page, sizeof(first));
		cr_assert(first == word && !memcmp(page, page + 8, XR_PAGE_SIZE - 8), "gfn %#lx",
			  gfn + i);
	}
}

/* Such a frame is as clean as a zero one: nobody has left anything in it. */
Test(extents, fresh_frames_hold_what_was_asked_for)
{
	struct xr_model_settings s = settings(4096);
	unsigned char page[XR_PAGE_SIZE] = { 0 };
	struct rig r;

	s.fill = 0x0123456789abcdef;
	r = rig_with(&s);
	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(each_4k(&r, false, 0, 40), 40);
	expect_words(&r, 512, 512, s.fill);
	expect_words(&r, 0, 40, s.fill);
	unmap(&r, map_row(&r, 512, 512), 512);
	cr_assert_eq(xr_model_poke(r.m, 3, page), 0);
	cr_assert_eq(release(&r, 9, 512), 1);
	cr_assert_eq(each_4k(&r, true, 0, 40), 40);
	cr_assert_eq(stats(&r).released_dirty, 0);
	cr_assert_eq(each_4k(&r, false, 0, 4), 4);
	expect_words(&r, 0, 4, s.fill);
	rig_close(&r);
}

/* The memory of the state alone: what the p2m takes. */
static uint64_t account(uint64_t tib, unsigned int order)
{
	struct xr_model_settings s = settings(tib << 28);
	uint64_t gfns[1024], pages = tib << 28, size = (uint64_t)1 << order, bytes;
	struct rig r;

	s.without_memory = true;
	r = rig_with(&s);
	for (uint64_t gfn = 0; gfn < pages;) {
		size_t n = 0;

		for (; n < 1024 && gfn < pages; gfn += size)
			gfns[n++] = gfn;
		cr_assert_eq(r.h->ops->populate(r.h, order, n, gfns, NULL), (long)n);
	}
	cr_assert_eq(stats(&r).tot_pages, pages);
	cr_assert_eq(order == 9 ? stats(&r).whole_2m : stats(&r).whole_1g, pages >> order);
	cr_assert_eq(xr_model_order(r.m, pages - 1), (int)order);
	cr_assert_eq(xr_model_peek(r.m, 0, gfns), -ENOSYS);
	bytes = file_bytes(r.m->state_fd);
	rig_close(&r);
	return bytes;
}

Test(extents, twelve_tib_are_accounted_in_little_memory)
{
	cr_assert_lt(account(1, 9), 20u << 20);
	cr_assert_lt(account(12, 9), 200u << 20);
	cr_assert_lt(account(12, 18), 200u << 20);
}

/* Everything that a model remembers is used, then forgotten. */
Test(extents, a_reset_model_is_as_good_as_new)
{
	struct rig r = rig(4 * PAGES_2M);
	struct xr_model_settings s = settings(3);
	unsigned char page[XR_PAGE_SIZE], fill[XR_PAGE_SIZE];
	struct xr_model_stats st, fresh = { .max_pages = 3, .tot_pages = 1, .peak_pages = 1 };
	unsigned char *p;

	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(populate(&r, 0, 7), 1);
	cr_assert_eq(populate(&r, 0, (uint64_t)1 << 35), 1);
	p = map_row(&r, 512, 2);
	memset(p, 0x5a, XR_PAGE_SIZE);
	cr_assert_eq(unmap(&r, p, 2), 0);
	cr_assert_eq(r.h->ops->set_param(r.h, 5, 77), 0);
	xr_model_fail(r.m, XR_CALL_POPULATE, 1, -1, 0);
	xr_model_fail_orders_from(r.m, 0);
	r.h->ops->mapper_close(r.map);

	s.start_pages = 1;
	s.fill = 0x1111111111111111u;
	cr_assert_eq(xr_model_reset(r.m, &s), 0);
	xr_model_stats(r.m, &st);
	cr_assert_arr_eq(&st, &fresh, sizeof(st));
	cr_assert_eq(xr_model_next(r.m, 0), XR_NO_PFN);
	cr_assert_eq(xr_model_highest(r.m), XR_NO_PFN);
	cr_assert_eq(xr_model_param(r.m, 5), ~0ull);
	cr_assert_str_empty(xr_model_log(r.m));
	cr_assert_eq(file_bytes(r.m->file[0]) + file_bytes(r.m->file[1]), 0);

	cr_assert_eq(r.h->ops->mapper_open(r.h, &r.map), 0);
	cr_assert_eq(populate(&r, 0, 512), 1, "no fault is left");
	cr_assert_eq(xr_model_peek(r.m, 512, page), 0);
	memset(fill, 0x11, sizeof(fill));
	cr_assert_arr_eq(page, fill, sizeof(page));
	cr_assert_eq(populate(&r, 0, 700), 1);
	cr_assert_eq(populate(&r, 0, 701), 0, "the new limit holds");
	cr_assert_eq(r.h->ops->set_param(r.h, 5, 78), 0, "set once only, and never before");
	cr_assert_eq(xr_model_reset(r.m, &(struct xr_model_settings){ .max_gfn = 1ull << 40 }),
		     -EINVAL);
	rig_close(&r);
}

/* What the kernel gave is judged by what is there, for it may run out of huge pages at any time. */
Test(extents, huge_frames_are_those_of_whole_entries)
{
	struct rig r = rig(8 * PAGES_2M);
	const bool huge = xr_model_has_huge_pages(r.m);

	cr_assert_eq(xr_model_huge_frames(r.m), 0);
	for (uint64_t gfn = 0; gfn < 4 * PAGES_2M; gfn += PAGES_2M)
		cr_assert_eq(populate(&r, 9, gfn), 1);
	cr_assert_eq(populate(&r, 0, 5 * PAGES_2M), 1);
	cr_assert_leq(xr_model_huge_frames(r.m), huge ? 4 * PAGES_2M : 0);
	/* As when the kernel had nothing but small pages: one hole breaks a huge page up. */
	if (xr_model_huge_frames(r.m) == 4 * PAGES_2M) {
		uint64_t mfn;
		int order;

		model_lock(r.m);
		mfn = model_p2m_get_locked(r.m, PAGES_2M, &order);
		model_unlock(r.m);
		model_pages_free(r.m, mfn + 3, 1);
		cr_assert_eq(xr_model_huge_frames(r.m), 3 * PAGES_2M);
	}
	cr_assert_eq(release(&r, 0, 7), 1);
	cr_assert_leq(xr_model_huge_frames(r.m), huge ? 3 * PAGES_2M : 0);
	rig_close(&r);
}
