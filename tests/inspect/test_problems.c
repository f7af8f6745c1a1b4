/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with a stream is found, all of it, and told as a restore would tell it. */
#include "inspect/look.h"

#include "lib/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(problems, .timeout = 300);

static void begin(struct builder *b, enum xr_emit_layer layer)
{
	static const uint64_t entries[] = { 0, 1, 2, 3 };

	builder_begin(b, layer, 3, false);
	builder_static(b, true, true);
	builder_page_data(b, entries, 4, NULL);
}

static void finish(struct builder *b)
{
	static const struct xr_emit_param param = { XR_EMIT_STORE_PFN, 2 };

	builder_tsc(b);
	builder_context(b);
	builder_params(b, &param, 1);
	builder_end(b, true, 0);
}

Test(problems, one_does_not_hide_the_next)
{
	static const uint32_t params[2] = { 7, 0 };
	static const uint64_t reserved = XR_EMIT_ENTRY(6, 9);
	const struct inspect_problem *p;
	size_t at[3];
	struct builder b;
	struct inspect *in;

	begin(&b, XR_EMIT_XL);
	builder_record(&b, 10, params, sizeof(params));
	at[0] = b.last_record;
	builder_record(&b, 0x77, NULL, 0);
	at[1] = b.last_record;
	builder_record(&b, 1, (uint64_t[]){ 1, reserved }, 16);
	at[2] = b.last_record;
	finish(&b);
	in = look(FEED_PIPE, builder_data(&b), builder_size(&b), 3);
	cr_expect_eq(in->nproblems, 3, "%u", in->nproblems);
	p = problem(in, INSPECT_BAD, "HVM_PARAMS: 7 entries");
	cr_expect(p && p->what.offset == at[0] && p->what.record == 4);
	p = problem(in, INSPECT_BAD, "unknown type 0x77");
	cr_expect(p && p->what.offset == at[1] && p->what.record == 5);
	p = problem(in, INSPECT_BAD, "reserved page type 0x6");
	cr_expect(p && p->what.offset == at[2] && p->what.pfn == 9);
	cr_expect(in->ended && in->guest.context && in->guest.nparams == 1);
	cr_expect(in->libxl_ended);
	unlook(in);
	builder_free(&b);
}

Test(problems, what_is_missing_is_told_once_and_the_rest_is_counted)
{
	static const uint64_t entries[] = { 5, 6 };
	struct builder b;
	struct inspect *in;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	for (unsigned int i = 0; i < 9; i++)
		builder_page_data(&b, entries, 2, NULL);
	finish(&b);
	in = look(FEED_PIPE, builder_data(&b), builder_size(&b), 3);
	cr_expect_not_null(problem(in, INSPECT_BAD, "without STATIC_DATA_END"));
	cr_expect_eq(in->problems[0].more, 0);
	cr_expect_eq(in->pages, 18);
	cr_expect(in->ended);
	unlook(in);
	builder_free(&b);
}

/* A stream of Remus: good, by a note that tells what restores it; its end is looked at all the
 * same. */
Test(problems, checkpoints_are_a_note_and_the_rest_is_checked)
{
	static const uint64_t entries[] = { 0, 1 };

	for (unsigned int whole = 0; whole < 2; whole++) {
		const struct inspect_problem *p;
		struct builder b;
		struct inspect *in;
		size_t at;

		begin(&b, XR_EMIT_LIBXL);
		builder_record(&b, XR_EMIT_CHECKPOINT, NULL, 0);
		at = b.last_record;
		builder_page_data(&b, entries, 2, NULL);
		builder_record(&b, XR_EMIT_CHECKPOINT, NULL, 0);
		if (whole)
			builder_context(&b);
		builder_end(&b, true, 0);
		in = look(FEED_PIPE, builder_data(&b), builder_size(&b), 3);
		p = problem(in, INSPECT_NOTE, "--type remus");
		cr_expect(p && p->what.offset == at && !p->more);
		cr_expect_eq(in->checkpoints, 2);
		cr_expect(in->ended && in->libxl_ended);
		cr_expect_eq(in->worst, whole ? INSPECT_NOTE : INSPECT_BAD);
		cr_expect_eq(problem(in, INSPECT_BAD, "no HVM_CONTEXT record") != NULL, !whole);
		unlook(in);
		builder_free(&b);
	}
}

/* A byte that must be zero, and what breaks the format without stopping a restore. */
struct odd {
	const char *word;
	unsigned int record; /* that it is in, as find() numbers them; 99: the headers */
	size_t at;	     /* from the record's header, or from the image header */
	unsigned char value;
};

static size_t find(const struct builder *b, uint32_t type)
{
	size_t at = b->libxc_offset + 40;
	uint32_t head[2];

	for (;;) {
		memcpy(head, builder_data(b) + at, 8);
		if (head[0] == type)
			return at;
		cr_assert_neq(head[0], 0);
		at += 8 + ((head[1] + 7) & ~7u);
	}
}

Test(problems, what_xen_forbids_and_a_restore_lets_pass_is_odd)
{
	static const struct odd odds[] = {
		{ "image header", 99, 16, 0x80 },
		{ "image header", 99, 18, 1 },
		{ "image header", 99, 23, 1 },
		{ "domain header", 99, 24 + 6, 1 },
		{ "PAGE_DATA: its res", 1, 12, 1 },
		{ "PAGE_DATA: reserved bits", 1, 16 + 6, 0x10 },
		{ "X86_TSC_INFO: a res", 8, 28, 1 },
		{ "HVM_PARAMS: a res", 10, 12, 1 },
	};

	for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
		const struct odd *o = &odds[i];
		struct xr_result res;
		struct xr_error err;
		struct builder b;
		struct inspect *in;
		size_t at;

		begin(&b, XR_EMIT_LIBXL);
		finish(&b);
		at = (o->record == 99 ? b.libxc_offset : find(&b, o->record)) + o->at;
		b.sink.data[at] ^= o->value;
		in = look(i % 2 ? FEED_FILE : FEED_PIPE, builder_data(&b), builder_size(&b), i);
		cr_expect_eq(in->worst, INSPECT_ODD, "%s: %d", o->word, in->worst);
		cr_expect_eq(in->nproblems, 1);
		cr_expect_not_null(problem(in, INSPECT_ODD, o->word), "%s", o->word);
		cr_expect_eq(restore(builder_data(&b), builder_size(&b), i, &res, &err), 0, "%s",
			     err.text);
		unlook(in);
		builder_free(&b);
	}
}

Test(problems, padding_that_is_not_zero_is_odd)
{
	static const unsigned char body[12] = { 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	struct builder b;
	struct inspect *in;

	begin(&b, XR_EMIT_BARE);
	builder_record(&b, 9, body, 9);
	b.sink.data[b.sink.len - 1] = 1;
	finish(&b);
	in = look(FEED_FILE, builder_data(&b), builder_size(&b), 3);
	cr_expect_not_null(problem(in, INSPECT_ODD, "HVM_CONTEXT: its padding"));
	unlook(in);
	builder_free(&b);
}

/* The chain of save records: every cut of it is seen. */
Test(problems, a_broken_context_is_bad)
{
	static const unsigned char chain[40] = { 1, 0, 0, 0, 24, 0, 0, 0, 0x86, 0x12, 0x38, 0x54 };

	for (uint32_t n = 1; n <= 40; n++) {
		struct builder b;
		struct inspect *in;

		begin(&b, XR_EMIT_BARE);
		builder_record(&b, 9, chain, n);
		builder_tsc(&b);
		builder_end(&b, true, 0);
		in = look(FEED_FILE, builder_data(&b), builder_size(&b), n);
		cr_expect_eq(in->worst == INSPECT_BAD, n != 40, "%u", n);
		unlook(in);
		builder_free(&b);
	}
}

Test(problems, the_libxl_stream_is_followed_to_its_end)
{
	const uint32_t emulator[] = { 3, 13, 2, 0, 0x55, 1 }, end[] = { 0, 0 };
	struct builder b;

	for (unsigned int n = 0; n <= sizeof(emulator) + sizeof(end); n++) {
		unsigned char bytes[sizeof(emulator) + sizeof(end)];
		struct inspect *in;

		begin(&b, XR_EMIT_XL);
		builder_tsc(&b);
		builder_context(&b);
		builder_end(&b, false, 0);
		b.sink.len = b.end_offset;
		memcpy(bytes, emulator, sizeof(emulator));
		memcpy(bytes + sizeof(emulator), end, sizeof(end));
		bytes[8 + 12] = 0;
		builder_raw(&b, bytes, n);
		in = look(n % 2 ? FEED_FILE : FEED_PIPE, builder_data(&b), builder_size(&b), n);
		cr_expect_eq(in->worst == INSPECT_BAD, n < sizeof(bytes), "%u: %s", n,
			     in->problems[0].what.text);
		cr_expect_eq(in->libxl_ended, n == sizeof(bytes));
		cr_expect_eq(in->emulator_bytes, n < 24 ? 0 : 13);
		unlook(in);
		builder_free(&b);
	}
}

/* Frames strewn over more places than are followed: said, and bounded. */
Test(problems, a_strewn_stream_takes_bounded_memory)
{
	uint64_t entries[1024];
	struct builder b;
	struct inspect *in;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, true, true);
	for (uint64_t i = 0; i < 1024; i++) {
		for (uint64_t k = 0; k < 1024; k++)
			entries[k] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, (i * 1024 + k) * 512 + 7);
		builder_page_data(&b, entries, 1024, NULL);
	}
	finish(&b);
	in = look(FEED_FILE, builder_data(&b), builder_size(&b), 3);
	cr_expect_not_null(problem(in, INSPECT_BAD, "strews"));
	cr_expect(in->strewn && in->ended && !in->plan.known);
	cr_expect_eq(in->entries[XR_EMIT_XALLOC], 1 << 20);
	cr_expect_lt(xr_pfnset_bytes(in->ram), INSPECT_BOOKS_BYTES + (1 << 20));
	unlook(in);
	builder_free(&b);
}

/* A few bytes of headers and page lists changed at random, or the stream cut. */
static size_t damage(struct random_stream *s, struct rng *r)
{
	size_t size = builder_size(&s->b), at = s->b.libxc_offset;
	unsigned char *bytes = s->b.sink.data;

	if (rng_chance(r, 1, 4))
		return rng_below(r, size);
	for (unsigned int i = (unsigned int)rng_below(r, 40); i; i--) {
		uint32_t head[2];

		memcpy(head, bytes + at, 8);
		if (at == s->b.libxc_offset)
			at += 40;
		else if (head[0] && at + 8 + head[1] < size)
			at += 8 + ((head[1] + 7) & ~7u);
	}
	at += rng_below(r, 40);
	if (at < size)
		bytes[at] ^= (unsigned char)(1u << rng_below(r, 8));
	return size;
}

/* Bad, but not for the model: the chain that Xen itself reads, and libxl's records at the end. */
static void only_later_ones(const struct inspect *in, uint64_t seed)
{
	for (unsigned int i = 0; i < in->nproblems; i++) {
		const struct inspect_problem *p = &in->problems[i];

		cr_expect(p->severity != INSPECT_BAD || p->what.offset >= in->end_offset ||
				  strstr(p->what.text, "HVM_CONTEXT: "),
			  "seed %lu: %s", seed, p->what.text);
	}
}

/*
 * What a restore says of a damaged stream is among the problems; and what is not bad is restored.
 * Further errors may be found before the restore's: an index looks at all before it.
 */
Test(problems, a_restore_fails_if_and_as_it_is_told)
{
	unsigned int bad = 0;

	for (uint64_t seed = 0; seed < seeds(400); seed++) {
		struct rng r = rng_seed(seed);
		struct random_options o;
		struct random_stream s;
		struct xr_result res;
		struct xr_error err;
		struct inspect *in;
		size_t n;
		int rc;

		random_options_default(&o, seed);
		o.max_data = 40;
		o.max_pfns = 900;
		random_stream_make(&s, &o);
		n = damage(&s, &r);
		in = look(FEED_FILE, builder_data(&s.b), n, seed);
		rc = restore(builder_data(&s.b), n, seed, &res, &err);
		if (!rc)
			only_later_ones(in, seed);
		else if (err.stage == XR_STAGE_STREAM)
			cr_expect_not_null(problem(in, INSPECT_BAD, err.text), "seed %lu: %s", seed,
					   err.text);
		bad += rc != 0;
		unlook(in);
		random_stream_free(&s);
	}
	cr_expect_gt(bad, seeds(400) / 5);
}
