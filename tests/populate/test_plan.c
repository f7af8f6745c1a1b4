/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner by itself: rules that hold whatever brought its sets about. */
#include "populate/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define REGION(n) ((uint64_t)(n) << XR_ORDER_2M)
#define AHEAD (8 * XR_REGION_PFNS)

/* Region 4 is free of all that is special on a PC. */
static struct xr_plan *open_plan(enum xr_policy policy, unsigned int max_order)
{
	const struct xr_physmap_config cfg = { .policy = policy,
					       .max_order = max_order,
					       .ahead_pages = AHEAD };
	struct xr_plan *p = calloc(1, sizeof(*p));

	cr_assert_not_null(p);
	cr_assert_eq(xr_plan_init(p, &cfg), 0);
	return p;
}

static void close_plan(struct xr_plan *p)
{
	xr_plan_fini(p);
	free(p);
}

static void plan_run(struct xr_plan *p, uint64_t first, size_t n)
{
	uint64_t entry[XR_GROUPS];
	const struct xr_known k = { .entry = entry, .n = n, .now = n };

	for (size_t i = 0; i < n; i++)
		entry[i] = first + i;
	xr_plan_chunk(p, &k);
}

/* In whichever set a frame of it is, a region is no longer one to ask for. */
Test(plan, an_extent_is_open_until_a_frame_of_it_is_allocated)
{
	static const unsigned int orders[] = { XR_ORDER_2M, XR_ORDER_1G };

	for (unsigned int o = 0; o < 2; o++) {
		struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_1G);
		struct xr_pfnset *const sets[] = { p->populated, p->due, p->guessed };

		for (unsigned int i = 0; i < 3; i++) {
			const uint64_t pfn = ((uint64_t)i + 1) << XR_ORDER_1G;

			cr_assert(xr_plan_extent_open(p, pfn, orders[o]));
			cr_assert_eq(xr_pfnset_add(sets[i], pfn + 77, 1), 0);
			cr_assert_not(xr_plan_extent_open(p, pfn, orders[o]), "set %u", i);
		}
		close_plan(p);
	}
}

Test(plan, an_extent_is_not_asked_for_twice)
{
	struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_2M);

	cr_assert_eq(xr_pfnset_add(p->tried_2m, 4, 1), 0);
	cr_assert_not(xr_plan_extent_open(p, REGION(4), XR_ORDER_2M));
	cr_assert(xr_plan_extent_open(p, REGION(5), XR_ORDER_2M));
	cr_assert_not(xr_plan_extent_open(p, REGION(512), XR_ORDER_1G), "beyond the largest order");
	close_plan(p);
}

/* In whichever set it is, a frame is not planned again. */
Test(plan, what_is_allocated_is_not_planned)
{
	struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_2M);
	struct xr_pfnset *const sets[] = { p->populated, p->due, p->guessed };

	for (uint64_t i = 0; i < 3; i++)
		cr_assert_eq(xr_pfnset_add(sets[i], REGION(4) + i, 1), 0);
	plan_run(p, REGION(4), 8);
	cr_assert_eq(p->ngroups, 1);
	cr_assert_eq(p->group[0].bits[0], 0xf8);
	close_plan(p);
}

/* Half of region 4 is RAM, the other half is guessed if the guest does not end before it does. */
Test(plan, no_guess_goes_beyond_the_end_of_the_guest)
{
	for (uint64_t end = REGION(5) - 1; end <= REGION(5); end++) {
		struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_2M);
		const bool fits = end == REGION(5);

		p->limit = end;
		plan_run(p, REGION(4), 256);
		cr_assert_eq(p->ngroups, 1);
		cr_assert_eq(p->group[0].big, fits);
		cr_assert_eq(p->group[0].guess, fits);
		close_plan(p);
	}
}

Test(plan, speculation_does_not_go_beyond_the_end_of_the_guest)
{
	for (uint64_t end = REGION(5) - 1; end <= REGION(5); end++) {
		struct xr_plan *p = open_plan(XR_POLICY_SPECULATIVE, XR_ORDER_1G);

		p->limit = end;
		plan_run(p, REGION(4), 1);
		cr_assert_eq(p->group[0].big, end == REGION(5));
		cr_assert_eq(p->group[0].guess, end == REGION(5));
		cr_assert_not(p->group[0].gig);
		close_plan(p);
	}
}

/* Where the first pass begins is not known before it does. */
Test(plan, nothing_is_guessed_before_the_first_entry)
{
	struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_2M);

	xr_plan_guess(p, 4);
	cr_assert_eq(p->ngroups, 0);
	p->edge = REGION(4);
	xr_plan_guess(p, 4);
	cr_assert_eq(p->ngroups, 1);
	cr_assert_eq(p->group[0].region, 4);
	close_plan(p);
}

/* Its frames may have gone back to the host in between. */
Test(plan, a_guess_that_is_not_judged_yet_is_not_made_again)
{
	struct xr_plan *p = open_plan(XR_POLICY_EXACT, XR_ORDER_2M);

	p->edge = REGION(4);
	p->window = AHEAD;
	cr_assert_eq(xr_pfnset_add(p->open_guesses, 4, 1), 0);
	xr_plan_guess(p, 1);
	cr_assert_eq(p->ngroups, 1);
	cr_assert_eq(p->group[0].region, 5);
	close_plan(p);
}
