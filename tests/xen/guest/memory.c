/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's memory: a pattern by which any page tells what it is and how old it is. */
#include "guest.h"

#define MAX_PAGES (512u << 8) /* 512 MiB */
#define REGION 512u	      /* pages of 2 MiB */
#define WORDS (PAGE / 4)
#define MAGIC 0x58524547u
#define STRIDE 0x9e3779b9u
#define BATCH 128u
#define SPECIAL 64u /* at least as many as the frames that Xen counts beside those in the map */
#define NAMED 16u   /* bad pages that are named one by one */

/*
 * Per page: 0 not ours, HOLE, else the generation of its contents. A page that comes back from the
 * balloon starts anew with the number of that return above: no two lives of a page are alike.
 */
#define HOLE 0xffffffffu
#define LIFE_SHIFT 16
#define LIFE(gen) ((gen) >> LIFE_SHIFT)
#define AGE(gen) ((gen) & ((1u << LIFE_SHIFT) - 1))
static uint32_t generation[MAX_PAGES], returns;

static xen_pfn_t batch[BATCH], balloon[BATCH];
static unsigned int end_pfn, balloon_size, next_rewrite, next_check, next_balloon, image_sum;
static uint32_t random_state = 1;

struct memory_count memory;
extern const char image_start[], image_fixed_end[], image_end[];

static uint32_t mix(uint32_t a, uint32_t b)
{
	uint32_t x = a * 0x85ebca6bu ^ b * 0xc2b2ae35u;

	x ^= x >> 15;
	x *= 0x2c1b3c6du;
	x ^= x >> 12;
	x *= 0x297a2d39u;
	return x ^ x >> 15;
}

static volatile uint32_t *page(unsigned int pfn)
{
	return AT(pfn);
}

static void write_page(unsigned int pfn)
{
	volatile uint32_t *p = page(pfn);
	uint32_t gen = ++generation[pfn], seed = mix(pfn, gen);

	p[0] = pfn ^ MAGIC;
	p[1] = gen;
	for (unsigned int i = 2; i < WORDS; i++)
		p[i] = seed + i * STRIDE;
}

/* The first word that isn't as (pfn, gen) would have it; WORDS if all are. */
static unsigned int first_wrong(const volatile uint32_t *p, unsigned int pfn, uint32_t gen)
{
	uint32_t seed = mix(pfn, gen);

	if (p[0] != (pfn ^ MAGIC))
		return 0;
	if (p[1] != gen)
		return 1;
	for (unsigned int i = 2; i < WORDS; i++)
		if (p[i] != seed + i * STRIDE)
			return i;
	return WORDS;
}

static bool all_words_are(const volatile uint32_t *p, uint32_t value)
{
	for (unsigned int i = 0; i < WORDS; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* Say in what way a page is wrong: the kind of mistake points at the culprit. */
static void name_bad(unsigned int pfn)
{
	const volatile uint32_t *p = page(pfn);
	unsigned int gen = generation[pfn], wrong = first_wrong(p, pfn, gen);

	memory.bad_returned += LIFE(gen) != 0;
	if (memory.bad++ >= NAMED)
		return;
	if (all_words_are(p, 0))
		say("BAD page 0x%x: missing, all zero", pfn);
	else if (all_words_are(p, ~0u))
		say("BAD page 0x%x: missing, no memory there", pfn);
	else if (wrong == 0 && (p[0] ^ MAGIC) < end_pfn &&
		 first_wrong(p, p[0] ^ MAGIC, p[1]) == WORDS)
		say("BAD page 0x%x: wrong, it is page 0x%x", pfn, p[0] ^ MAGIC);
	else if (wrong == 1 && first_wrong(p, pfn, p[1]) == WORDS)
		say("BAD page 0x%x: stale, generation %u of life %u instead of %u of %u", pfn,
		    AGE(p[1]), LIFE(p[1]), AGE(gen), LIFE(gen));
	else
		say("BAD page 0x%x: damaged from byte %u on", pfn, wrong * 4);
}

static bool is_filled(unsigned int pfn)
{
	return generation[pfn] && generation[pfn] != HOLE;
}

void memory_add(uint64_t start, uint64_t end)
{
	unsigned int pfn = (unsigned int)((start + PAGE - 1) / PAGE), last;
	const uint32_t image = PFN_OF(image_start), image_last = PFN_OF(image_end);

	last = end / PAGE < MAX_PAGES ? (unsigned int)(end / PAGE) : MAX_PAGES;
	for (; pfn < last; pfn++) {
		if (pfn >= image && pfn < image_last)
			continue;
		generation[pfn] = 1;
		memory.pages++;
	}
	if (last > end_pfn)
		end_pfn = last;
}

/* Take pages out: only those that are ours and in. Which ones went is left in gfns[]. */
static unsigned int take_out(xen_pfn_t *gfns, unsigned int first, unsigned int n, unsigned int step)
{
	unsigned int asked = 0, done;

	for (unsigned int pfn = first; pfn < end_pfn && n && asked < BATCH; pfn += step, n--)
		if (is_filled(pfn))
			gfns[asked++] = pfn;
	done = xen_release(gfns, asked);
	if (done != asked)
		say("cannot release page 0x%x", (unsigned int)gfns[done]);
	for (unsigned int i = 0; i < done; i++)
		generation[gfns[i]] = HOLE;
	memory.pages -= done;
	memory.holes += done;
	return done;
}

static void put_in(const xen_pfn_t *gfns, unsigned int n)
{
	unsigned int done = xen_populate(gfns, n);

	if (done != n)
		say("cannot populate page 0x%x", (unsigned int)gfns[done]);
	returns++;
	for (unsigned int i = 0; i < done; i++) {
		generation[gfns[i]] = returns << LIFE_SHIFT;
		write_page(gfns[i]);
	}
	memory.pages += done;
	memory.holes -= done;
}

static void take_out_range(unsigned int first, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += BATCH)
		take_out(batch, first + i, n - i < BATCH ? n - i : BATCH, 1);
}

/* Holes of every shape that matters to a restorer that allocates 2M at a time. */
static void make_holes(void)
{
	take_out_range(3 * REGION, REGION);		/* a whole region */
	take_out(batch, 5 * REGION, REGION / 16, 16);	/* sprinkled */
	take_out(batch, 7 * REGION, 1, 1);		/* the first page */
	take_out(batch, 9 * REGION + REGION - 1, 1, 1); /* the last page */
	take_out_range(11 * REGION, REGION / 2);	/* the first half */
	if (end_pfn > REGION)
		take_out_range(end_pfn - 33, 33); /* the end of memory */
}

static unsigned int sum_image(void)
{
	const uint32_t *p = (const uint32_t *)image_start, *end = (const uint32_t *)image_fixed_end;
	uint32_t sum = 0;

	for (; p < end; p++)
		sum = mix(sum, *p);
	return sum;
}

void memory_fill(unsigned int target, bool holes)
{
	unsigned int n, in = memory.pages + (unsigned int)(image_end - image_start) / PAGE;

	if (target < in) {
		n = in - target + SPECIAL;
		take_out_range(end_pfn - n, n);
	}
	if (holes)
		make_holes();
	for (unsigned int pfn = 0; pfn < end_pfn; pfn++)
		if (is_filled(pfn))
			write_page(pfn);
	if (holes) { /* out and in again: one region that is whole, but not a superpage any more */
		n = take_out(batch, 13 * REGION + 100, BATCH, 1);
		put_in(batch, n);
	}
	image_sum = sum_image();
}

static uint32_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static unsigned int next_filled(unsigned int pfn)
{
	do
		pfn = pfn + 1 < end_pfn ? pfn + 1 : 0;
	while (!is_filled(pfn));
	return pfn;
}

void memory_rewrite(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (i & 1) {
			write_page(next_filled(random_number() % end_pfn));
			continue;
		}
		next_rewrite = next_filled(next_rewrite);
		write_page(next_rewrite);
	}
}

void memory_balloon(unsigned int n)
{
	put_in(balloon, balloon_size);
	balloon_size = take_out(balloon, next_balloon, n < BATCH ? n : BATCH, 3);
	next_balloon += 3 * n;
	if (next_balloon >= end_pfn)
		next_balloon = 0;
}

unsigned int memory_share(void)
{
	static unsigned int place;

	if (!place) {
		place = next_filled(2 * REGION + 6);
		generation[place] = 0;
		memory.pages--;
	}
	return xen_share_at(place) ? place : 0;
}

void memory_check_some(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		next_check = next_filled(next_check);
		if (first_wrong(page(next_check), next_check, generation[next_check]) != WORDS)
			name_bad(next_check);
	}
}

void memory_check_all(void)
{
	memory.filled_holes = 0;
	if (sum_image() != image_sum) {
		memory.bad++;
		say("BAD image");
	}
	for (unsigned int pfn = 0; pfn < end_pfn; pfn++) {
		if (is_filled(pfn)) {
			if (first_wrong(page(pfn), pfn, generation[pfn]) != WORDS)
				name_bad(pfn);
		} else if (generation[pfn] == HOLE && xen_has_memory(pfn)) {
			if (!memory.filled_holes++)
				say("hole 0x%x has memory in it", pfn);
		}
	}
}
