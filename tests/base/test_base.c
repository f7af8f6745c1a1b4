/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bufpool.h"
#include "base/error.h"
#include "base/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

Test(error, the_first_cause_stays)
{
	struct xr_where at = { 40, 2, 1 };
	struct xr_error e = { 0 };

	cr_assert_eq(xr_fail(&e, -5, XR_STAGE_STREAM, &at, 7, "first %d", 1), -5);
	cr_assert_eq(xr_fail_host(&e, -6, XR_STAGE_COPY, NULL, XR_NO_PFN, "second"), -6);
	cr_assert_eq(e.code, -5);
	cr_assert_eq(e.stage, XR_STAGE_STREAM);
	cr_assert_eq(e.offset, 40);
	cr_assert_eq(e.record, 2);
	cr_assert_eq(e.pfn, 7);
	cr_assert_not(e.host_failed);
	cr_assert_str_eq(e.text, "first 1");
	cr_assert_eq(xr_fail(NULL, -5, XR_STAGE_STREAM, &at, 7, "nowhere"), -5);
}

struct line {
	struct xr_event go;
	struct xr_event room;
	struct xr_ring *ring;
};

#define VALUES 200000u

static void *produce(void *arg)
{
	struct line *l = arg;

	for (uint64_t i = 0; i < VALUES;) {
		uint32_t seen = xr_event_value(&l->room);

		if (xr_ring_push(l->ring, i * 3)) {
			i++;
			xr_event_signal(&l->go);
		} else {
			xr_event_wait(&l->room, seen, 10000);
		}
	}
	return NULL;
}

static uint64_t consume(struct line *l)
{
	uint64_t wrong = 0, v;

	for (uint64_t i = 0; i < VALUES;) {
		uint32_t seen = xr_event_value(&l->go);

		if (xr_ring_pop(l->ring, &v)) {
			wrong += v != i * 3;
			i++;
			xr_event_signal(&l->room);
		} else if (!xr_event_wait(&l->go, seen, 10000)) {
			return VALUES;
		}
	}
	return wrong;
}

static struct line *new_line(unsigned int room)
{
	unsigned int size;
	size_t bytes = xr_ring_bytes(room, &size);
	struct line *l = mmap(NULL, sizeof(*l) + bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	xr_event_init(&l->go);
	xr_event_init(&l->room);
	l->ring = (struct xr_ring *)(l + 1);
	xr_ring_init(l->ring, size);
	return l;
}

Test(ring, keeps_order_between_threads)
{
	struct line *l = new_line(5);
	pthread_t t;

	cr_assert_eq(pthread_create(&t, NULL, produce, l), 0);
	cr_assert_eq(consume(l), 0);
	pthread_join(t, NULL);
	cr_assert_eq(xr_ring_used(l->ring), 0);
}

Test(ring, keeps_order_between_processes)
{
	struct line *l = new_line(5);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		produce(l);
		_exit(0);
	}
	cr_assert_eq(consume(l), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

Test(ring, has_at_least_the_room_asked_for)
{
	for (unsigned int room = 1; room < 70; room++) {
		struct line *l = new_line(room);

		for (unsigned int i = 0; i < room; i++)
			cr_assert(xr_ring_push(l->ring, i));
	}
}

Test(event, times_out_and_sees_a_signal)
{
	struct xr_event e;

	xr_event_init(&e);
	uint32_t seen = xr_event_value(&e);
	cr_assert_not(xr_event_wait(&e, seen, 1));
	xr_event_signal(&e);
	cr_assert(xr_event_wait(&e, seen, 1000));
}

Test(bufpool, the_last_user_frees)
{
	struct xr_bufpool *p = xr_bufpool_create(2, 8192);
	int a = xr_bufpool_take(p), b = xr_bufpool_take(p);

	cr_assert(a >= 0 && b >= 0 && a != b);
	cr_assert_eq(xr_bufpool_take(p), -1);
	xr_bufpool_hold(p, (unsigned int)a, 1);
	xr_bufpool_drop(p, (unsigned int)a);
	cr_assert_eq(xr_bufpool_take(p), -1);
	xr_bufpool_drop(p, (unsigned int)a);
	cr_assert_eq(xr_bufpool_in_use(p), 1);
	cr_assert_eq(xr_bufpool_take(p), a);
	xr_bufpool_destroy(p);
	cr_assert_null(xr_bufpool_create(0, 4096));
	cr_assert_null(xr_bufpool_create(1, 100));
}
