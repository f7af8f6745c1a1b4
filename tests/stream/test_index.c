/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The index of a file against the plainest reading of it. */
#include "stream/fake_io.h"
#include "stream/player.h"
#include "stream/samples.h"
#include "stream/stage.h"

#include "lib/feed.h"
#include "lib/random.h"
#include "lib/rng.h"
#include "lib/sanitizer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct xr_stream *open_fd(int fd, enum xr_io io)
{
	struct xr_stream *s;
	struct xr_error e;

	cr_assert_eq(xr_stream_open(&s,
				    &(struct xr_stream_config){
					    .fd = fd, .io = io, .max_pfn = XR_PFN_LIMIT - 1 },
				    -1, &e),
		     0, "%s", e.text);
	return s;
}

static int memory_file(const struct builder *b)
{
	const int fd = memfd_create("stream", MFD_CLOEXEC);

	cr_assert_eq(write(fd, builder_data(b), builder_size(b)), (ssize_t)builder_size(b));
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void check_want(const struct xr_index *x, const struct refmodel *ref, uint64_t seed)
{
	cr_assert_eq(xr_pfnset_count(x->want), ref->backed, "XR_SEED=%lu", seed);
	for (uint64_t i = 0; i < ref->backed; i++)
		cr_assert(xr_pfnset_has(x->want, ref->pfns[i]), "XR_SEED=%lu", seed);
}

/* True if there was an index. */
struct told {
	uint64_t last, times;
	bool falls;
};

static void note_indexed(void *ctx, uint64_t offset)
{
	struct told *t = ctx;

	t->falls |= offset <= t->last;
	t->last = offset;
	t->times++;
}

Test(index, tells_how_far_it_is_after_each_record)
{
	const uint64_t pfns[] = { 1, 2, 3 };
	struct told told = { 0 };
	struct xr_stream_config cfg = { .max_pfn = XR_PFN_LIMIT - 1,
					.indexed = note_indexed,
					.ctx = &told };
	struct xr_index *x = NULL;
	struct xr_stream *s;
	struct builder b;
	struct xr_error e;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, false, false);
	for (unsigned int i = 0; i < 10; i++)
		builder_page_data(&b, pfns, 3, NULL);
	builder_end(&b, false, 0);
	cfg.fd = memory_file(&b);
	cr_assert_eq(xr_stream_open(&s, &cfg, -1, &e), 0, "%s", e.text);
	cr_assert_eq(xr_stream_index(s, &x, &e), 0, "%s", e.text);
	cr_assert_not_null(x);
	cr_expect_not(told.falls);
	cr_expect_eq(told.times, b.records - 1, "all but END");
	cr_expect(told.last > 10 * 3 * 4096 && told.last < x->end_offset);
	xr_index_free(x);
	xr_stream_close(&s);
	close(cfg.fd);
	builder_free(&b);
}

static bool one_seed(uint64_t seed)
{
	struct xr_index *x = NULL;
	struct random_options o;
	struct random_stream r;
	struct xr_stream *s;
	struct xr_error e;
	struct play p;
	struct feed f;
	char a[65], b[65];

	random_options_default(&o, seed);
	o.max_data = 150;
	o.features &= (unsigned int)~(RANDOM_VERIFY | RANDOM_EARLY_PARAMS | RANDOM_STRAY |
				      RANDOM_LOST_PARAMS);
	if (seed % 4)
		o.features &= (unsigned int)~(RANDOM_DUPLICATES | RANDOM_DISORDER);
	random_stream_make(&r, &o);
	cr_assert_eq(feed_open(&f, FEED_FILE, builder_data(&r.b), builder_size(&r.b), seed), 0);
	s = open_fd(f.fd, seed % 2 ? XR_IO_AUTO : XR_IO_PLAIN);
	cr_assert_eq(xr_stream_index(s, &x, &e), 0, "XR_SEED=%lu: %s", seed, e.text);
	if (x) {
		check_want(x, &r.ref, seed);
		cr_assert_eq(x->records, r.b.records);
		cr_assert_eq(x->pages, r.ref.pages, "XR_SEED=%lu", seed);
		cr_assert_eq(x->end_offset, (uint64_t)f.start + r.b.end_offset);
	}
	play_stream(&p, s, f.fd, NULL, x, NULL, NULL);
	cr_assert_eq(p.error.code, 0, "XR_SEED=%lu: %s", seed, p.error.text);
	refmodel_digest(&p.m, a);
	refmodel_digest(&r.ref, b);
	cr_assert_str_eq(a, b, "XR_SEED=%lu", seed);
	cr_assert(!x || p.live == x->live_pages, "XR_SEED=%lu: %lu live, not %lu", seed, p.live,
		  x ? x->live_pages : 0);
	xr_stream_close(&s);
	cr_assert_eq(lseek(f.fd, 0, SEEK_CUR), f.start + (off_t)r.b.end_offset);
	xr_index_free(x);
	play_free(&p);
	feed_close(&f);
	random_stream_free(&r);
	return x != NULL;
}

Test(index, random_streams_end_in_the_same_guest)
{
	const uint64_t given = sample_seed(0);
	unsigned int indexed = 0;

	for (uint64_t seed = given ? given : 1; seed < (given ? given + 1 : FEWER(250)); seed++)
		indexed += one_seed(seed);
	cr_assert(given || indexed > FEWER(50), "only %u of the streams had an index", indexed);
}

/* What happens to one pfn, pass by pass: D contents, A RAM without, X gone, . not named. */
static bool history(const char *h, struct xr_index **x, struct play *p)
{
	struct refmodel ref;
	struct xr_stream *s;
	struct xr_error e;
	struct builder b;
	const unsigned char *have, *want;
	bool same;
	int fd;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, false, false);
	for (; *h; h++) {
		const unsigned int type = *h == 'D' ? 0 : *h == 'A' ? XR_EMIT_XALLOC : XR_EMIT_XTAB;
		const uint64_t e3[] = { 5, XR_EMIT_ENTRY(type, 600), 5000 };

		builder_page_data(&b, (uint64_t[]){ 5, *h == '.' ? 5000 : e3[1], e3[2] },
				  *h == '.' ? 2 : 3, NULL);
	}
	builder_end(&b, false, 0);
	refmodel_init(&ref);
	cr_assert_neq(refmodel_stream(&ref, builder_data(&b), builder_size(&b), 0), 0);
	fd = memory_file(&b);
	s = open_fd(fd, XR_IO_AUTO);
	cr_assert_eq(xr_stream_index(s, x, &e), 0);
	play_stream(p, s, fd, NULL, *x, NULL, NULL);
	cr_assert_eq(p->error.code, 0, "%s", p->error.text);
	same = refmodel_backed(&p->m, 600) == refmodel_backed(&ref, 600);
	have = refmodel_page(&p->m, 600);
	want = refmodel_page(&ref, 600);
	same &= have && want ? !memcmp(have, want, 4096) : have == want;
	if (*x)
		cr_assert_eq(p->live, (*x)->live_pages);
	xr_stream_close(&s);
	close(fd);
	refmodel_free(&ref);
	builder_free(&b);
	return same;
}

Test(index, every_history_of_a_pfn_over_five_passes)
{
	char h[6] = "";

	for (unsigned int n = 1; n <= (TSAN ? 4 : 5); n++) {
		for (unsigned int code = 0; code < 1u << 2 * n; code++) {
			struct xr_index *x;
			struct play p;

			for (unsigned int i = 0; i < n; i++)
				h[i] = "DAX."[code >> 2 * i & 3];
			h[n] = 0;
			cr_assert(history(h, &x, &p), "%s", h);
			play_free(&p);
			xr_index_free(x);
		}
	}
}

Test(index, serves_the_usual_and_refuses_what_no_set_can_say)
{
	static const struct {
		const char *h;
		bool served;
	} cases[] = {
		{ "D", true },	 { "DD", true },   { "DXD", true },   { "DX", true },
		{ "DXA", true }, { "DXAD", true }, { "DDXA", false }, { "DA", true },
		{ "XD", true },	 { "XDXD", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xr_index *x;
		struct play p;

		cr_assert(history(cases[i].h, &x, &p));
		cr_assert_eq(x != NULL, cases[i].served, "%s", cases[i].h);
		cr_assert(!x || x->npasses == strlen(cases[i].h));
		play_free(&p);
		xr_index_free(x);
	}
}

static struct xr_index *index_of(const struct builder *b, int want, struct xr_error *e)
{
	const int fd = memory_file(b);
	struct xr_stream *s = open_fd(fd, XR_IO_AUTO);
	struct xr_index *x;

	xr_error_clear(e);
	cr_assert_eq(xr_stream_index(s, &x, e), want, "%s", e->text);
	xr_stream_close(&s);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	return x;
}

Test(index, shapes_that_it_does_not_serve)
{
	static const char *const shapes[] = { "VP", "PVP", "hP", "PhP", "PtP", "2", "d" };

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct xr_error e;
		struct builder b;

		builder_begin(&b, XR_EMIT_BARE, 3, false);
		builder_static(&b, false, false);
		for (const char *c = shapes[i]; *c; c++) {
			if (*c == 'P')
				builder_page_data(&b, (uint64_t[]){ 4 }, 1, NULL);
			else if (*c == 'V')
				builder_record(&b, XR_REC_VERIFY, NULL, 0);
			else if (*c == 'h')
				builder_params(&b, NULL, 0);
			else if (*c == 't')
				builder_tsc(&b);
			else if (*c == '2')
				builder_page_data(&b, (uint64_t[]){ 4, 4 }, 2, NULL);
			else
				builder_page_data(&b, (uint64_t[]){ 4, 3 }, 2, NULL);
		}
		builder_end(&b, false, 0);
		cr_assert_null(index_of(&b, 0, &e), "%s", shapes[i]);
		builder_free(&b);
	}
	struct xr_error e;
	struct builder b;

	sample_make(&b, SAMPLE_PV64, XR_EMIT_BARE, 0);
	cr_assert_null(index_of(&b, 0, &e));
	builder_free(&b);
}

Test(index, a_stream_error_is_found_and_told_exactly)
{
	for (unsigned int served = 0; served < 2; served++) {
		struct xr_error e;
		struct builder b;

		builder_begin(&b, XR_EMIT_BARE, 3, false);
		builder_static(&b, false, false);
		if (!served)
			builder_record(&b, XR_REC_VERIFY, NULL, 0);
		builder_page_data(&b, (uint64_t[]){ 4 }, 1, NULL);
		builder_page_data(&b, (uint64_t[]){ 5, XR_EMIT_ENTRY(6, 77) }, 2, NULL);
		builder_end(&b, false, 0);
		cr_assert_null(index_of(&b, -EBADMSG, &e));
		cr_assert_eq(e.pfn, 77);
		cr_assert_eq(e.record, 3 - served);
		cr_assert_eq(e.type, XR_REC_PAGE_DATA);
		b.sink.data[builder_size(&b) - 8] = 0x55;
		builder_free(&b);
	}
}

/* Between index and restore the file changes: an end of some kind, and sound items until then. */
Test(index, a_file_that_changes_after_it_is_read)
{
	const uint64_t given = sample_seed(0);

	for (uint64_t seed = given ? given : 1; seed < (given ? given + 1 : FEWER(80)); seed++) {
		struct rng g = rng_seed(seed);
		struct random_options o;
		struct random_stream r;
		struct xr_index *x;
		struct xr_stream *s;
		struct xr_error e;
		struct play p;
		int fd;

		random_options_default(&o, seed);
		o.max_data = 40;
		o.features = RANDOM_PASSES | RANDOM_BALLOON | RANDOM_OPTIONAL;
		o.max_pfns = 600; /* all of them have contents */
		random_stream_make(&r, &o);
		fd = memory_file(&r.b);
		s = open_fd(fd, XR_IO_AUTO);
		cr_assert_eq(xr_stream_index(s, &x, &e), 0);
		for (uint64_t hits = 1 + rng_below(&g, 6); hits; hits--) {
			const unsigned char bit = (unsigned char)(1u << rng_below(&g, 8));
			size_t at = rng_below(&g, builder_size(&r.b));

			at = rng_below(&g, 2) ? at : at % 300;
			cr_assert_eq(pwrite(fd, &bit, 1, (off_t)at), 1);
		}
		if (rng_below(&g, 8) == 0)
			cr_assert_eq(ftruncate(fd, (off_t)rng_below(&g, builder_size(&r.b))), 0);
		play_stream(&p, s, fd, NULL, x, NULL, NULL);
		cr_assert(p.error.code <= 0);
		xr_stream_close(&s);
		xr_index_free(x);
		play_free(&p);
		close(fd);
		random_stream_free(&r);
	}
}

/* A guest of 16 GiB, all types and no contents, takes next to no memory. */
Test(index, long_runs_are_cheap)
{
	const uint64_t pfns = FEWER(4u << 20) & ~(uint64_t)(XR_CHUNK - 1);
	uint64_t e[XR_CHUNK];
	struct xr_error err;
	struct xr_index *x;
	struct builder b;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, false, false);
	for (uint64_t pfn = 0; pfn < pfns; pfn += XR_CHUNK) {
		for (unsigned int i = 0; i < XR_CHUNK; i++)
			e[i] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, pfn + i);
		builder_page_data(&b, e, XR_CHUNK, NULL);
	}
	builder_end(&b, false, 0);
	x = index_of(&b, 0, &err);
	cr_assert_not_null(x);
	cr_assert_eq(x->npasses, 1);
	cr_assert_eq(xr_pfnset_count(x->want), pfns);
	cr_assert_eq(xr_pfnset_count(x->later), 0);
	cr_assert(xr_pfnset_bytes(x->want) < 2u << 20, "%zu bytes", xr_pfnset_bytes(x->want));
	xr_index_free(x);
	builder_free(&b);
}

/* A stopped read is the last one: the index asks for nothing more, and there is no index. */
Test(index, ends_with_the_read_that_a_cancel_ends)
{
	struct random_options o;
	struct random_stream r;
	uint64_t step;

	random_options_default(&o, sample_seed(3));
	o.max_data = 150;
	random_stream_make(&r, &o);
	step = builder_size(&r.b) / 300 + 1;
	for (uint64_t at = 0; at < builder_size(&r.b); at += step) {
		struct fake_io f = { .bytes = builder_data(&r.b),
				     .n = builder_size(&r.b),
				     .limit = UINT64_MAX,
				     .step = 1000,
				     .fail_at = at,
				     .fail = -ECANCELED,
				     .file = true,
				     .open = true };
		const int fd = memory_file(&r.b);
		struct xr_index *x = NULL;
		struct xr_stream *s;
		struct xr_error e;
		int rc;

		rc = xr_stream_open_io(
			&s, &(struct xr_stream_config){ .fd = fd, .max_pfn = XR_PFN_LIMIT - 1 }, -1,
			&fake_ops, &f, &e);
		if (!rc)
			rc = xr_stream_index(s, &x, &e);
		cr_expect_eq(f.reads, 0, "byte %lu: %lu reads more", at, f.reads);
		if (f.failed) {
			cr_expect_eq(rc, -ECANCELED, "byte %lu: %s", at, e.text);
			cr_expect_null(x);
		}
		xr_index_free(x);
		xr_stream_close(&s);
		cr_expect_not(f.open);
		close(fd);
	}
	random_stream_free(&r);
}

/* More records than there are marks, and one without a frame that is RAM between any two. */
static void make_many_records(struct builder *b, uint64_t records)
{
	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, true, true);
	for (uint64_t i = 0; i < records; i++) {
		const uint64_t e[] = { XR_EMIT_ENTRY(XR_EMIT_XALLOC, 4 * i),
				       XR_EMIT_ENTRY(XR_EMIT_XTAB, 4 * i + 1) };

		builder_page_data(b, e, 2, NULL);
	}
	for (uint64_t i = 0; i < 10; i++) {
		const uint64_t e = XR_EMIT_ENTRY(XR_EMIT_XALLOC, 4 * i + 1);

		builder_page_data(b, &e, 1, NULL);
	}
	builder_end(b, false, 0);
}

static void check_located(struct xr_stream *s, const struct xr_index *x, uint64_t pfn,
			  uint64_t record, uint64_t offset)
{
	struct xr_where at = XR_NOWHERE;

	cr_assert(xr_stream_locate(s, x, pfn, &at), "pfn %lu", pfn);
	cr_assert_eq(at.record, record, "pfn %lu: record %lu, not %lu", pfn, at.record, record);
	cr_assert_eq(at.offset, offset, "pfn %lu", pfn);
	cr_assert_eq(at.type, XR_REC_PAGE_DATA);
}

Test(index, finds_the_record_of_any_frame_again)
{
	const uint64_t records = 3 * XR_INDEX_MARKS + 17, first = 3, bytes = 32;
	struct xr_where at = XR_NOWHERE;
	struct xr_index *x = NULL;
	struct xr_stream *s;
	struct xr_error e;
	struct builder b;
	uint64_t begin;
	int fd;

	make_many_records(&b, records);
	fd = memory_file(&b);
	s = open_fd(fd, XR_IO_AUTO);
	cr_assert_eq(xr_stream_index(s, &x, &e), 0);
	cr_assert_not_null(x);
	cr_assert_eq(xr_stream_start(s, x, NULL), 0);
	begin = x->passes[0].begin;
	cr_assert_eq(x->passes[0].record, first);
	for (uint64_t i = 0; i < records; i += i < 9 ? 1 : 97)
		check_located(s, x, 4 * i, first + i, begin + i * bytes);
	check_located(s, x, 4 * (records - 1), first + records - 1, begin + (records - 1) * bytes);
	check_located(s, x, 9, first + records + 2, begin + records * bytes + 2 * 24);
	cr_assert_not(xr_stream_locate(s, x, 45, &at));
	cr_assert_not(xr_stream_locate(s, x, 4 * records, &at));
	cr_assert_eq(at.offset, XR_NO_OFFSET);
	xr_stream_close(&s);
	xr_index_free(x);
	builder_free(&b);
	close(fd);
}
