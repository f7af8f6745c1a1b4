/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Backing groups in batches. A refused extent falls back to the next smaller size, the rest of its
 * batch is asked for again; only a 4K frame that is refused twice, with nothing left to give back,
 * fails the restore.
 */
#include "populate/physmap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FAILURES_TO_STOP 4u
#define SKIP_FIRST 32u
#define SKIP_DOUBLINGS 7u

static struct xr_backoff *backoff(struct xr_physmap *pm, unsigned int order)
{
	return &pm->large[order == XR_ORDER_1G];
}

static bool worth_asking(struct xr_physmap *pm, unsigned int order)
{
	struct xr_backoff *b = backoff(pm, order);

	if (!b->skip)
		return true;
	b->skip--;
	return false;
}

static void note_answer(struct xr_physmap *pm, unsigned int order, size_t granted, bool refused)
{
	struct xr_backoff *b = backoff(pm, order);
	unsigned int doublings;

	if (granted)
		b->failures = 0;
	if (!refused || ++b->failures < FAILURES_TO_STOP)
		return;
	doublings = b->failures - FAILURES_TO_STOP;
	b->skip = SKIP_FIRST << (doublings < SKIP_DOUBLINGS ? doublings : SKIP_DOUBLINGS);
}

/* Do n more pages fit beside the queue? Others may change the domain's limit or its pages, so read
 * them again before saying no, and give back guesses. 1, 0 or an error. */
static int make_room(struct xr_physmap *pm, uint64_t n)
{
	int ret;

	if (xr_pm_fits(pm, n))
		return 1;
	if (!pm->fresh) {
		ret = xr_pm_read_limits(pm);
		if (ret || xr_pm_fits(pm, n))
			return ret ? ret : 1;
	}
	ret = xr_pm_give_back(pm);
	return ret ? ret : xr_pm_fits(pm, n);
}

/* n frames are needed and don't all fit: name the first that does not. */
static int no_room(struct xr_physmap *pm, const uint64_t *gfns, size_t n)
{
	uint64_t room = pm->max_pages > pm->owned ? pm->max_pages - pm->owned : 0;
	uint64_t pfn = gfns[room], lack = n - room;

	return xr_fail(pm->err, -E2BIG, XR_STAGE_POPULATE, pm->where, pfn,
		       "the domain is at its limit of %" PRIu64 " pages and pfn %#" PRIx64
		       " needs more: raise its maxmem by %" PRIu64 " MiB or more",
		       pm->max_pages, pfn, (lack + 255) / 256);
}

static int no_frame(struct xr_physmap *pm, uint64_t pfn, int why)
{
	if (why)
		return xr_fail_host(pm->err, why, XR_STAGE_POPULATE, pm->where, pfn,
				    "the call to back pfn %#" PRIx64 " failed: %s", pfn,
				    strerror(-why));
	return xr_fail_host(pm->err, -ENOMEM, XR_STAGE_POPULATE, pm->where, pfn,
			    "the host has no frame for pfn %#" PRIx64
			    " though the domain's limit leaves "
			    "%" PRIu64 " pages: free memory on the host, or claim it first",
			    pfn, pm->max_pages - pm->owned);
}

/*
 * What can be done before a refused frame is final: 0 if there is room to try again. Frames that
 * are due go last: the stream will name them, but perhaps only after it took others away.
 */
static int last_resort(struct xr_physmap *pm, const uint64_t *gfns, size_t n, bool all)
{
	int ret = xr_pm_give_back(pm);

	if (!ret)
		ret = xr_pm_read_limits(pm);
	if (!ret && (all || pm->owned + n > pm->max_pages)) {
		ret = xr_pm_promote(pm);
		if (!ret)
			ret = xr_pm_drop(pm, pm->plan.due, XR_PFN_LIMIT);
	}
	if (!ret && pm->owned + n > pm->max_pages)
		ret = no_room(pm, gfns, n);
	return ret;
}

static int flush_small(struct xr_physmap *pm)
{
	size_t n = pm->nsmall, at = 0, done;
	bool again = false;
	int ret = 0, why;

	pm->nsmall = 0;
	if (pm->owned + n > pm->max_pages)
		ret = last_resort(pm, pm->small, n, false);
	while (!ret && at < n) {
		ret = xr_pm_ask(pm, XR_ORDER_4K, &pm->small[at], n - at, pm->exact, &done, &why);
		at += done;
		if (ret || at == n)
			break;
		if (again && !done)
			return no_frame(pm, pm->small[at], why);
		again = true;
		ret = last_resort(pm, &pm->small[at], n - at, true);
	}
	return ret;
}

static int queue_small(struct xr_physmap *pm, const struct xr_group *g)
{
	int ret = 0;

	for (unsigned int i = 0; i < 8 && !ret; i++) {
		for (uint64_t bits = g->bits[i]; bits && !ret; bits &= bits - 1) {
			pm->small[pm->nsmall++] =
				(g->region << 9) + i * 64 + (unsigned int)__builtin_ctzll(bits);
			if (pm->nsmall == XR_BATCH_4K)
				ret = flush_small(pm);
		}
	}
	return ret;
}

static bool only_guess(const struct xr_group *g)
{
	static const uint64_t none[8];

	return g->guess && !memcmp(g->bits, none, sizeof(none));
}

/* Guess a region in 4K frames. Not worth a second try. */
static int guess_small(struct xr_physmap *pm, uint64_t region)
{
	uint64_t gfns[XR_REGION_PFNS];
	size_t done = 0;
	int ret = 0, why;

	for (unsigned int i = 0; i < XR_REGION_PFNS; i++)
		gfns[i] = (region << 9) + i;
	if (xr_pm_fits(pm, XR_REGION_PFNS))
		ret = xr_pm_ask(pm, XR_ORDER_4K, gfns, XR_REGION_PFNS, pm->plan.guessed, &done,
				&why);
	if (done && xr_pfnset_add(pm->plan.open_guesses, region, 1))
		ret = xr_pm_no_memory(pm);
	if (done < XR_REGION_PFNS)
		xr_plan_guess_refused(&pm->plan);
	return ret;
}

static int fall_back(struct xr_physmap *pm, const struct xr_group *g)
{
	return only_guess(g) ? guess_small(pm, g->region) : queue_small(pm, g);
}

/* These regions were asked for in one extent: once is enough. */
static int note_tried(struct xr_physmap *pm, const struct xr_group *g, size_t n, size_t granted)
{
	for (size_t i = 0; i < n; i++) {
		if (xr_pfnset_add(pm->plan.tried_2m, g[i].region, 1))
			return xr_pm_no_memory(pm);
		if (i < granted && g[i].guess && pm->plan.ahead &&
		    xr_pfnset_add(pm->plan.open_guesses, g[i].region, 1))
			return xr_pm_no_memory(pm);
	}
	return 0;
}

/* Ask for the groups of big[at..end) that go to the same set, at most `room` of them. */
static int ask_big(struct xr_physmap *pm, size_t at, size_t end, size_t room, size_t *done)
{
	struct xr_pfnset *set = pm->big[at].guess ? pm->plan.guessed : pm->exact;
	uint64_t gfns[XR_BATCH_2M];
	size_t n = 0;
	int ret, why;

	do {
		gfns[n] = pm->big[at + n].region << 9;
		n++;
	} while (n < room && at + n < end && pm->big[at + n].guess == pm->big[at].guess);
	ret = xr_pm_ask(pm, XR_ORDER_2M, gfns, n, set, done, &why);
	note_answer(pm, XR_ORDER_2M, *done, *done < n);
	if (!ret)
		ret = note_tried(pm, &pm->big[at], *done < n ? *done + 1 : n, *done);
	if (!ret && *done < n)
		ret = fall_back(pm, &pm->big[at + (*done)++]);
	return ret;
}

static int flush_big(struct xr_physmap *pm)
{
	size_t n = pm->nbig, done;
	bool refused = false;
	int ret = 0;

	pm->nbig = 0;
	for (size_t at = 0; at < n && !ret; at += done) {
		/* A fall-back may have re-read the limits. */
		uint64_t room = pm->max_pages > pm->owned ? pm->max_pages - pm->owned : 0;

		done = 1;
		if (room < XR_REGION_PFNS || (refused && !worth_asking(pm, XR_ORDER_2M))) {
			ret = fall_back(pm, &pm->big[at]);
			continue;
		}
		ret = ask_big(pm, at, n, room / XR_REGION_PFNS, &done);
		refused = true;
	}
	return ret;
}

static int flush(struct xr_physmap *pm)
{
	int ret = flush_big(pm);

	return ret ? ret : flush_small(pm);
}

/* Finish what is queued and punch its gaps, so that its leftovers don't stand in the way. */
static int settle(struct xr_physmap *pm)
{
	int ret = flush(pm);

	if (!ret)
		ret = xr_pm_promote(pm);
	if (!ret && pm->plan.first_pass)
		ret = xr_pm_drop(pm, pm->plan.guessed, pm->plan.edge);
	return ret;
}

/* 1: granted, 0: not, or an error. */
static int ask_gig(struct xr_physmap *pm, const struct xr_group *g)
{
	struct xr_pfnset *set = g->guess ? pm->plan.guessed : pm->exact;
	uint64_t gfn = g->region << 9 & ~(((uint64_t)1 << XR_ORDER_1G) - 1);
	size_t done;
	int ret, why;

	if (pm->fresh && !xr_pm_fits(pm, (uint64_t)1 << XR_ORDER_1G) &&
	    !xr_pfnset_count(pm->plan.guessed))
		return 0;
	if (!xr_plan_extent_open(&pm->plan, gfn, XR_ORDER_1G) || !worth_asking(pm, XR_ORDER_1G))
		return 0;
	ret = settle(pm);
	if (ret || !xr_plan_extent_open(&pm->plan, gfn, XR_ORDER_1G))
		return ret;
	ret = make_room(pm, (uint64_t)1 << XR_ORDER_1G);
	if (ret <= 0)
		return ret;
	ret = xr_pm_ask(pm, XR_ORDER_1G, &gfn, 1, set, &done, &why);
	note_answer(pm, XR_ORDER_1G, done, !done);
	if (!ret && (xr_pfnset_add(pm->plan.tried_1g, gfn >> XR_ORDER_1G, 1) ||
		     (done && xr_pfnset_add(pm->plan.tried_2m, gfn >> XR_ORDER_2M, 512))))
		ret = xr_pm_no_memory(pm);
	return ret ? ret : (int)done;
}

/* May the group be queued as one extent? 1, 0 or an error. */
static int room_for_big(struct xr_physmap *pm, const struct xr_group *g)
{
	int ret;

	if (!g->big || !worth_asking(pm, XR_ORDER_2M))
		return 0;
	if (xr_pm_fits(pm, XR_REGION_PFNS))
		return 1;
	if (g->guess && pm->cfg.policy == XR_POLICY_EXACT)
		return 0;
	ret = settle(pm);
	return ret ? ret : make_room(pm, XR_REGION_PFNS);
}

static int carry_out_group(struct xr_physmap *pm, struct xr_group *g)
{
	uint64_t have[8], any = 0;
	bool ahead = only_guess(g);
	int ret;

	if (ahead && !g->big)
		return guess_small(pm, g->region);
	ret = g->gig ? ask_gig(pm, g) : 0;
	if (ret)
		return ret < 0 ? ret : 0;
	xr_plan_allocated_bits(&pm->plan, g->region, have);
	for (unsigned int i = 0; i < 8; i++)
		any |= g->bits[i] &= ~have[i];
	if (!any && !ahead)
		return 0;
	ret = room_for_big(pm, g);
	if (ret <= 0)
		return ret ? ret : fall_back(pm, g);
	pm->big[pm->nbig++] = *g;
	return pm->nbig == XR_BATCH_2M ? flush_big(pm) : 0;
}

int xr_pm_carry_out(struct xr_physmap *pm)
{
	int ret = 0;

	for (size_t i = 0; i < pm->plan.ngroups && !ret; i++)
		ret = carry_out_group(pm, &pm->plan.group[i]);
	if (!ret)
		ret = flush(pm);
	pm->plan.ngroups = 0;
	pm->nbig = pm->nsmall = 0;
	return ret;
}
