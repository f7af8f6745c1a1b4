/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whatever the stream and whatever the way it is restored, the guest equals the reference model.
 *
 * Environment: XR_SEEDS (how many; 2000), XR_SEED (only this one), and what run.h names.
 */
#include "props/check.h"
#include "props/run.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS 2000u
#define STUCK 120u /* seconds; a restore here takes a fraction of one */

static volatile uint64_t at_seed;

/* The only way to learn the seed of a hang or a crash. */
static void tell_seed(int signal_number)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "signal %d at XR_SEED=%lu\n", signal_number, at_seed);

	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(3);
	signal(signal_number, SIG_DFL);
	raise(signal_number == SIGALRM ? SIGABRT : signal_number);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void try_seed(uint64_t seed, enum damage damage)
{
	char why[2048];

	at_seed = seed;
	alarm(STUCK);
	if (!run_seed(seed, damage, why, sizeof(why)))
		cr_assert_fail("%s", why);
	alarm(0);
}

/* Every nth seed, so that the tests of one property share the work between processes. */
static void try_seeds(uint64_t shard, uint64_t shards, enum damage damage, unsigned int share)
{
	uint64_t seeds = env_number("XR_SEEDS", SEEDS) * share / 100;

	signal(SIGALRM, tell_seed);
	signal(SIGABRT, tell_seed);
	if (getenv("XR_SEED")) {
		if (!shard)
			try_seed(env_number("XR_SEED", 0), damage);
		return;
	}
	for (uint64_t seed = shard; seed < seeds; seed += shards)
		try_seed(seed, damage);
}

Test(props, the_guest_equals_the_model_0)
{
	try_seeds(0, 4, DAMAGE_NONE, 100);
}

Test(props, the_guest_equals_the_model_1)
{
	try_seeds(1, 4, DAMAGE_NONE, 100);
}

Test(props, the_guest_equals_the_model_2)
{
	try_seeds(2, 4, DAMAGE_NONE, 100);
}

Test(props, the_guest_equals_the_model_3)
{
	try_seeds(3, 4, DAMAGE_NONE, 100);
}

Test(props, a_cut_stream_fails_cleanly)
{
	try_seeds(0, 1, DAMAGE_CUT, 20);
}

Test(props, a_damaged_stream_fails_cleanly_or_is_another)
{
	try_seeds(0, 1, DAMAGE_FLIP, 20);
}

Test(props, a_failing_host_fails_the_restore_cleanly)
{
	try_seeds(0, 1, DAMAGE_FAULT, 20);
}

/*
 * One stream, every combination: the same seed in all of them must give the same guest. Seeds are
 * chosen for what they hold: several passes, ballooning, whole regions.
 */
Test(props, every_combination_gives_the_same_guest)
{
	struct run r = { .damage = DAMAGE_NONE };
	struct random_options o;
	struct random_stream s;
	struct rng dice = rng_seed(1);

	if (getenv("XR_SEED"))
		return;
	random_options_default(&o, 0);
	o.max_data = 60;
	do {
		o.seed++;
		random_stream_make(&s, &o);
		if (s.ref.whole_2m && s.ref.peak > s.ref.backed && s.ref.pages > 20)
			break;
		random_stream_free(&s);
	} while (true);
	for (unsigned int i = 0; i < 150; i++) {
		char combo[COMBO_TEXT];

		r.combo = combo_random(&dice);
		r.seed = i;
		combo_print(&r.combo, combo);
		cr_assert(run_stream(&r, &s), "seed %lu combination %s: %s", o.seed, combo, r.why);
	}
	random_stream_free(&s);
}
