/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that runs between checkpoints, and so changes its frames by itself. */
#include "lib/rng.h"
#include "populate/rig.h"

#include <criterion/criterion.h>

#define FIRST (8u * 512u) /* of the guest's pfns: free of all that is special on a PC */
#define REGIONS 4u
#define END (FIRST + REGIONS * 512u)
#define SEEDS 300u

static struct rng dice;

static size_t any_size(void)
{
	return 1 + rng_below(&dice, rng_chance(&dice, 1, 2) ? 1024 : 64);
}

/* A region wholly RAM, wholly not, anything, or not named. */
static void say_region(struct script *s, uint64_t first)
{
	const uint64_t kind = rng_below(&dice, 4);

	if (kind < 2)
		script_range(s, first, first + 512, kind ? RAM : XTAB);
	for (uint64_t pfn = first; kind == 2 && pfn < first + 512; pfn++)
		if (rng_chance(&dice, 1, 2))
			script_say(s, pfn, rng_chance(&dice, 1, 2) ? RAM : XTAB);
}

static void say(struct script *s)
{
	const uint64_t turn = rng_below(&dice, REGIONS);

	for (uint64_t i = 0; i < REGIONS; i++)
		say_region(s, FIRST + (i + turn) % REGIONS * 512);
}

/* What the stream will call RAM is never where Xen's page is: on the other side it is not, too. */
static void run_guest(struct rig *r, const struct script *next)
{
	for (uint64_t pfn = FIRST; pfn < END; pfn++) {
		if (fake_xens(&r->f, pfn) && next->in[pfn])
			fake_give(&r->f, pfn);
		if (!rng_chance(&dice, 1, 64))
			continue;
		if (fake_order(&r->f, pfn) < 0)
			fake_take(&r->f, pfn);
		else if (next->in[pfn] || rng_chance(&dice, 1, 2))
			fake_give(&r->f, pfn);
		else if (!fake_xens(&r->f, pfn))
			fake_put_xens(&r->f, pfn);
	}
}

static void apply(struct rig *r, const struct script *s)
{
	const size_t ahead = rng_below(&dice, 4);

	for (size_t i = 0; i < s->nchunks; i++) {
		const size_t rest = s->nchunks - i - 1;

		cr_assert_eq(xr_physmap_apply(r->pm, &s->chunk[i], &s->order[i + 1],
					      rest < ahead ? rest : ahead, &r->err),
			     0, "%s", r->err.text);
		for (size_t j = 0; j < s->chunk[i].n; j++)
			if (entry_ram(s->chunk[i].entry[j]))
				fake_write(&r->f, entry_pfn(s->chunk[i].entry[j]));
	}
	cr_assert_eq(xr_physmap_settle(r->pm, &r->err), 0);
}

static void check(const struct rig *r, const struct script *s, uint64_t seed)
{
	uint64_t ram = 0;

	for (uint64_t pfn = FIRST; pfn < END; pfn++) {
		const bool has = fake_order(&r->f, pfn) >= 0 && !fake_xens(&r->f, pfn);

		ram += has;
		if (!s->in[pfn] && !s->hole[pfn])
			continue;
		cr_assert_eq(has, s->in[pfn], "seed %lu: pfn %#lx", seed, pfn);
		cr_assert_eq(xr_physmap_has(r->pm, pfn), has, "seed %lu: pfn %#lx", seed, pfn);
	}
	cr_assert_eq(r->f.tot_pages, ram, "seed %lu", seed);
	cr_assert_eq(fake_faults(&r->f), 0,
		     "seed %lu: %lu leaked, %lu of Xen's taken, %lu empty, %lu dirty", seed,
		     r->f.leaked, r->f.took_xens, r->f.released_empty, r->f.released_dirty);
}

Test(running, the_guest_is_that_of_the_checkpoint_whatever_it_did)
{
	static const enum xr_policy policies[] = { XR_POLICY_EXACT, XR_POLICY_SPECULATIVE,
						   XR_POLICY_4K };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct rig r;

		dice = rng_seed(seed);
		rig_open(&r, policies[seed % 3], seed % 2 ? 9 : 18);
		if (rng_chance(&dice, 1, 2))
			r.f.max_pages = END - FIRST;
		rig_begin(&r);
		for (unsigned int i = 0; i < 4; i++) {
			struct script s;

			script_open(&s);
			say(&s);
			script_cut(&s, any_size);
			if (i)
				run_guest(&r, &s);
			apply(&r, &s);
			check(&r, &s, seed);
			xr_physmap_runs(r.pm);
			script_close(&s);
		}
		rig_close(&r);
	}
}

/* A whole region of RAM in chunks of that size; not begun. */
static void open_region(struct rig *r, size_t chunk)
{
	rig_open(r, XR_POLICY_EXACT, 9);
	r->chunk = chunk;
	script_range(&r->s, FIRST, FIRST + 512, RAM);
}

/* A region that comes in two parts, where the guest took a frame of the second by itself. */
Test(running, an_extent_spares_what_the_guest_took)
{
	struct rig r;

	open_region(&r, 256);
	rig_begin(&r);
	xr_physmap_runs(r.pm);
	fake_take(&r.f, FIRST + 400);
	cr_assert_eq(rig_apply(&r, 2), 0);
	rig_check(&r);
	cr_assert_eq(r.f.extents_of[9], 0);
	rig_close(&r);
}

/* The guest's shared info is in the place of a frame that the stream brought. */
Test(running, xens_pages_stay_where_they_are)
{
	struct rig r;

	open_region(&r, 512);
	script_say(&r.s, FIRST + 7, XTAB);
	rig_begin(&r);
	cr_assert_eq(rig_apply(&r, 1), 0);
	xr_physmap_runs(r.pm);
	fake_put_xens(&r.f, FIRST + 7);
	cr_assert_eq(rig_apply(&r, 1), 0);
	cr_assert(fake_xens(&r.f, FIRST + 7));
	cr_assert_not(xr_physmap_has(r.pm, FIRST + 7));
	cr_assert_eq(fake_faults(&r.f), 0);
	rig_close(&r);
}
