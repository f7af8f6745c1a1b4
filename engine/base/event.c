/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/event.h"

#include "base/delay.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int now(const struct ck_ec_ops *ops, struct timespec *out)
{
	(void)ops;
	return clock_gettime(CLOCK_MONOTONIC, out);
}

/* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. Not PRIVATE: waiters may be processes.
 */
static void wait32(const struct ck_ec_wait_state *state, const uint32_t *address, uint32_t expected,
		   const struct timespec *deadline)
{
	(void)state;
	xr_delay();
	syscall(SYS_futex, address, FUTEX_WAIT_BITSET, expected, deadline, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

static void wake32(const struct ck_ec_ops *ops, const uint32_t *address)
{
	(void)ops;
	xr_delay();
	syscall(SYS_futex, address, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static const struct ck_ec_ops ops = { .gettime = now, .wait32 = wait32, .wake32 = wake32 };
static const struct ck_ec_mode mode = { .ops = &ops, .single_producer = false };

void xr_event_init(struct xr_event *e)
{
	ck_ec32_init(&e->ec, 0);
}

uint32_t xr_event_value(const struct xr_event *e)
{
	const uint32_t value = ck_ec32_value(&e->ec);

	xr_delay();
	return value;
}

void xr_event_signal(struct xr_event *e)
{
	xr_delay();
	ck_ec32_inc(&e->ec, &mode);
	xr_delay();
}

bool xr_event_wait(struct xr_event *e, uint32_t seen, unsigned int ms)
{
	const struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };
	struct timespec deadline;

	xr_delay();
	ck_ec_deadline(&deadline, &mode, &span);
	return ck_ec32_wait(&e->ec, &mode, seen, &deadline) == 0;
}
