/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is found equals the reference model, and the plan what a restore does. */
#include "inspect/look.h"

#include "lib/rng.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(inspect, .timeout = 300);

static void expect_param(const struct inspect *in, uint64_t index, uint64_t value, uint64_t seed)
{
	uint64_t found = ~0ull;

	for (unsigned int i = 0; i < in->guest.nparams; i++)
		if (in->guest.params[i].index == index)
			found = in->guest.params[i].value;
	cr_expect_eq(found, value, "seed %lu, parameter %lu", seed, index);
}

static void expect_equal(const struct inspect *in, const struct random_stream *s, uint64_t seed)
{
	const struct refmodel *m = &s->ref;

	cr_expect(in->ended && in->headers, "seed %lu", seed);
	cr_expect_eq(in->info.version, s->version, "seed %lu", seed);
	cr_expect_eq(in->info.libxc_offset, s->b.libxc_offset, "seed %lu", seed);
	cr_expect_eq(in->records, m->records, "seed %lu: %lu records", seed, in->records);
	cr_expect_eq(in->pages, m->pages, "seed %lu: %lu contents", seed, in->pages);
	cr_expect_eq(in->highest, m->highest, "seed %lu: highest %#lx", seed, in->highest);
	cr_expect_eq(in->verify, m->verify, "seed %lu", seed);
	cr_expect_eq(xr_pfnset_count(in->ram), m->backed, "seed %lu: %lu frames, not %lu", seed,
		     xr_pfnset_count(in->ram), m->backed);
	for (uint64_t i = 0; i < m->backed; i++)
		cr_assert(xr_pfnset_has(in->ram, m->pfns[i]), "seed %lu: pfn %#lx", seed,
			  m->pfns[i]);
	cr_expect_eq(in->plan.whole_2m, m->whole_2m, "seed %lu", seed);
	cr_expect_eq(in->plan.extents_4k + 512 * in->plan.extents_2m, m->backed, "seed %lu", seed);
	for (uint64_t i = 0; i < INSPECT_PARAMS; i++)
		expect_param(in, i, m->params[i], seed);
	cr_expect_neq(in->worst, INSPECT_BAD, "seed %lu: %s", seed, in->problems[0].what.text);
	for (unsigned int i = 0; i < in->nproblems; i++)
		cr_expect(in->problems[i].severity == INSPECT_NOTE ||
				  (in->skipped && strstr(in->problems[i].what.text, "optional")) ||
				  strstr(in->problems[i].what.text, "reserved bits of entries"),
			  "seed %lu: %s", seed, in->problems[i].what.text);
}

static void sums_agree(const struct inspect *in, uint64_t seed)
{
	uint64_t by_type = in->skipped, entries = 0, named = 0, contents = 0;

	for (unsigned int i = 0; i < INSPECT_RECORD_TYPES; i++)
		by_type += in->by_type[i];
	for (unsigned int i = 0; i < 16; i++)
		entries += in->entries[i];
	for (unsigned int i = 0; i < in->npasses && i < INSPECT_PASSES; i++) {
		named += in->passes[i].entries;
		contents += in->passes[i].contents;
	}
	cr_expect_eq(by_type, in->records, "seed %lu", seed);
	cr_expect_eq(named, entries, "seed %lu", seed);
	cr_expect_eq(contents, in->pages, "seed %lu", seed);
}

static uint64_t count_zero(const struct builder *b)
{
	static const unsigned char zero[4096];
	const unsigned char *at = builder_data(b) + b->libxc_offset + 40;
	uint32_t head[3];
	uint64_t n = 0;

	for (;; at += 8 + ((head[1] + 7) & ~7u)) {
		memcpy(head, at, sizeof(head));
		if (!head[0])
			return n;
		for (uint32_t i = 8 + 8 * head[2]; head[0] == 1 && i < head[1]; i += 4096)
			n += !memcmp(at + 8 + i, zero, sizeof(zero));
	}
}

static void check_seed(uint64_t seed, enum feed_kind kind)
{
	struct random_options o;
	struct random_stream s;
	struct inspect *in;

	random_options_default(&o, seed);
	random_stream_make(&s, &o);
	in = look(kind, builder_data(&s.b), builder_size(&s.b), seed);
	expect_equal(in, &s, seed);
	sums_agree(in, seed);
	if (kind == FEED_PIPE)
		cr_expect(in->contents_read && in->zero_pages == count_zero(&s.b), "seed %lu: %lu",
			  seed, in->zero_pages);
	unlook(in);
	random_stream_free(&s);
}

Test(inspect, files_are_counted_as_the_model_counts)
{
	for (uint64_t seed = 0; seed < seeds(400); seed++)
		check_seed(seed, FEED_FILE);
}

Test(inspect, pipes_are_counted_as_the_model_counts)
{
	for (uint64_t seed = 0; seed < seeds(60); seed++)
		check_seed(seed, FEED_PIPE);
}

/* Of a stream that an index serves, the plan is exactly what happens. */
Test(inspect, the_plan_is_what_a_restore_does)
{
	unsigned int indexed = 0;

	for (uint64_t seed = 0; seed < seeds(150); seed++) {
		struct random_options o;
		struct random_stream s;
		struct xr_result res;
		struct xr_error err;
		struct inspect *in;

		random_options_default(&o, seed);
		o.features &= ~(unsigned int)(RANDOM_FAR |
					      (seed % 2 ? RANDOM_DISORDER | RANDOM_DUPLICATES : 0));
		random_stream_make(&s, &o);
		in = look(FEED_FILE, builder_data(&s.b), builder_size(&s.b), seed);
		cr_assert_eq(restore(builder_data(&s.b), builder_size(&s.b), seed, &res, &err), 0,
			     "seed %lu: %s", seed, err.text);
		cr_expect_eq(in->plan.indexed, res.indexed, "seed %lu", seed);
		if (res.indexed) {
			indexed++;
			cr_expect_eq(in->plan.extents_2m, res.extents_2m, "seed %lu: %lu x 2M",
				     seed, in->plan.extents_2m);
			cr_expect_eq(in->plan.extents_4k, res.extents_4k, "seed %lu", seed);
			cr_expect_eq(in->npasses, res.passes, "seed %lu", seed);
			cr_expect_eq(in->pages, res.pages_received, "seed %lu", seed);
			cr_expect_eq(in->live_pages, res.pages_written, "seed %lu", seed);
		}
		unlook(in);
		random_stream_free(&s);
	}
	cr_expect_gt(indexed, seeds(150) / 8);
}

/* 4 GiB that are RAM but for the given holes, without contents. */
static void list_memory(struct builder *b, const uint64_t *holes, size_t n)
{
	uint64_t entries[1024];

	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, true, true);
	for (uint64_t pfn = 0; pfn < 1u << 20; pfn += 1024) {
		for (uint64_t i = 0; i < 1024; i++) {
			unsigned int type = XR_EMIT_XALLOC;

			for (size_t k = 0; k < n; k++)
				type = holes[k] == pfn + i ? XR_EMIT_XTAB : type;
			entries[i] = XR_EMIT_ENTRY(type, pfn + i);
		}
		builder_page_data(b, entries, 1024, NULL);
	}
}

Test(inspect, a_region_that_is_not_large_has_its_reason)
{
	uint64_t holes[3 + 32] = { 1024 + 511, 4096, 4097 };
	const uint64_t gone = XR_EMIT_ENTRY(XR_EMIT_XTAB, 0x80003);
	struct builder b;
	struct inspect *in;

	for (uint64_t i = 0; i < 32; i++)
		holes[3 + i] = 0xa0 + i;
	list_memory(&b, holes, 35);
	builder_page_data(&b, &gone, 1, NULL);
	builder_context(&b);
	builder_end(&b, false, 0);
	in = look(FEED_FILE, builder_data(&b), builder_size(&b), 1);
	cr_expect_eq(in->plan.why[INSPECT_HOLES], 2);
	cr_expect_eq(in->plan.why[INSPECT_VGA], 1);
	cr_expect_eq(in->plan.why[INSPECT_TAKEN], 1);
	cr_expect_eq(in->plan.why[INSPECT_LATE] + in->plan.why[INSPECT_STRETCH_END], 0);
	cr_expect_eq(in->plan.extents_2m, 2048 - 4);
	cr_expect_eq(in->plan.whole_1g, 2);
	cr_expect_eq(in->plan.nreasons, 4);
	cr_expect_eq(in->plan.reasons[1].first, 2);
	cr_expect_eq(in->plan.reasons[1].missing, 1);
	cr_expect_eq(in->passes[1].taken, 1);
	unlook(in);
	builder_free(&b);
}

/* Random sends, and however the cells grew: nothing is lost, and it lies where it was sent. */
Test(inspect, heat_is_kept_whatever_the_guest_grows_to)
{
	for (uint64_t seed = 0; seed < seeds(60); seed++) {
		struct rng r = rng_seed(seed);
		struct heat h = { 0 };
		const unsigned int bits = 10 + (unsigned int)rng_below(&r, 26);
		uint64_t sent = 0, low = 0, half = 1ull << (bits - 1), sum = 0;

		for (unsigned int i = 0; i < 500; i++) {
			const uint64_t n = 1 + rng_below(&r, 64);
			const uint64_t pfn = rng_below(&r, (1ull << bits) - 64);
			const bool is_low = pfn + n <= half;

			if (!is_low && pfn < half)
				continue; /* on both sides */
			cr_assert_eq(heat_add(&h, 2 + (unsigned int)rng_below(&r, 9), pfn, n), 0);
			sent += n;
			low += is_low ? n : 0;
		}
		for (unsigned int i = 0; i < HEAT_PASSES; i++) {
			sum += heat_sum(&h, i, 0, 1ull << bits);
			low -= heat_sum(&h, i, 0, half);
		}
		cr_expect_eq(sum, sent, "seed %lu", seed);
		cr_expect_eq(low, 0, "seed %lu", seed);
		heat_free(&h);
	}
}

/* Zero pages are those that are: of a generated guest, by its oracle. */
Test(inspect, zero_pages_are_counted)
{
	for (unsigned int permille = 0; permille <= 1000; permille += 250) {
		static const unsigned char zero[4096];
		unsigned char page[4096];
		uint64_t entry, expected = 0;
		struct builder b;
		struct inspect *in;

		builder_begin(&b, XR_EMIT_BARE, 3, false);
		builder_static(&b, true, true);
		for (uint64_t pfn = 0; pfn < 400; pfn++) {
			const bool is_zero = pfn * 7919 % 1000 < permille;

			memset(page, 0, sizeof(page));
			page[pfn * 31 % 4096] = 1;
			entry = XR_EMIT_ENTRY(XR_EMIT_NOTAB, pfn);
			builder_page_data(&b, &entry, 1, is_zero ? zero : page);
			expected += is_zero;
		}
		builder_context(&b);
		builder_end(&b, false, 0);
		in = look_with(FEED_FILE, builder_data(&b), builder_size(&b), 1, true, false);
		cr_expect_eq(in->zero_pages, expected, "%lu of %lu", in->zero_pages, expected);
		unlook(in);
		builder_free(&b);
	}
}
