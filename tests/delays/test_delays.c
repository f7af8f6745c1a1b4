/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restores by worker threads while every operation on queues, events, buffers and windows may take
 * its time (base/delay.h): whatever the order that makes, the guest equals the reference model, and
 * what fails fails cleanly. Under ThreadSanitizer these orders are what it has to judge.
 *
 * Environment: XR_SEEDS (half as many for each number of workers; 40), XR_SEED (only this one).
 */
#include "base/delay.h"
#include "lib/isolate.h"
#include "props/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEEDS 40u
#define STUCK 120u /* seconds */

struct job {
	unsigned int workers;
	enum damage damage;
	uint64_t seed;
};

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Sources, policies and limits by the seed. */
static bool restore(void *arg, char *why, size_t room)
{
	const struct job *j = arg;
	struct rng dice = rng_seed(j->seed ^ (uint64_t)j->workers << 40);
	struct combo c = combo_random(&dice);
	bool ok;

	c.workers = j->workers;
	c.kind = XR_WORKER_THREAD;
	c.room = c.room == ROOM_MUCH ? ROOM_SOME : c.room;
	snprintf(why, room, "XR_SEED=%lu", j->seed);
	alarm(STUCK);
	xr_delay_seed(j->seed * 16 + j->workers);
	ok = run_seed_as(j->seed, &c, j->damage, why, room);
	if (ok && j->damage == DAMAGE_NONE && xr_delay_count() < 10) {
		snprintf(why, room, "XR_SEED=%lu: only %lu delays", j->seed, xr_delay_count());
		return false;
	}
	return ok;
}

static void restores(unsigned int workers)
{
	const uint64_t first = env_number("XR_SEED", 0);
	const uint64_t end = getenv("XR_SEED") ? first + 1 : env_number("XR_SEEDS", SEEDS) / 2 + 1;
	static const enum damage damages[] = { DAMAGE_NONE, DAMAGE_FAULT, DAMAGE_CUT };
	char why[ISOLATE_WHY];

	for (uint64_t seed = first; seed < end; seed++) {
		for (unsigned int d = 0; d < sizeof(damages) / sizeof(damages[0]); d++) {
			struct job j = { workers, damages[d], seed };

			cr_assert(isolated(restore, &j, why), "%u workers, damage %d: %s", workers,
				  j.damage, why);
		}
	}
}

Test(delays, of_one_worker)
{
	restores(1);
}

Test(delays, of_two_workers)
{
	restores(2);
}

Test(delays, of_four_workers)
{
	restores(4);
}

Test(delays, of_eight_workers)
{
	restores(8);
}
