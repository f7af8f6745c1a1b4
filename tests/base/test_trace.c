/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Spans cost nothing where nobody asks, told by the clock that they don't read. */
#include "base/trace.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(trace, .timeout = 60);

#define ROUNDS 100u

static _Atomic unsigned int readings; /* the suite's other tests have threads */

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	readings++;
	return (int)syscall(SYS_clock_gettime, clock, t);
}

static void work(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		const uint64_t span = XR_SPAN_BEGIN(map, i);

		XR_SAMPLE(moved, i, 2 * i);
		XR_SPAN_END(map, span, i, -1);
	}
}

static void see(const struct xr_trace_event *e, void *opaque)
{
	unsigned int *seen = opaque;

	if (e->span == XR_SPAN_moved)
		cr_expect_eq((uint64_t)e->result, 2 * e->arg);
	else
		cr_expect(e->span == XR_SPAN_map && e->result == -1 && e->ended >= e->begun);
	seen[e->span != XR_SPAN_map]++;
}

static void keep_event(const struct xr_trace_event *e, void *opaque)
{
	*(struct xr_trace_event *)opaque = *e;
}

Test(trace, what_began_before_its_time_has_begun_at_0)
{
	struct xr_trace_event e;

	cr_assert_eq(xr_trace_begin(10), 0);
	xr_trace_add(XR_SPAN_map, xr_now() - 1000, 1, 1);
	xr_trace_zero(xr_now());
	cr_assert_eq(xr_trace_each(keep_event, &e), 0);
	cr_expect_eq(e.begun, 0);
	cr_expect_eq(e.ended, 0);
	xr_trace_end();
}

Test(trace, without_one_no_clock_is_read)
{
	unsigned int seen[2] = { 0 };

	readings = 0;
	work();
	cr_expect_eq(readings, 0, "%u", readings);
	cr_assert_eq(xr_trace_begin(1000), 0);
	work();
	cr_expect_geq(readings, 4 * ROUNDS, "%u", readings);
	cr_expect_eq(xr_trace_each(see, seen), 0);
	cr_expect_eq(seen[0], ROUNDS);
	cr_expect_eq(seen[1], ROUNDS);
	xr_trace_end();
	readings = 0;
	work();
	cr_expect_eq(readings, 0, "%u", readings);
}

Test(trace, what_finds_no_room_is_counted)
{
	unsigned int seen[2] = { 0 };

	cr_assert_eq(xr_trace_begin(ROUNDS), 0);
	cr_expect_eq(xr_trace_begin(ROUNDS), -EBUSY, "one at a time");
	work();
	cr_expect_eq(xr_trace_each(see, seen), ROUNDS);
	cr_expect_eq(seen[0] + seen[1], ROUNDS);
	xr_trace_end();
}
