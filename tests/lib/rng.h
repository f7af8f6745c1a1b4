/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pseudo-random numbers that a seed reproduces (splitmix64). */
#ifndef XR_TEST_RNG_H
#define XR_TEST_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline struct rng rng_seed(uint64_t seed)
{
	struct rng r = { seed };

	r.state = rng_next(&r);
	return r;
}

/* 0 to n - 1; n > 0 */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

/* true in n of m cases */
static inline bool rng_chance(struct rng *r, unsigned int n, unsigned int m)
{
	return rng_below(r, m) < n;
}

#endif
