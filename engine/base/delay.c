/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_TEST_DELAYS /* for tools that look at it in another build */
#define XR_TEST_DELAYS
#endif
#include "base/delay.h"

#include <sched.h>
#include <time.h>

#define ODD 0x9e3779b97f4a7c15ull

static uint64_t seed, threads, delays;

struct dice {
	uint64_t of; /* the seed they were made from */
	uint64_t state;
};

static _Thread_local struct dice dice;

void xr_delay_seed(uint64_t value)
{
	__atomic_store_n(&threads, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&delays, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&seed, value, __ATOMIC_RELAXED);
}

uint64_t xr_delay_count(void)
{
	return __atomic_load_n(&delays, __ATOMIC_RELAXED);
}

/* splitmix64 */
static uint64_t roll(uint64_t of)
{
	uint64_t z;

	if (dice.of != of) {
		dice.of = of;
		dice.state = of + ODD * ODD * __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	}
	z = dice.state += ODD;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Most places are passed at once, some wait as long as other threads need for many steps. */
void xr_delay(void)
{
	const uint64_t of = __atomic_load_n(&seed, __ATOMIC_RELAXED), r = of ? roll(of) : 0;
	const unsigned int kind = r % 64;
	struct timespec t = { 0, (long)(r >> 8 & 0x3fff) };

	if (!of || kind < 44)
		return;
	__atomic_add_fetch(&delays, 1, __ATOMIC_RELAXED);
	if (kind < 58) {
		sched_yield();
		return;
	}
	if (kind == 63)
		t.tv_nsec <<= 5;
	nanosleep(&t, NULL);
}
