/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sparse pfn set against a plain bitmap, and what it may cost. */
#include "base/pfnset.h"

#include "lib/sanitizer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The naive set covers a window of four stretches that starts at base. */
#define WINDOW (4u << 15)

struct naive {
	uint64_t base;
	bool has[WINDOW];
};

static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return below ? (rng >> 11) % below : 0;
}

static void seed(uint64_t s)
{
	rng = s * 0x9e3779b97f4a7c15ull + 1;
}

static uint64_t some_pfn(void)
{
	static const uint64_t edges[] = { 0, 1, 511, 512, 513, 32767, 32768, 32769, WINDOW - 1 };

	return rnd(3) ? rnd(WINDOW) : edges[rnd(sizeof(edges) / sizeof(edges[0]))];
}

static uint64_t some_length(uint64_t from)
{
	static const uint64_t sizes[] = { 1,   2,   63,	  64,	 65,	511,
					  512, 513, 1024, 32768, 40000, WINDOW };
	uint64_t n = rnd(2) ? sizes[rnd(sizeof(sizes) / sizeof(sizes[0]))] : rnd(2000);

	return n < WINDOW - from ? n : WINDOW - from;
}

static uint64_t naive_next(const struct naive *m, uint64_t from, bool absent)
{
	for (uint64_t i = from; i < WINDOW; i++)
		if (m->has[i] != absent)
			return m->base + i;
	return absent ? m->base + WINDOW : XR_PFN_LIMIT;
}

static enum xr_fill naive_fill(const struct naive *m, uint64_t pfn, unsigned int order)
{
	uint64_t size = (uint64_t)1 << order, members = 0;

	for (uint64_t i = 0; i < size; i++)
		members += m->has[(pfn & ~(size - 1)) + i];
	return members == 0 ? XR_EMPTY : members == size ? XR_FULL : XR_MIXED;
}

static void check_one(const struct xr_pfnset *s, const struct naive *m, uint64_t at,
		      unsigned long sd)
{
	unsigned int order = 9 + (unsigned int)rnd(7);
	uint64_t bits[8];

	cr_assert_eq(xr_pfnset_has(s, m->base + at), m->has[at], "seed %lu", sd);
	cr_assert_eq(xr_pfnset_next(s, m->base + at, false), naive_next(m, at, false), "seed %lu",
		     sd);
	if (naive_next(m, at, true) < XR_PFN_LIMIT)
		cr_assert_eq(xr_pfnset_next(s, m->base + at, true), naive_next(m, at, true),
			     "seed %lu", sd);
	cr_assert_eq(xr_pfnset_fill(s, m->base + at, order), naive_fill(m, at, order),
		     "seed %lu: fill of order %u", sd, order);
	xr_pfnset_region(s, m->base + at, bits);
	for (unsigned int i = 0; i < 512; i++)
		cr_assert_eq(bits[i / 64] >> (i % 64) & 1, m->has[(at & ~511ull) + i], "seed %lu",
			     sd);
}

static void check_all(const struct xr_pfnset *s, const struct naive *m, unsigned long sd)
{
	uint64_t members = 0;

	for (uint64_t i = 0; i < WINDOW; i++) {
		cr_assert_eq(xr_pfnset_has(s, m->base + i), m->has[i], "seed %lu: pfn %lu", sd, i);
		members += m->has[i];
	}
	cr_assert_eq(xr_pfnset_count(s), members, "seed %lu", sd);
}

static void one_history(unsigned long sd)
{
	static const uint64_t bases[] = { 0, 1ull << 20, (1ull << 25) - WINDOW / 2,
					  XR_PFN_LIMIT - WINDOW };
	struct xr_pfnset *s = xr_pfnset_new();
	struct naive *m = calloc(1, sizeof(*m));
	size_t nothing = xr_pfnset_bytes(s);

	seed(sd);
	m->base = bases[rnd(4)];
	for (unsigned int step = 0; step < 60; step++) {
		uint64_t at = some_pfn(), n = some_length(at);
		bool set = rnd(5) > 1;
		int ret =
			set ? xr_pfnset_add(s, m->base + at, n) : xr_pfnset_del(s, m->base + at, n);

		cr_assert_eq(ret, 0);
		memset(&m->has[at], set, n);
		check_one(s, m, some_pfn(), sd);
	}
	check_all(s, m, sd);
	cr_assert_eq(xr_pfnset_del(s, m->base, WINDOW), 0);
	cr_assert_eq(xr_pfnset_count(s), 0, "seed %lu", sd);
	cr_assert_eq(xr_pfnset_bytes(s), nothing, "seed %lu: an empty set is small again", sd);
	xr_pfnset_free(s);
	free(m);
}

Test(pfnset, behaves_like_a_bitmap)
{
	const char *only = getenv("XR_SEED");

	if (only) {
		one_history(strtoul(only, NULL, 0));
		return;
	}
	for (unsigned long sd = 1; sd <= FEWER(300ul); sd++)
		one_history(sd);
}

Test(pfnset, holds_the_whole_range)
{
	struct xr_pfnset *s = xr_pfnset_new();

	cr_assert_eq(xr_pfnset_add(s, 0, XR_PFN_LIMIT), 0);
	cr_assert_eq(xr_pfnset_count(s), XR_PFN_LIMIT);
	cr_assert_eq(xr_pfnset_next(s, 0, true), XR_PFN_LIMIT);
	cr_assert_eq(xr_pfnset_fill(s, 5, XR_PFN_BITS), XR_FULL);
	cr_assert_eq(xr_pfnset_del(s, XR_PFN_LIMIT - 1, 1), 0);
	cr_assert_eq(xr_pfnset_next(s, 0, true), XR_PFN_LIMIT - 1);
	cr_assert_eq(xr_pfnset_del(s, 0, XR_PFN_LIMIT - 1), 0);
	cr_assert_eq(xr_pfnset_count(s), 0);
	cr_assert_not(xr_pfnset_has(s, XR_PFN_LIMIT - 1));
	cr_assert_not(xr_pfnset_has(s, XR_PFN_LIMIT));
	xr_pfnset_free(s);
}

Test(pfnset, a_far_pfn_is_cheap)
{
	struct xr_pfnset *s = xr_pfnset_new();
	size_t nothing = xr_pfnset_bytes(s);

	cr_assert_eq(xr_pfnset_add(s, XR_PFN_LIMIT - 1, 1), 0);
	cr_assert_lt(xr_pfnset_bytes(s) - nothing, 10000);
	cr_assert_eq(xr_pfnset_next(s, 0, false), XR_PFN_LIMIT - 1);
	xr_pfnset_free(s);
}

Test(pfnset, a_full_tebibyte_is_small)
{
	struct xr_pfnset *s = xr_pfnset_new();

	for (uint64_t pfn = 0; pfn < 1ull << 28; pfn += 512)
		cr_assert_eq(xr_pfnset_add(s, pfn, 512), 0);
	cr_assert_lt(xr_pfnset_bytes(s), 128u << 10);
	cr_assert_eq(xr_pfnset_fill(s, 0, 28), XR_FULL);
	xr_pfnset_free(s);
}

Test(pfnset, a_tebibyte_with_a_hole_in_every_tenth_region)
{
	struct xr_pfnset *s = xr_pfnset_new();

	cr_assert_eq(xr_pfnset_add(s, 0, 1ull << 28), 0);
	for (uint64_t pfn = 77; pfn < 1ull << 28; pfn += 5120)
		cr_assert_eq(xr_pfnset_del(s, pfn, 1), 0);
	cr_assert_lt(xr_pfnset_bytes(s), 10u << 20);
	xr_pfnset_free(s);
}
