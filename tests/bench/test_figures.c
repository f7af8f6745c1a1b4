/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures of the bench: statistics, what contenders print, what follows, options, the page. */
#include "bench/bench.h"
#include "generate/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed(void)
{
	const char *text = getenv("XR_SEED");

	return text ? strtoull(text, NULL, 0) : 1;
}

static double draw(uint64_t *x)
{
	*x = *x * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(*x >> 40);
}

/* The share of values below and above a quantile, counted without sorting. */
static void check_quantile(const double *v, size_t n, double at, double q, uint64_t s)
{
	size_t below = 0, above = 0;

	for (size_t i = 0; i < n; i++) {
		below += v[i] < at;
		above += v[i] > at;
	}
	cr_assert((double)below <= ceil(q * (double)(n - 1)), "XR_SEED=%llu n %zu q %.2f",
		  (unsigned long long)s, n, q);
	cr_assert((double)above <= ceil((1 - q) * (double)(n - 1)), "XR_SEED=%llu n %zu q %.2f",
		  (unsigned long long)s, n, q);
}

Test(stats, quartiles_part_the_values)
{
	for (uint64_t s = seed(); s < seed() + 2000; s++) {
		uint64_t x = s;
		double v[64];
		const size_t n = 1 + s % 64;
		struct bench_stats st;

		for (size_t i = 0; i < n; i++)
			v[i] = floor(draw(&x) / (s % 3 ? 1 : 1 << 21));
		st = bench_stats(v, n);
		cr_assert_eq(st.n, n);
		cr_assert(st.min <= st.q1 && st.q1 <= st.median && st.median <= st.q3 &&
				  st.q3 <= st.max,
			  "XR_SEED=%llu", (unsigned long long)s);
		check_quantile(v, n, st.q1, 0.25, s);
		check_quantile(v, n, st.median, 0.5, s);
		check_quantile(v, n, st.q3, 0.75, s);
	}
}

Test(stats, interpolates)
{
	const double v[] = { 4, 1, 3, 2 };
	const struct bench_stats s = bench_stats(v, 4);

	cr_assert_float_eq(s.q1, 1.75, 1e-9);
	cr_assert_float_eq(s.median, 2.5, 1e-9);
	cr_assert_float_eq(s.q3, 3.25, 1e-9);
	cr_assert_eq(bench_stats(v, 0).n, 0);
}

static const char ours[] =
	"{\"seconds\": 2.0, \"pages\": {\"populated\": 262144, \"extents_2m\": 10, \"extents_1g\": 1},"
	" \"calls\": {\"populate\": 8, \"release\": 0, \"map\": 4, \"unmap\": 4, \"other\": 2},"
	" \"checkpoints\": 5, \"apply_seconds\": 0.5, \"apply_seconds_longest\": 0.25,"
	" \"workers\": 2, \"worker_kind\": \"process\", \"io_uring\": true, \"indexed\": false,"
	" \"stages\": {\"stream\": {\"busy_seconds\": 0.5, \"starved_seconds\": 1.5,"
	" \"blocked_seconds\": 0.0}, \"populate\": {\"busy_seconds\": 0.25, \"starved_seconds\": 1,"
	" \"blocked_seconds\": 0.0}, \"copy\": {\"busy_seconds\": 2.0, \"starved_seconds\": 2.0,"
	" \"blocked_seconds\": 0.0}}}";

Test(parse, takes_what_ours_prints)
{
	struct bench_run r = { 0 };

	cr_assert_eq(bench_parse(BENCH_OURS, ours, &r), 0);
	cr_assert_eq(r.seconds, 2.0);
	cr_assert_eq(r.populated, 262144);
	cr_assert_eq(r.whole_2m, 522);
	cr_assert_eq(r.workers, 2);
	cr_assert_eq(r.apply, 0.125, "of four: the first is written as it comes");
	cr_assert_eq(r.apply_longest, 0.25);
	cr_assert_eq(r.calls[BENCH_CALL_POPULATE], 8);
	cr_assert(r.has_stages);
	cr_assert_eq(r.stage[BENCH_COPY].busy, 2.0);
	cr_assert_str_eq(r.how, "process, io_uring");
}

Test(parse, refuses_what_is_cut_short)
{
	char text[sizeof(ours)];

	for (size_t n = 0; n < sizeof(ours) - 1; n++) {
		struct bench_run r = { 0 };

		memcpy(text, ours, n);
		text[n] = '\0';
		cr_assert_eq(bench_parse(BENCH_OURS, text, &r), -EBADMSG, "%zu bytes", n);
	}
}

static struct bench_cell cell_of(struct bench_run *runs, unsigned int n, struct bench_stream *s)
{
	return (struct bench_cell){ .source = SOURCE_PIPE, .stream = s, .runs = runs, .done = n };
}

Test(summary, names_the_limiting_stage)
{
	struct bench_stream s = { .bytes = 1u << 30, .populated = 262144 };
	struct bench_run r = { 0 };
	struct bench_cell c = cell_of(&r, 1, &s);
	struct bench_summary sum;

	cr_assert_eq(bench_parse(BENCH_OURS, ours, &r), 0);
	sum = bench_summarise(&c);
	cr_assert_str_eq(sum.limiting, "sender", "the reader waited for most of the time");
	cr_assert_float_eq(sum.gib_per_second.median, 0.5, 1e-9);
	cr_assert_float_eq(sum.ns_per_page, 2e9 / 262144, 1e-6);
	cr_assert_float_eq(sum.all_calls_per_gib, 18, 1e-9);
	r.stage[BENCH_STREAM].starved = 0;
	sum = bench_summarise(&c);
	cr_assert_str_eq(sum.limiting, "copy", "half busy, both workers");
	r.stage[BENCH_POPULATE].busy = 1.9;
	cr_assert_str_eq(bench_summarise(&c).limiting, "populate");
}

Test(summary, tells_what_mapped_is_made_of)
{
	struct bench_stream s = { .bytes = 1u << 30, .populated = 1000 };
	struct bench_run r = { 0 };
	struct bench_cell c = cell_of(&r, 1, &s);
	struct bench_summary sum;

	cr_assert_eq(bench_parse(BENCH_MAPPED,
				 "{\"seconds\": 1, \"populate\": 0.1, \"map\": 0.2, \"touch\": 0.4,"
				 " \"copy\": 0.3, \"unmap\": 0.05, \"touch_fresh\": 1e-5,"
				 " \"touch_again\": 1e-7}",
				 &r),
		     0);
	sum = bench_summarise(&c);
	cr_assert_float_eq(sum.part_ns[BENCH_PART_POPULATE], 1e5, 1e-6);
	cr_assert_float_eq(sum.part_ns[BENCH_PART_MAP], 2e5, 1e-6);
	cr_assert_float_eq(sum.part_ns[BENCH_PART_TOUCH], 4e5, 1e-6);
	cr_assert_float_eq(sum.part_ns[BENCH_PART_COPY], 3e5, 1e-6);
	cr_assert_float_eq(sum.part_ns[BENCH_PART_UNMAP], 5e4, 1e-6);
	cr_assert_float_eq(sum.touch_fresh_ns, 1e4, 1e-6);
	cr_assert_float_eq(sum.touch_again_ns, 100, 1e-6);
}

Test(summary, ratio_pairs_the_rounds)
{
	struct bench_stream s = { .bytes = 1u << 30 };
	struct bench_run fast[3] = { { .seconds = 1 }, { .seconds = 2 }, { .seconds = 4 } };
	struct bench_run slow[3] = { { .seconds = 2 }, { .seconds = 4 }, { .seconds = 8 } };
	const struct bench_cell a = cell_of(fast, 3, &s), b = cell_of(slow, 3, &s);
	const struct bench_stats r = bench_ratio(&a, &b);

	cr_assert_eq(r.n, 3);
	cr_assert_eq(r.min, 2.0, "drift that hits both leaves the ratio alone");
	cr_assert_eq(r.max, 2.0);
}

Test(bounds, every_count_up_to_16_and_all_cores)
{
	for (unsigned int cores = 1; cores <= 300; cores++) {
		const unsigned int most = cores < 64 ? cores : 64;
		unsigned int n = bench_next_count(0, cores), last = 0, tried = 0;

		for (; n; n = bench_next_count(n, cores)) {
			cr_assert(n > last && n <= most, "%u cores: %u after %u", cores, n, last);
			cr_assert(n <= 16 ? n == last + 1 : n <= 2 * last, "%u cores: %u after %u",
				  cores, n, last);
			last = n;
			tried++;
		}
		cr_assert_eq(last, most, "%u cores", cores);
		cr_assert_leq(tried, 18);
	}
}

Test(bounds, runs_with_small_pages_are_counted)
{
	struct bench_run runs[4] = {
		{ .huge = -1 }, { .huge = 1 }, { .huge = 0.5 }, { .huge = 0 }
	};
	struct bench_stream s = { .bytes = 1 };
	struct bench_cell c = cell_of(runs, 4, &s);

	cr_assert_eq(bench_small_runs(&c), 2);
	c.done = 2;
	cr_assert_eq(bench_small_runs(&c), 0, "where nothing is due, nothing is missed");
}

Test(timeline, points_last_to_the_end)
{
	for (double seconds = 0.01; seconds < 1000; seconds *= 1.3)
		cr_assert_geq(bench_timeline_every(seconds) * BENCH_POINTS_MAX, 1000 * seconds,
			      "of %.2f s", seconds);
}

Test(options, take_and_refuse)
{
	static const struct {
		const char *arg;
		int rc;
	} cases[] = {
		{ "--size=64M", 0 },	    { "--size=64X", 3 },	 { "--size=0", 3 },
		{ "--workers=1,2,64", 0 },  { "--workers=0", 3 },	 { "--workers=1,", 3 },
		{ "--workers=65", 3 },	    { "--sources=file,tcp", 0 }, { "--sources=disk", 3 },
		{ "--sources=", 3 },	    { "--contenders=stock", 0 }, { "--runs=0", 3 },
		{ "--scale=1G,4G", 0 },	    { "--scale=1000001", 3 },	 { "--policy=4k", 0 },
		{ "--scale-types=12T", 0 }, { "--unknown", 3 },		 { "file", 3 },
		{ "--watched=trace", 0 },   { "--watched=all", 3 },	 { "--holes=1001", 3 },
		{ "--pipe-size=0", 0 },	    { "--size=-1M", 3 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[] = "bench", arg[32];
		char *argv[] = { name, arg, NULL };
		struct bench_options o;

		snprintf(arg, sizeof(arg), "%s", cases[i].arg);
		cr_expect_eq(bench_options_parse(&o, 2, argv), cases[i].rc, "%s", cases[i].arg);
		if (!cases[i].rc)
			bench_options_free(&o);
	}
}

static const struct xr_option rows[] = { XR_GEN_ROWS(0, "256M", "0"), XR_OPTIONS_END };
#define ROWS (sizeof(rows) / sizeof(rows[0]) - 1)

static int give(struct xr_gen_options *o, const struct xr_option *row, const char *value)
{
	static const struct xr_command command = { .name = "test", .options = rows };
	char name[] = "test", arg[64];
	char *argv[] = { name, arg, NULL };
	int rest;

	snprintf(arg, sizeof(arg), "--%s=%s", row->name, value);
	return xr_options_parse(&command, o, 2, argv, &rest);
}

Test(options, of_the_generator_change_one_field_each)
{
	struct xr_gen_options seen[ROWS], was;

	xr_gen_options_default(&was);
	for (size_t i = 0; i < ROWS; i++) {
		seen[i] = was;
		cr_assert_eq(give(&seen[i], &rows[i], "2"), 0, "%s", rows[i].name);
		cr_assert(memcmp(&seen[i], &was, sizeof(was)) != 0, "%s", rows[i].name);
		for (size_t k = 0; k < i; k++)
			cr_assert(memcmp(&seen[i], &seen[k], sizeof(was)) != 0, "%zu, %zu", i, k);
		cr_assert_eq(give(&seen[i], &rows[i], "2x"), 3);
		cr_assert_eq(give(&seen[i], &rows[i], ""), 3);
		if (rows[i].kind == XR_OPTION_INT)
			cr_assert_eq(give(&seen[i], &rows[i], "4294967297"), 3, "does not fit");
	}
}

/* What help says is the default is what there is without the option. */
Test(options, of_the_generator_have_the_defaults_that_help_tells)
{
	struct xr_gen_options o, was;

	xr_gen_options_default(&was);
	for (size_t i = 0; i < ROWS; i++) {
		o = was;
		cr_expect_eq(give(&o, &rows[i], rows[i].standard), 0, "%s", rows[i].name);
		cr_expect(!memcmp(&o, &was, sizeof(o)), "%s", rows[i].name);
	}
}

Test(page, data_cannot_break_out)
{
	json_t *j = json_pack("{s:s}", "warning", "</script><script>alert(1)</script>");
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	cr_assert_eq(bench_html(f, j), 0);
	fclose(f);
	cr_assert_null(strstr(text, "alert(1)</script>"));
	cr_assert_not_null(strstr(text, "\\u003c/script>\\u003cscript>alert(1)"));
	cr_assert_null(strstr(text, "@DATA@"));
	cr_assert_null(strstr(text, "src="), "nothing from elsewhere");
	cr_assert_null(strstr(text, "href="));
	free(text);
	json_decref(j);
}
