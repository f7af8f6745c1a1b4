/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random streams, policies and hosts against the reference model: at the end the backed frames are
 * the frames the stream last called RAM, and on the way no rule of Xen was broken. XR_SEED=n
 * replays one history.
 */
#include "lib/sanitizer.h"
#include "populate/fake_host.h"
#include "populate/script.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORIES 2500u

static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % below;
}

struct history {
	unsigned long seed;
	struct script s;
	struct fake_host f;
	struct xr_physmap *pm;
	struct xr_physmap_config cfg;
	struct xr_error err;
	uint64_t base, regions;
	bool foreseen;	   /* the final set is known: all policies are exact */
	bool regular;	   /* one ascending pass that lists every pfn comes first */
	bool benign;	   /* the host grants everything */
	size_t look_ahead; /* chunks */
	unsigned int idle; /* percent of the gaps between chunks with steps ahead */
	uint64_t start;
};

static uint64_t hole_type(void)
{
	return rnd(8) ? XTAB : BROKEN;
}

/* Is pfn i of a region RAM, in a region of this kind? */
static bool ram_there(unsigned int kind, uint64_t i, uint64_t edge)
{
	switch (kind) {
	case 0:
		return false;
	case 1:
		return i != 0;
	case 2:
		return i != 511;
	case 3:
		return i < edge;
	case 4:
		return i >= edge;
	case 5:
		return i != edge;
	case 6:
		return rnd(2);
	case 7:
		return i == edge;
	default:
		return true;
	}
}

static void say_first_pass(struct history *h)
{
	bool skip_holes = !h->regular && rnd(2);

	for (uint64_t r = 0; r < h->regions; r++) {
		unsigned int kind = (unsigned int)rnd(rnd(2) ? 24 : 9);
		uint64_t edge = rnd(512), pfn = h->base + r * 512;

		for (uint64_t i = 0; i < 512; i++, pfn++) {
			bool ram = ram_there(kind, i, edge);

			if (!h->regular && (rnd(10) == 0 || (skip_holes && !ram)))
				continue;
			script_say(&h->s, pfn, ram ? (rnd(50) ? RAM : XALLOC) : hole_type());
		}
	}
}

static void say_later_pass(struct history *h)
{
	uint64_t span = h->regions * 512, pfn = h->base + rnd(span);

	switch (rnd(6)) {
	case 4: /* two regions, interleaved */
		pfn &= ~511ull;
		for (unsigned int i = 0; i < 1024; i++)
			if (pfn + i * 769 % 1024 < h->base + span)
				script_say(&h->s, pfn + i * 769 % 1024, RAM);
		break;
	case 0: /* few dirty pages */
		for (pfn = h->base + rnd(100); pfn < h->base + span; pfn += 1 + rnd(700))
			script_say(&h->s, pfn, rnd(5) ? RAM : hole_type());
		break;
	case 1: /* a stretch goes away or comes back */
		script_range(&h->s, pfn, pfn + rnd(h->base + span - pfn) + 1,
			     rnd(2) ? RAM : hole_type());
		break;
	case 2: /* a whole region */
		pfn &= ~511ull;
		script_range(&h->s, pfn, pfn + 512, rnd(3) ? RAM : hole_type());
		break;
	case 3: /* the same frames again and again */
		for (unsigned int i = 0; i < 6; i++)
			script_say(&h->s, pfn, rnd(2) ? RAM : hole_type());
		break;
	default: /* downwards */
		for (unsigned int i = 0; i < 300 && pfn > h->base; i++, pfn--)
			script_say(&h->s, pfn, rnd(7) ? RAM : hole_type());
	}
}

static uint64_t some_base(uint64_t regions)
{
	switch (rnd(7)) {
	case 0:
		return 0;
	case 5:
		return (4 + rnd(4)) << 18;
	case 1:
		return 0xfc000 - rnd(4) * 512;
	case 2:
		return 0xfee00 & ~511u;
	case 3:
		return XR_PFN_LIMIT - regions * 512;
	case 4:
		return (1u << 20) - rnd(regions) * 512;
	default:
		return rnd(1u << 12) * 512;
	}
}

static size_t chunk_kind;

static size_t chunk_size(void)
{
	switch (chunk_kind) {
	case 0:
		return 1 + rnd(5);
	case 1:
		return 1 + rnd(1024);
	case 2:
		return 1000;
	case 3:
		return 3000;
	default:
		return 1024;
	}
}

static void make_stream(struct history *h)
{
	script_open(&h->s);
	h->regions = 1 + rnd(h->cfg.max_order == 18 && !rnd(40) ? 1100 : 12);
	h->base = some_base(h->regions);
	h->regular = rnd(3);
	if (rnd(30))
		say_first_pass(h);
	for (uint64_t passes = rnd(6); passes; passes--)
		say_later_pass(h);
	chunk_kind = rnd(h->regions > 12 ? 1 : 6) + (h->regions > 12 ? 4 : 0);
	script_cut(&h->s, chunk_size);
}

static void make_host(struct history *h)
{
	h->start = rnd(2) * rnd(300);
	fake_open(&h->f, h->start, ~(uint64_t)0 >> 1);
	h->f.seed = rng | 1;
	h->benign = rnd(2);
	if (h->benign)
		return;
	if (rnd(3))
		h->f.max_pages = h->start + h->s.peak + (rnd(2) ? 0 : rnd(2000));
	h->f.refuse_2m = rnd(2) ? (unsigned int)rnd(101) : 0;
	h->f.max_order = rnd(4) ? 18 : 0;
	h->f.refuse_once = rnd(3) ? 0 : (unsigned int)rnd(50);
}

static void begin(struct history *h, unsigned long seed)
{
	static const unsigned int orders[] = { 0, 9, 9, 18 };
	static const uint64_t ahead[] = { 0, 100, 512, 2048, 16384 };

	memset(h, 0, sizeof(*h));
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	rnd(2);
	h->seed = seed;
	h->cfg.policy = rnd(4) == 0 ? XR_POLICY_4K
			: rnd(2)    ? XR_POLICY_EXACT
				    : XR_POLICY_SPECULATIVE;
	h->cfg.max_order = orders[rnd(4)];
	h->cfg.ahead_pages = ahead[rnd(5)];
	h->cfg.retire = fake_retire;
	h->cfg.ctx = &h->f;
	h->look_ahead = rnd(3) ? rnd(4) : rnd(2) ? 20 : 1000;
	h->idle = (unsigned int)rnd(101);
	make_stream(h);
	make_host(h);
	if (seed % 3 == 0 && h->base < XR_P2M_LIMIT / 2) {
		h->cfg.p2m = xr_p2m_create();
		cr_assert_not_null(h->cfg.p2m);
		h->f.pv = true;
	}
	cr_assert_eq(xr_physmap_open(&h->pm, &h->f.host, &h->cfg, &h->err), 0, "seed %lu", seed);
}

static void end(struct history *h)
{
	xr_p2m_destroy(h->cfg.p2m);
	xr_physmap_close(&h->pm);
	fake_close(&h->f);
	script_close(&h->s);
}

static uint64_t speculative_bound(const struct history *h)
{
	if (h->cfg.policy == XR_POLICY_EXACT)
		return h->cfg.ahead_pages;
	return h->cfg.policy == XR_POLICY_4K ? 0 : ((uint64_t)1 << h->cfg.max_order) - 1;
}

/* What must be true after every call. */
static void check_books(struct history *h)
{
	struct xr_physmap_stats st;

	xr_physmap_stats(h->pm, &st);
	cr_assert_eq(h->f.tot_pages, h->start + st.populated + st.due + st.speculative, "seed %lu",
		     h->seed);
	cr_assert_leq(st.speculative, speculative_bound(h), "seed %lu: %lu speculative", h->seed,
		      st.speculative);
	cr_assert_eq(fake_faults(&h->f), 0,
		     "seed %lu: %lu leaked, %lu empty, %lu dirty, %lu over, %lu again", h->seed,
		     h->f.leaked, h->f.released_empty, h->f.released_dirty, h->f.over_allocations,
		     h->f.tried_again);
	if (h->cfg.policy == XR_POLICY_SPECULATIVE && !h->foreseen)
		cr_assert_eq(h->f.tried_forbidden, 0, "seed %lu", h->seed);
	if (h->look_ahead == 0)
		cr_assert_eq(st.due, 0, "seed %lu", h->seed);
}

static void check_chunk(struct history *h, const struct xr_entries *c)
{
	for (size_t i = 0; i < c->n; i++) {
		uint64_t pfn = entry_pfn(c->entry[i]);

		cr_assert_eq(xr_physmap_has(h->pm, pfn), entry_ram(c->entry[i]), "seed %lu",
			     h->seed);
		cr_assert(!entry_ram(c->entry[i]) || fake_order(&h->f, pfn) >= 0, "seed %lu",
			  h->seed);
		if (entry_ram(c->entry[i]))
			fake_write(&h->f, pfn);
	}
}

static int apply_all(struct history *h)
{
	for (size_t i = 0; i < h->s.nchunks; i++) {
		size_t rest = h->s.nchunks - i - 1;
		int ret = xr_physmap_apply(h->pm, &h->s.chunk[i], &h->s.order[i + 1],
					   rest < h->look_ahead ? rest : h->look_ahead, &h->err);

		if (ret)
			return ret;
		check_chunk(h, &h->s.chunk[i]);
		check_books(h);
		while (rnd(100) < h->idle) {
			ret = xr_physmap_ahead(h->pm, &h->err);
			if (ret < 0)
				return ret;
			check_books(h);
			if (!ret)
				break;
		}
	}
	return 0;
}

static void check_end(struct history *h)
{
	struct xr_physmap_stats st;

	xr_physmap_stats(h->pm, &st);
	cr_assert_eq(st.populated, h->s.ram, "seed %lu", h->seed);
	cr_assert_eq(st.due + st.speculative, 0, "seed %lu", h->seed);
	cr_assert_eq(h->f.tot_pages, h->start + h->s.ram, "seed %lu", h->seed);
	for (size_t i = 0; i < h->s.n; i++) {
		uint64_t pfn = entry_pfn(h->s.entry[i]);

		cr_assert_eq(fake_order(&h->f, pfn) >= 0, h->s.in[pfn], "seed %lu: pfn %#lx",
			     h->seed, pfn);
	}
	cr_assert_eq(fake_faults(&h->f), 0, "seed %lu", h->seed);
	cr_assert_eq(st.populate_calls, h->f.populate_calls);
	cr_assert_eq(st.release_calls, h->f.release_calls);
}

/* Of a PV guest, the table knows every frame by its mfn, and no other. */
static void check_mfns(struct history *h)
{
	const uint64_t end = h->base + (h->regions + 2) * 512;

	for (uint64_t pfn = h->base; h->cfg.p2m && pfn < end; pfn++)
		cr_assert_eq(xr_p2m_mfn(h->cfg.p2m, pfn),
			     fake_order(&h->f, pfn) < 0 ? XR_NO_MFN : pfn + FAKE_MFNS,
			     "seed %lu: pfn %#lx", h->seed, pfn);
}

/* The books about whole entries say what the p2m says. */
static void check_entries(struct history *h)
{
	uint64_t whole_2m = 0, whole_1g = 0, first = h->base >> 9;
	struct xr_physmap_stats st;

	for (uint64_t r = first; r < first + h->regions; r++) {
		int order = fake_order(&h->f, r * 512);

		whole_2m += order == 9;
		whole_1g += order == 18 && r % 512 == 0;
	}
	xr_physmap_stats(h->pm, &st);
	cr_assert_eq(st.whole_2m, whole_2m, "seed %lu", h->seed);
	cr_assert_eq(st.whole_1g, whole_1g, "seed %lu", h->seed);
}

/* Every region that is RAM and never had a hole is one extent. */
static void check_quality(struct history *h)
{
	for (uint64_t r = h->base >> 9; r < (h->base >> 9) + h->regions; r++) {
		bool whole = true;

		for (uint64_t pfn = r * 512; pfn < r * 512 + 512; pfn++)
			whole = whole && h->s.in[pfn] && !h->s.hole[pfn];
		if (whole)
			cr_assert_geq(fake_order(&h->f, r * 512), 9, "seed %lu: region %#lx",
				      h->seed, r);
	}
}

static bool sees_regions(const struct history *h)
{
	return h->regular && h->benign && h->cfg.policy == XR_POLICY_EXACT && h->cfg.max_order &&
	       (h->look_ahead >= 1000 || (h->look_ahead >= 2 && chunk_kind >= 2)) && h->s.n &&
	       entry_pfn(h->s.entry[0]) == h->base;
}

static void one_history(unsigned long seed)
{
	struct history h;
	int ret;

	begin(&h, seed);
	ret = apply_all(&h);
	if (!ret)
		ret = xr_physmap_finish(h.pm, &h.err);
	cr_assert_eq(ret, 0, "seed %lu: %s", seed, h.err.text);
	check_end(&h);
	check_mfns(&h);
	check_entries(&h);
	if (sees_regions(&h))
		check_quality(&h);
	end(&h);
}

static void for_seeds(void (*one)(unsigned long), unsigned long n)
{
	const char *only = getenv("XR_SEED");

	if (only)
		one(strtoul(only, NULL, 0));
	else
		for (unsigned long seed = 1; seed <= FEWER(n); seed++)
			one(seed);
}

Test(physmap, ends_in_what_the_stream_says)
{
	for_seeds(one_history, HISTORIES);
}

/* The host runs out of frames somewhere: a clean failure, and no frame is called RAM that is not.
 */
static void one_poor_history(unsigned long seed)
{
	struct history h;
	uint64_t frames;
	int ret;

	begin(&h, seed);
	h.f.max_pages = ~(uint64_t)0 >> 1;
	frames = rnd(h.s.peak + 1);
	h.f.frames = frames;
	ret = apply_all(&h);
	if (!ret)
		ret = xr_physmap_finish(h.pm, &h.err);
	if (h.s.ram > frames)
		cr_assert_eq(ret, -ENOMEM, "seed %lu: %d", seed, ret);
	if (ret) {
		cr_assert_eq(h.err.stage, XR_STAGE_POPULATE);
		cr_assert(h.err.host_failed);
		cr_assert_neq(h.err.pfn, XR_NO_PFN);
	}
	for (uint64_t pfn = 0;
	     (pfn = xr_pfnset_next(xr_physmap_set(h.pm), pfn, false)) < XR_PFN_LIMIT; pfn++)
		cr_assert_geq(fake_order(&h.f, pfn), 0, "seed %lu: pfn %#lx", seed, pfn);
	cr_assert_eq(fake_faults(&h.f), 0, "seed %lu", seed);
	end(&h);
}

Test(physmap, fails_cleanly_without_frames)
{
	for_seeds(one_poor_history, 500);
}

/* One page less than the stream needs. */
static void one_tight_history(unsigned long seed)
{
	struct history h;
	int ret;

	begin(&h, seed);
	if (h.s.peak == h.s.ram && h.s.ram) {
		h.f.max_pages = h.start + h.s.ram - 1;
		h.f.refuse_once = 0;
		xr_physmap_close(&h.pm);
		cr_assert_eq(xr_physmap_open(&h.pm, &h.f.host, &h.cfg, &h.err), 0);
		ret = apply_all(&h);
		cr_assert_eq(ret, -E2BIG, "seed %lu: %d", seed, ret);
		cr_assert_neq(h.err.pfn, XR_NO_PFN);
		cr_assert(strstr(h.err.text, "maxmem"), "%s", h.err.text);
		cr_assert_eq(fake_faults(&h.f), 0, "seed %lu", seed);
	}
	end(&h);
}

Test(physmap, names_the_limit_that_is_too_low)
{
	for_seeds(one_tight_history, 500);
}

/* With the final set known: nothing is ever released, and every whole region is one extent. */
static void one_foreseen_history(unsigned long seed)
{
	struct xr_pfnset *want = xr_pfnset_new();
	struct history h;

	begin(&h, seed);
	for (uint64_t pfn = h.base; pfn < h.base + h.regions * 512; pfn++)
		if (h.s.in[pfn])
			xr_pfnset_add(want, pfn, 1);
	h.foreseen = true;
	xr_physmap_foresee(h.pm, want);
	for (size_t i = 0; i < h.s.nchunks; i++) {
		const struct xr_entries *c = &h.s.chunk[i];
		uint64_t *pfns = malloc(c->n * sizeof(*pfns));

		for (size_t j = 0; j < c->n; j++)
			pfns[j] = entry_pfn(c->entry[j]);
		cr_assert_eq(xr_physmap_ensure(h.pm, &c->where, pfns, c->n, &h.err), 0,
			     "seed %lu: %s", seed, h.err.text);
		for (size_t j = 0; j < c->n; j++)
			cr_assert_eq(xr_physmap_has(h.pm, pfns[j]), h.s.in[pfns[j]], "seed %lu",
				     seed);
		free(pfns);
		while (rnd(100) < h.idle && xr_physmap_ahead(h.pm, &h.err) > 0)
			check_books(&h);
		if (rnd(3) == 0)
			break;
	}
	cr_assert_eq(xr_physmap_finish(h.pm, &h.err), 0, "seed %lu: %s", seed, h.err.text);
	check_end(&h);
	check_mfns(&h);
	check_entries(&h);
	cr_assert_eq(h.f.release_calls, 0, "seed %lu", seed);
	if (h.benign && h.cfg.max_order && h.cfg.policy != XR_POLICY_4K)
		check_quality(&h);
	xr_pfnset_free(want);
	end(&h);
}

Test(physmap, a_foreseen_set_is_backed_exactly)
{
	for_seeds(one_foreseen_history, 1500);
}
