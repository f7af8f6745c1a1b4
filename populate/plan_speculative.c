/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The speculative policy: in the first pass the first RAM pfn of a region asks for the whole region
 * unless a hole lies before it there. Later passes are exact: nothing would punch their gaps.
 */
#include "populate/plan.h"

static bool first_touch(const struct xr_plan *p, const struct xr_group *g, unsigned int order)
{
	uint64_t pfn = g->region << 9;

	return (g->bits[0] & 1) && !(pfn & (((uint64_t)1 << order) - 1)) &&
	       pfn + ((uint64_t)1 << order) <= p->limit && !xr_plan_forbidden(pfn, order) &&
	       xr_plan_extent_open(p, pfn, order);
}

void xr_plan_speculative(struct xr_plan *p, const struct xr_known *k)
{
	if (!p->first_pass)
		xr_plan_exact(p, k);
	for (size_t i = 0; i < p->ngroups; i++) {
		struct xr_group *g = &p->group[i];

		if (p->first_pass) {
			g->big = first_touch(p, g, XR_ORDER_2M);
			g->gig = g->big && first_touch(p, g, XR_ORDER_1G);
			g->guess = g->big;
		} else if (xr_plan_forbidden(g->region << 9, XR_ORDER_2M)) {
			g->big = false;
		}
	}
}
