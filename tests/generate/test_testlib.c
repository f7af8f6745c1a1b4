/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tools of the tests themselves: a property suite is worth what its streams and model are. */
#include "lib/digest.h"
#include "lib/feed.h"
#include "lib/isolate.h"
#include "lib/random.h"
#include "lib/rng.h"
#include "lib/sanitizer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XTAB(pfn) XR_EMIT_ENTRY(XR_EMIT_XTAB, pfn)
#define BROKEN(pfn) XR_EMIT_ENTRY(XR_EMIT_BROKEN, pfn)
#define XALLOC(pfn) XR_EMIT_ENTRY(XR_EMIT_XALLOC, pfn)

static unsigned char zeros[4096];

static struct refmodel model_of(struct builder *b)
{
	struct refmodel m;

	refmodel_init(&m);
	cr_assert_eq(refmodel_stream(&m, builder_data(b), builder_size(b), b->libxc_offset),
		     b->end_offset, "%s", m.broken);
	return m;
}

static void assert_fill(const struct refmodel *m, uint64_t pfn, uint64_t serial)
{
	unsigned char page[4096];

	builder_fill(pfn, serial, page);
	cr_assert_arr_eq(refmodel_page(m, pfn), page, 4096, "pfn %lu", pfn);
}

static void begin(struct builder *b)
{
	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, true, true);
}

Test(refmodel, the_last_writer_wins)
{
	struct builder b;
	struct refmodel m;

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ 5, 6, 7 }, 3, NULL);
	builder_page_data(&b, (uint64_t[]){ 6, XALLOC(7), XALLOC(8) }, 3, NULL);
	builder_end(&b, false, 3);
	m = model_of(&b);
	cr_assert_eq(m.backed, 4);
	assert_fill(&m, 5, 3);
	assert_fill(&m, 6, 4);
	assert_fill(&m, 7, 3);
	cr_assert_null(refmodel_page(&m, 8));
	refmodel_free(&m);
	builder_free(&b);
}

Test(refmodel, a_frame_taken_away_is_forgotten)
{
	struct builder b;
	struct refmodel m;

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ 1, 2, 3, 4 }, 4, NULL);
	builder_page_data(&b, (uint64_t[]){ XTAB(1), BROKEN(2), XTAB(3), XALLOC(3) }, 4, NULL);
	builder_page_data(&b, (uint64_t[]){ XALLOC(2) }, 1, NULL);
	builder_end(&b, false, 0);
	m = model_of(&b);
	cr_assert_eq(m.backed, 3);
	cr_assert_eq(m.peak, 4);
	cr_assert_not(refmodel_backed(&m, 1));
	cr_assert_null(refmodel_page(&m, 2));
	cr_assert_null(refmodel_page(&m, 3));
	assert_fill(&m, 4, 3);
	refmodel_free(&m);
	builder_free(&b);
}

Test(refmodel, params_clear_their_pages_in_stream_order)
{
	struct xr_emit_param params[] = { { 1, 10 }, { 17, 11 }, { 5, 12 }, { 6, 99 }, { 27, 13 } };
	struct builder b;
	struct refmodel m;

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ 10, 11, 12, 13 }, 4, NULL);
	builder_params(&b, params, 5);
	builder_page_data(&b, (uint64_t[]){ 12 }, 1, NULL);
	builder_end(&b, false, 0);
	m = model_of(&b);
	cr_assert_arr_eq(refmodel_page(&m, 10), zeros, 4096);
	cr_assert_arr_eq(refmodel_page(&m, 11), zeros, 4096);
	assert_fill(&m, 12, 5);
	assert_fill(&m, 13, 3);
	cr_assert_not(refmodel_backed(&m, 99));
	cr_assert_eq(m.params[17], 11);
	cr_assert_eq(m.params[2], ~0ull);
	refmodel_free(&m);
	builder_free(&b);
}

Test(refmodel, verify_compares_and_changes_nothing)
{
	unsigned char pages[2][4096];
	struct builder b;
	struct refmodel m;

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ 1, 2 }, 2, NULL);
	builder_record(&b, XR_EMIT_VERIFY, NULL, 0);
	builder_fill(1, 3, pages[0]);
	builder_fill(2, 77, pages[1]);
	builder_page_data(&b, (uint64_t[]){ 1, 2 }, 2, pages);
	builder_end(&b, false, 0);
	m = model_of(&b);
	cr_assert_eq(m.differences, 1);
	assert_fill(&m, 2, 3);
	refmodel_free(&m);
	builder_free(&b);
}

Test(refmodel, a_broken_stream_is_noticed)
{
	struct builder b;
	struct refmodel m;

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ 1, 2 }, 2, NULL);
	builder_end(&b, false, 0);
	for (size_t size = b.libxc_offset; size < b.end_offset; size++) {
		refmodel_init(&m);
		cr_assert_eq(refmodel_stream(&m, builder_data(&b), size, b.libxc_offset), 0);
		cr_assert_not_null(m.broken);
		refmodel_free(&m);
	}
	builder_free(&b);
}

Test(digest, is_sha256_over_pfn_and_page)
{
	/* sha256sum of 01 00.. (8 bytes) and 4096 zeros; of nothing */
	static const char one[] =
		"9dd1d47c77ea9ab4830e1533c2f2b8fc2d60e2a2fec351b608813e8bd6af3e12";
	static const char none[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	struct builder b;
	struct refmodel m;
	char hex[65];

	begin(&b);
	builder_end(&b, false, 0);
	m = model_of(&b);
	refmodel_digest(&m, hex);
	cr_assert_str_eq(hex, none);
	refmodel_free(&m);
	builder_free(&b);

	begin(&b);
	builder_page_data(&b, (uint64_t[]){ XALLOC(1) }, 1, NULL);
	builder_end(&b, false, 0);
	m = model_of(&b);
	refmodel_digest(&m, hex);
	cr_assert_str_eq(hex, one);
	refmodel_free(&m);
	builder_free(&b);
}

Test(random, a_seed_is_one_stream)
{
	for (uint64_t seed = 0; seed < FEWER(50u); seed++) {
		struct random_options o;
		struct random_stream a, b;

		random_options_default(&o, seed);
		random_stream_make(&a, &o);
		random_stream_make(&b, &o);
		cr_assert_eq(builder_size(&a.b), builder_size(&b.b));
		cr_assert_arr_eq(builder_data(&a.b), builder_data(&b.b), builder_size(&a.b));
		random_stream_free(&a);
		random_stream_free(&b);
	}
}

/* Without this a change to the dice could quietly stop a kind of stream from being tried. */
Test(random, all_kinds_of_streams_come_up)
{
	unsigned int empty = 0, single = 0, high = 0, whole = 0, differing = 0, balloon = 0;
	unsigned int trailing = 0, layers[4] = { 0 }, versions[4] = { 0 };

	for (uint64_t seed = 0; seed < 600; seed++) {
		struct random_options o;
		struct random_stream s;

		random_options_default(&o, seed);
		random_stream_make(&s, &o);
		empty += s.ref.backed == 0;
		single += s.ref.backed == 1;
		high += s.ref.highest == (1ull << 36) - 1;
		whole += s.ref.whole_2m > 0;
		differing += s.ref.differences > 0;
		balloon += s.ref.peak > s.ref.backed;
		trailing += builder_size(&s.b) > s.b.end_offset + 8;
		layers[s.layer]++;
		versions[s.version]++;
		random_stream_free(&s);
	}
	cr_assert(empty > 5 && single > 1 && high > 30 && whole > 60 && differing > 10);
	cr_assert(balloon > 60 && trailing > 200 && versions[2] > 60 && versions[3] > 200);
	cr_assert(layers[0] > 100 && layers[1] > 50 && layers[2] > 50 && layers[3] > 50);
}

Test(random, features_can_be_taken_away)
{
	for (uint64_t seed = 0; seed < FEWER(100u); seed++) {
		struct random_options o;
		struct random_stream s;

		random_options_default(&o, seed);
		o.features = 0;
		o.max_pfns = 300;
		random_stream_make(&s, &o);
		cr_assert_eq(s.ref.peak, s.ref.backed);
		cr_assert_eq(s.ref.pages, s.ref.backed);
		cr_assert_eq(s.layer, XR_EMIT_BARE);
		cr_assert_eq(builder_size(&s.b), s.b.end_offset);
		random_stream_free(&s);
	}
}

Test(feed, every_kind_delivers_the_bytes_and_keeps_the_rest)
{
	size_t n = 300000, first = 123457;
	unsigned char *sent = malloc(n), *got = malloc(n + 1);
	struct rng r = rng_seed(1);

	for (size_t i = 0; i < n; i++)
		sent[i] = (unsigned char)rng_next(&r);
	for (enum feed_kind k = 0; k < FEED_KINDS; k++) {
		for (uint64_t seed = 0; seed < 6; seed++) {
			struct feed f;

			cr_assert_eq(feed_open(&f, k, sent, n, seed), 0, "%s", feed_kind_name(k));
			cr_assert_eq(lseek(f.fd, 0, SEEK_CUR), k == FEED_FILE ? f.start : -1);
			cr_assert_eq(feed_rest(&f, got, first), (ssize_t)first);
			cr_assert_arr_eq(got, sent, first);
			cr_assert_eq(feed_rest(&f, got, n + 1), (ssize_t)(n - first));
			cr_assert_arr_eq(got, sent + first, n - first);
			feed_close(&f);
		}
	}
	free(sent);
	free(got);
}

static bool as_told(void *arg, char *why, size_t room)
{
	int what = *(int *)arg;

	snprintf(why, room, "step %d", what);
	if (what == 2)
		abort();
	return what == 0;
}

Test(isolate, tells_what_went_wrong)
{
	char why[ISOLATE_WHY];

	cr_assert(isolated(as_told, &(int){ 0 }, why));
	cr_assert_not(isolated(as_told, &(int){ 1 }, why));
	cr_assert_str_eq(why, "step 1");
	cr_assert_not(isolated(as_told, &(int){ 2 }, why));
	cr_assert(strstr(why, "signal 6") && strstr(why, "step 2"), "%s", why);
}
