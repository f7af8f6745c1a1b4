/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict beside that of Xen's own verify-stream-v2: one, but for the differences that are
 * listed here, each with its reason.
 */
#include "inspect/look.h"

#include "inspect/mutants.h"
#include "inspect/verifier.h"
#include "lib/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MANY 240u

TestSuite(verify, .timeout = 600);

struct difference {
	const char *says, *because;
	unsigned int seen;
};

/* What inspect says of streams that Xen's verifier takes. */
static struct difference stricter[] = {
	{ .says = "STATIC_DATA_END", .because = "it knows no order of records" },
	{ .says = "X86_PV_INFO", .because = "nor this, nor that width and levels belong together" },
	{ .says = "X86_PV_P2M_FRAMES", .because = "nor this, nor does it count the frames" },
	{ .says = "in the stream of", .because = "nor which records go with which guest" },
	{ .says = "HVM_CONTEXT", .because = "it does not look into it, nor whether there is one" },
	{ .says = "is beyond", .because = "it knows no limits of pfns" },
	{ .says = "X86_PV_VCPU_", .because = "it takes blobs of any length" },
	{ .says = "byte-order mark", .because = "it passes over xl's header" },
	{ .says = "mandatory flags", .because = "likewise" },
	{ .says = "begins with a record of type", .because = "LIBXC_CONTEXT is one of many to it" },
	{ .says = "options that are not known", .because = "it knows only half of their bits" },
	{ .says = "stream is big-endian", .because = "it looks for the bit with a mask of 0" },
	{ .says = "Xen sets no HVM parameter", .because = "nor which parameters there are" },
	{ .says = "above 32 bits", .because = "nor of the numbers of parameters" },
};

/* What Xen's verifier says of streams that inspect takes. */
static struct difference looser[] = {
	{ .says = "Data not NUL terminated",
	  .because = "it compares a byte with a string, which differ in Python 3" },
};

#define NR(list) (sizeof(list) / sizeof((list)[0]))

static bool is_listed(struct difference *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (!strstr(text, list[i].says))
			continue;
		list[i].seen++;
		return true;
	}
	return false;
}

/* The texts of all that inspect objects to have a reason. */
static void expect_reasons(const struct inspect *in, const char *name, size_t at)
{
	for (unsigned int i = 0; i < in->nproblems; i++) {
		const struct inspect_problem *p = &in->problems[i];

		if (p->severity == INSPECT_NOTE)
			continue;
		cr_expect(is_listed(stricter, NR(stricter), p->what.text),
			  "stream %s, %zu: Xen takes it, inspect says: %s", name, at, p->what.text);
	}
}

/* Returns whether they agree. */
static bool compare(struct verifier *v, const struct inspect *in, const char *name, size_t at,
		    unsigned int *refused)
{
	char why[512] = "";
	const bool good = verifier_answer(v, why, sizeof(why));

	*refused += !good;
	if (good)
		expect_reasons(in, name, at);
	else if (in->worst == INSPECT_NOTE)
		cr_expect(is_listed(looser, NR(looser), why),
			  "stream %s, %zu: inspect takes it, Xen says: %s", name, at, why);
	return good == (in->worst == INSPECT_NOTE);
}

static void ask(struct verifier *v, const struct mutants *m, size_t step)
{
	for (unsigned int i = 0; i < m->streams; i++)
		verifier_put(v, m->stream[i].bytes, m->stream[i].size);
	for (size_t i = 0; i < m->n; i += step)
		verifier_ask(v, m->stream[m->all[i].stream].form, m->stream[m->all[i].stream].start,
			     &m->all[i]);
}

static struct inspect *look_at(const struct mutants *m, const struct variant *what)
{
	unsigned char *bytes = m->stream[what->stream].bytes, before[8];
	struct inspect *in;

	memcpy(before, bytes + what->at, what->n);
	memcpy(bytes + what->at, what->bytes, what->n);
	in = look(FEED_FILE, bytes, what->size, what->at);
	memcpy(bytes + what->at, before, what->n);
	return in;
}

/* Every difference is met, so that the lists hold no idle excuses. */
static void expect_all_seen(const struct difference *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cr_expect_gt(list[i].seen, 0, "'%s' is listed and was not met", list[i].says);
}

Test(verify, mutants_are_judged_as_by_xen)
{
	const size_t step = 8 / seeds(8); /* all, or few where a run takes long */
	unsigned int asked = 0, refused = 0, agreed = 0;
	struct verifier v;
	struct mutants m;

	if (!verifier_open(&v))
		cr_skip_test("no xen-utils with verify-stream-v2 here");
	mutants_make(&m, 1);
	ask(&v, &m, step);
	for (size_t i = 0; i < m.n; i += step) {
		struct inspect *in = look_at(&m, &m.all[i]);

		asked++;
		agreed += compare(&v, in, m.stream[m.all[i].stream].name, i, &refused);
		unlook(in);
	}
	verifier_close(&v);
	if (step == 1) {
		expect_all_seen(stricter, NR(stricter));
		expect_all_seen(looser, NR(looser));
	}
	cr_expect_gt(refused, asked / 3, "%u of %u", refused, asked);
	cr_expect_lt(refused, asked - asked / 10, "%u of %u", refused, asked);
	cr_expect_gt(agreed, asked - asked / 4, "%u of %u", agreed, asked);
	mutants_free(&m);
}

/* One bit of the records' heads is changed. */
static void break_it(struct random_stream *s, struct rng *r)
{
	size_t at = s->b.libxc_offset + 40;

	for (unsigned int i = (unsigned int)rng_below(r, 12); i; i--) {
		uint32_t head[2];

		memcpy(head, builder_data(&s->b) + at, 8);
		if (head[0])
			at += 8 + ((head[1] + 7) & ~7u);
	}
	if (rng_chance(r, 1, 5))
		at = s->b.libxc_offset;
	s->b.sink.data[at + rng_below(r, 32)] ^= (unsigned char)(1u << rng_below(r, 8));
}

/* Three of four are broken. */
static struct inspect *make(struct verifier *v, unsigned int seed)
{
	struct rng r = rng_seed(seed);
	struct variant whole = { 0 };
	struct random_options o;
	struct random_stream s;
	struct inspect *in;
	bool libxl;

	random_options_default(&o, seed);
	o.max_data = 40;
	o.max_pfns = 900;
	o.features &= ~(unsigned int)(seed % 4 ? 0 : RANDOM_OPTIONAL);
	random_stream_make(&s, &o);
	if (seed % 4)
		break_it(&s, &r);
	libxl = s.layer != XR_EMIT_BARE;
	in = look(FEED_PIPE, builder_data(&s.b), builder_size(&s.b), seed);
	whole.size = builder_size(&s.b);
	whole.stream = verifier_put(v, builder_data(&s.b), whole.size);
	/* The libxl stream begins 24 bytes before the libxc stream. */
	verifier_ask(v, libxl ? "libxl" : "libxc", libxl ? s.b.libxc_offset - 24 : 0, &whole);
	random_stream_free(&s);
	return in;
}

Test(verify, wild_streams_are_judged_as_by_xen)
{
	static struct inspect *in[MANY];
	unsigned int refused = 0, agreed = 0;
	struct verifier v;

	if (!verifier_open(&v))
		cr_skip_test("no xen-utils with verify-stream-v2 here");
	for (unsigned int i = 0; i < MANY; i++)
		in[i] = make(&v, i);
	for (unsigned int i = 0; i < MANY; i++) {
		agreed += compare(&v, in[i], "at random", i, &refused);
		unlook(in[i]);
	}
	verifier_close(&v);
	cr_expect_gt(refused, MANY / 6);
	cr_expect_gt(agreed, MANY / 2);
}
