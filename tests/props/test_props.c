/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whatever the stream and whatever the way it is restored, the guest equals the reference model.
 *
 * Environment: XR_SEEDS (how many; 800), XR_SEED (only this one), and what run.h names.
 *
 * A child process works off a number of seeds: a crash or a hang still has one, and starting a
 * process, or growing a heap, is not what most of the time goes into.
 */
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "props/check.h"
#include "props/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEEDS 800u
#define STUCK 120u /* seconds; a restore here takes a fraction of one */

#define PER_CHILD 25u

/* Every `step`th seed from `first` to before `end`. */
struct seeds {
	enum damage damage;
	uint64_t first, end, step;
};

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static bool try_seeds(void *arg, char *why, size_t room)
{
	const struct seeds *s = arg;
	bool ok = true;

	for (uint64_t seed = s->first; ok && seed < s->end; seed += s->step) {
		snprintf(why, room, "XR_SEED=%lu, damage %d, or one before it from %lu on", seed,
			 s->damage, s->first);
		alarm(STUCK);
		ok = run_seed(seed, s->damage, why, room);
	}
	return ok;
}

/* Several tests share the work; percent of the seeds in all. */
static void check_seeds(enum damage damage, uint64_t first, uint64_t step, unsigned int percent)
{
	uint64_t end = env_number("XR_SEEDS", SEEDS) * percent / 100;
	char why[ISOLATE_WHY];

	if (getenv("XR_SEED") && first)
		return;
	if (getenv("XR_SEED")) {
		first = env_number("XR_SEED", 0);
		end = first + 1;
	}
	for (; first < end; first += PER_CHILD * step) {
		struct seeds s = { damage, first, first + PER_CHILD * step, step };

		if (s.end > end)
			s.end = end;
		cr_assert(isolated(try_seeds, &s, why), "%s", why);
	}
}

Test(props, the_guest_equals_the_model_0)
{
	check_seeds(DAMAGE_NONE, 0, 4, 100);
}

Test(props, the_guest_equals_the_model_1)
{
	check_seeds(DAMAGE_NONE, 1, 4, 100);
}

Test(props, the_guest_equals_the_model_2)
{
	check_seeds(DAMAGE_NONE, 2, 4, 100);
}

Test(props, the_guest_equals_the_model_3)
{
	check_seeds(DAMAGE_NONE, 3, 4, 100);
}

Test(props, a_cut_stream_fails_cleanly)
{
	check_seeds(DAMAGE_CUT, 0, 1, 20);
}

Test(props, a_damaged_stream_fails_cleanly_or_is_another)
{
	check_seeds(DAMAGE_FLIP, 0, 1, 20);
}

Test(props, a_failing_host_fails_the_restore_cleanly)
{
	check_seeds(DAMAGE_FAULT, 0, 1, 20);
}

/* Of the usual ways to restore, the nth; false: there are not so many. */
static bool usual_way(unsigned int n, struct combo *c)
{
	static const unsigned int feeds[] = { FEED_FILE, FEED_PIPE, FEED_SOCKET };
	static const unsigned int workers[] = { 1, 2, 4 };
	static const unsigned int policies[] = { XR_POLICY_EXACT, XR_POLICY_SPECULATIVE,
						 XR_POLICY_4K };
	static const unsigned int kinds[] = { XR_WORKER_THREAD, XR_WORKER_PROCESS, KIND_SPAWNED };

	*c = (struct combo){
		.feed = feeds[n % 3],
		.workers = workers[n / 3 % 3],
		.policy = policies[n / 9 % 3],
		.kind = kinds[n / 27 % 3],
		.max_order = XR_ORDER_2M,
		.ahead_mib = 64,
		.room = ROOM_SOME,
		.fail_from = 255,
	};
	return n < (NO_PROCESSES ? 27 : 81);
}

static bool try_all_ways(void *arg, char *why, size_t room)
{
	const uint64_t seed = *(uint64_t *)arg;
	struct combo c;
	bool ok = true;

	for (unsigned int n = 0; ok && usual_way(n, &c); n++) {
		alarm(STUCK);
		ok = run_seed_as(seed, &c, DAMAGE_NONE, why, room);
	}
	return ok;
}

Test(props, a_seed_gives_one_guest_in_every_way)
{
	const uint64_t end = env_number("XR_SEEDS", SEEDS) / 400 + 1;
	char why[ISOLATE_WHY];

	for (uint64_t seed = 0; seed < end && !getenv("XR_SEED"); seed++)
		cr_assert(isolated(try_all_ways, &seed, why), "%s", why);
}

/* A stream that has a bit of everything: several passes, ballooning, a whole region. */
static void make_rich_stream(struct random_stream *s)
{
	struct random_options o;

	random_options_default(&o, 0);
	o.max_data = 60;
	for (o.seed = 1;; o.seed++) {
		random_stream_make(s, &o);
		if (s->ref.whole_2m && s->ref.peak > s->ref.backed && s->ref.pages > 20)
			return;
		random_stream_free(s);
	}
}

struct combination {
	struct run r;
	const struct random_stream *s;
};

static bool try_combination(void *arg, char *why, size_t room)
{
	struct combination *c = arg;
	bool ok;

	alarm(STUCK);
	ok = run_stream(&c->r, c->s);
	if (!ok)
		snprintf(why, room, "%s", c->r.why);
	return ok;
}

Test(props, one_stream_gives_one_guest_whatever_the_combination)
{
	struct random_stream s;
	struct combination c = { .r.damage = DAMAGE_NONE, .s = &s };
	struct rng dice = rng_seed(1);
	char why[ISOLATE_WHY], combo[COMBO_TEXT];

	make_rich_stream(&s);
	for (unsigned int i = 0; i < FEWER(100u) && !getenv("XR_SEED"); i++) {
		c.r.combo = combo_random(&dice);
		c.r.seed = i;
		combo_print(&c.r.combo, combo);
		cr_assert(isolated(try_combination, &c, why), "combination %s, seed %u: %s", combo,
			  i, why);
	}
	random_stream_free(&s);
}

static bool three_in_a_row(void *arg, char *why, size_t room)
{
	struct run r = { .damage = DAMAGE_NONE, .combo = *(struct combo *)arg };
	struct random_stream s;
	bool ok = true;

	make_rich_stream(&s);
	alarm(STUCK);
	for (unsigned int i = 0; ok && i < 3; i++)
		ok = run_stream(&r, &s);
	if (!ok)
		snprintf(why, room, "%s", r.why);
	random_stream_free(&s);
	return ok;
}

/* What a restore leaves in its process (a thread, an fd, a child) would show in the next one. */
Test(props, a_process_can_restore_again_with_worker_processes)
{
	struct combo c = {
		.workers = 2, .kind = XR_WORKER_PROCESS, .max_order = 9, .fail_from = 255
	};
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	for (unsigned int i = 0; i < 4; i++) {
		c.io = i & 1 ? XR_IO_PLAIN : XR_IO_AUTO;
		c.kind = i & 2 ? KIND_SPAWNED : XR_WORKER_PROCESS;
		for (c.feed = FEED_FILE; c.feed <= FEED_PIPE; c.feed++)
			cr_assert(isolated(three_in_a_row, &c, why), "io %u, kind %u, %s: %s", c.io,
				  c.kind, feed_kind_name((enum feed_kind)c.feed), why);
	}
}
