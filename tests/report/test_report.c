/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a report says of a restore: which stage held it up, and what its trace adds up to. */
#include "report/report.h"

#include "base/trace.h"
#include "report/timeline.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct xr_result waited(uint64_t starved, uint64_t blocked, uint64_t busy,
			       uint64_t for_bytes)
{
	return (struct xr_result){
		.populate = { .starved = starved, .blocked = blocked, .busy = busy },
		.stream = { .starved = for_bytes, .busy = 50 },
		.pages_populated = 1000,
		.seconds = 1,
	};
}

Test(report, the_stage_that_the_others_wait_for_is_named)
{
	static const struct {
		uint64_t starved, blocked, busy, for_bytes;
		const char *limit;
	} cases[] = { { 90, 5, 5, 80, "source" },
		      { 90, 5, 5, 20, "stream" },
		      { 5, 90, 5, 80, "copy" },
		      { 5, 5, 90, 80, "populate" } };
	const char *told[4];

	for (unsigned int i = 0; i < 4; i++) {
		const struct xr_result res = waited(cases[i].starved, cases[i].blocked,
						    cases[i].busy, cases[i].for_bytes);
		struct xr_settings set = { 0 };
		const struct run_report r = { .set = &set, .res = &res };

		cr_expect_str_eq(run_report_limit(&res), cases[i].limit);
		told[i] = run_report_advice(&r);
		for (unsigned int k = 0; k < i; k++)
			cr_expect_neq(told[i], told[k], "%u and %u are told the same", i, k);
	}
}

static double number(json_t *list, size_t i, size_t k)
{
	return json_number_value(json_array_get(json_array_get(list, i), k));
}

/* Samples and spans of a second made of what a trace would hold; times are those of now, so that
 * the whole lies in the first bins of a long restore. */
Test(report, a_trace_adds_up)
{
	json_t *j, *bins;
	double read = 0, written = 0, most = 0;

	cr_assert_eq(xr_trace_begin(100), 0);
	XR_SAMPLE(moved, 1000, 10);
	XR_SAMPLE(queued, 3, 7);
	XR_SAMPLE(queued, 2, 9);
	XR_SAMPLE(moved, 5000, 30);
	j = timeline_json(TIMELINE_BINS);
	bins = json_object_get(j, "bins");
	cr_assert_eq(json_array_size(bins), TIMELINE_BINS);
	for (size_t i = 0; i < TIMELINE_BINS; i++) {
		read += number(bins, i, 0);
		written += number(bins, i, 1);
		most = number(bins, i, 3) > most ? number(bins, i, 3) : most;
	}
	cr_expect_float_eq(read, 5000, 1);
	cr_expect_float_eq(written, 30 * 4096, 1);
	cr_expect_eq(most, 9);
	json_decref(j);
	xr_trace_end();
}

Test(report, passes_share_the_pages)
{
	static const json_int_t want[] = { 100, 31, 20 };
	json_t *j;

	cr_assert_eq(xr_trace_begin(100), 0);
	XR_SAMPLE(pass, 1, 100);
	XR_SAMPLE(pass, 3, 120); /* as an index orders them */
	XR_SAMPLE(pass, 2, 150);
	XR_SAMPLE(pass, 2, 151);
	j = passes_json();
	cr_assert_eq(json_array_size(j), 3);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(json_integer_value(json_object_get(json_array_get(j, i), "pages")),
			     want[i]);
	json_decref(j);
	xr_trace_end();
}

Test(report, calls_are_counted_by_their_kind)
{
	json_t *j, *c;

	cr_assert_eq(xr_trace_begin(1000), 0);
	xr_trace_zero(xr_now() - 1000000000);
	for (unsigned int i = 0; i < 200; i++)
		xr_trace_add(XR_SPAN_map, xr_now() - (i < 100 ? 1000000 : 9000000), 1, 1);
	xr_trace_add(XR_SPAN_drain, xr_now(), 1, 1);
	j = calls_json();
	cr_assert_eq(json_array_size(j), 1);
	c = json_array_get(j, 0);
	cr_expect_str_eq(json_string_value(json_object_get(c, "name")), "map");
	cr_expect_eq(json_integer_value(json_object_get(c, "count")), 200);
	cr_expect_geq(json_real_value(json_object_get(c, "p50")), 0.001);
	cr_expect_geq(json_real_value(json_object_get(c, "p90")), 0.009);
	cr_expect_geq(json_real_value(json_object_get(c, "max")),
		      json_real_value(json_object_get(c, "p99")));
	cr_expect_geq(json_real_value(json_object_get(c, "seconds")), 1.0);
	json_decref(j);
	xr_trace_end();
}
