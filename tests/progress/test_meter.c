/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is worked out from the engine's reports. Time is that of the reports. */
#include "engine/internal.h"
#include "progress/meter.h"

#include <criterion/criterion.h>
#include <string.h>

#define GIB (1ull << 30)

static struct xr_progress at(double seconds, uint64_t bytes, uint64_t total)
{
	return (struct xr_progress){
		.seconds = seconds, .bytes_done = bytes, .bytes_total = total, .pass = 1
	};
}

Test(meter, a_steady_stream_has_a_steady_rate_from_the_first_report_on)
{
	struct xr_meter m = { 0 };

	for (unsigned int i = 1; i <= 40; i++) {
		struct xr_progress p = at(i * 0.1, i * (GIB / 10), 8 * GIB);

		xr_meter_update(&m, &p);
		cr_assert_float_eq(m.rate, (double)GIB, 1000);
		cr_assert_float_eq(m.left, 8 - i * 0.1, 0.001);
		cr_assert_float_eq(xr_meter_share(&m), i / 80.0, 0.001);
	}
}

Test(meter, the_rate_follows_a_change_within_seconds)
{
	struct xr_meter m = { 0 };
	struct xr_progress p;

	for (unsigned int i = 1; i <= 100; i++) {
		p = at(i * 0.1, i * (GIB / 10), 0);
		xr_meter_update(&m, &p);
	}
	for (unsigned int i = 1; i <= 100; i++) {
		p = at(10 + i * 0.1, 10 * GIB, 0);
		xr_meter_update(&m, &p);
		cr_assert(m.rate < (double)GIB);
	}
	cr_expect(m.rate < (double)GIB / 10, "%f", m.rate);
	cr_expect(m.left < 0, "nothing is known of what is left");
	cr_expect(xr_meter_share(&m) < 0);
}

/* With an index the stream is not read in its order: contents tell how far it is. */
Test(meter, contents_count_where_their_number_is_known)
{
	struct xr_meter m = { 0 };
	struct xr_progress p = at(1, 4 * GIB, 4 * GIB);

	p.pages_done = 1 << 17;
	p.pages_total = 1 << 18;
	xr_meter_update(&m, &p);
	cr_expect_float_eq(xr_meter_share(&m), 0.5, 1e-9);
	cr_expect_eq(m.total, GIB);
	cr_expect_float_eq(m.left, 1, 1e-9);
}

/* Headers go by faster than contents: the rate of an index says nothing of the restore's. */
Test(meter, an_index_has_a_rate_of_its_own)
{
	struct xr_meter m = { 0 };
	struct xr_progress p = at(1, 100 * GIB, 200 * GIB);
	char text[256];

	p.pass = 0;
	xr_meter_update(&m, &p);
	xr_meter_words(&m, text, sizeof(text));
	cr_expect_str_eq(text, "indexing  100.00 of 200.00 GiB  100.00 GiB/s  0:01 left");
	p = at(3, GIB, 200 * GIB);
	xr_meter_update(&m, &p);
	cr_expect_float_eq(m.rate, (double)GIB / 2, 1000);
}

Test(meter, words_and_bars)
{
	struct xr_meter m = { 0 };
	struct xr_progress p = at(2, 3 * GIB, 4 * GIB);
	char text[256];

	p.limit = XR_STAGE_COPY;
	xr_meter_update(&m, &p);
	xr_meter_words(&m, text, sizeof(text));
	cr_expect_str_eq(text, "pass 1  3.00 of 4.00 GiB  1.50 GiB/s  0:01 left  limited by copy");
	xr_meter_line(&m, 200, text, sizeof(text));
	cr_expect_eq(strncmp(text, "[###############.....]  75%  pass 1  3.00", 41), 0, "%s", text);
	for (unsigned int columns = 200; columns >= 54; columns--) {
		const char *limit;

		xr_meter_line(&m, columns, text, sizeof(text));
		limit = strstr(text, "by copy");
		cr_expect(limit && !limit[7] && strlen(text) <= columns, "%u: %s", columns, text);
		cr_expect_eq(columns >= 59, !!strstr(text, " 75%  pass 1"), "%u: %s", columns,
			     text);
		cr_expect_eq(columns >= 67, *text == '[', "%u: %s", columns, text);
	}
	xr_meter_line(&m, 30, text, sizeof(text));
	cr_expect_eq(strlen(text), 30);

	m = (struct xr_meter){ 0 };
	p = at(90, 3 * GIB, 0);
	p.limit = XR_STAGE_STREAM;
	p.source = 1;
	xr_meter_update(&m, &p);
	xr_meter_line(&m, 200, text, sizeof(text));
	cr_expect_str_eq(text, "pass 1  3.00 GiB  0.03 GiB/s  limited by source");
}

/* A large guest, late, and the longest of stages. */
Test(meter, a_terminal_of_80_columns_has_a_bar_and_the_limit)
{
	struct xr_meter m = { 0 };
	struct xr_progress p = at(700, 612 * GIB, 1024 * GIB);
	char text[256];

	p.limit = XR_STAGE_POPULATE;
	p.pass = 12;
	xr_meter_update(&m, &p);
	xr_meter_line(&m, 79, text, sizeof(text));
	cr_expect(*text == '[' && strstr(text, "] ") && strstr(text, "  by populate"), "%s", text);
	cr_expect_leq(strlen(text), 79);
}

Test(meter, a_text_without_room_ends_in_time)
{
	struct xr_meter m = { 0 };
	struct xr_progress p = at(1, GIB, 2 * GIB);
	char text[64];

	xr_meter_update(&m, &p);
	for (size_t size = 1; size < sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		xr_meter_words(&m, text, size);
		cr_assert(strlen(text) < size);
		cr_assert_eq(text[size], 'x');
		xr_meter_line(&m, 100, text, size);
		cr_assert(strlen(text) < size);
		cr_assert_eq(text[size], 'x');
	}
}

Test(limit, is_what_took_most_of_the_time)
{
	cr_expect_eq(xr_limit(100, 60, 10), XR_STAGE_STREAM);
	cr_expect_eq(xr_limit(100, 10, 60), XR_STAGE_COPY);
	cr_expect_eq(xr_limit(100, 10, 20), XR_STAGE_POPULATE);
	cr_expect_eq(xr_limit(100, 150, 0), XR_STAGE_STREAM);
	cr_expect_eq(xr_limit(0, 0, 0), XR_STAGE_POPULATE);
}
