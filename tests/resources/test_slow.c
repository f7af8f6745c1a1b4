/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Senders that are slow, or say nothing any more: no busy waiting, and a cancel is heard. */
#include "cost/syscalls.h"
#include "engine/rig.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "stream/wire.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define A_BYTE 6u      /* calls that read or wait for the stream, for each of its bytes, at most */
#define SOME 64u       /* and besides */
#define STALL_MS 1000u /* the longer, the surer */

struct slow {
	enum xr_io io;
	bool socket, checkpointed;
	struct rig g;
	struct xr_restore *r;
	uint64_t idle_ns, cpu_ns; /* of the stall */
};

static int good(void *opaque)
{
	(void)opaque;
	return XR_ANSWER_GO_ON;
}

/* Two, and a part of the third. */
static void put_checkpoints(struct slow *s)
{
	const uint64_t e[] = { XR_EMIT_ENTRY(XR_EMIT_NOTAB, 1), XR_EMIT_ENTRY(XR_EMIT_XALLOC, 9) };

	for (unsigned int i = 0; i < 2; i++) {
		builder_context(&s->g.b);
		builder_record(&s->g.b, XR_REC_CHECKPOINT, NULL, 0);
		builder_page_data(&s->g.b, e, 2, NULL);
	}
	s->g.set.type = XR_STREAM_REMUS;
	s->g.set.callbacks.checkpoint = good;
}

static void make_stream(struct slow *s)
{
	const uint64_t e[] = { XR_EMIT_ENTRY(XR_EMIT_XALLOC, 1), XR_EMIT_ENTRY(XR_EMIT_XALLOC, 2) };

	rig_init(&s->g, 1u << 10, 3);
	builder_static(&s->g.b, true, true);
	builder_page_data(&s->g.b, e, 2, NULL);
	if (s->checkpointed)
		put_checkpoints(s);
	else
		rig_tail(&s->g);
}

static int open_ends(const struct slow *s, int end[2])
{
	return s->socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, end) : pipe(end);
}

/* One byte at a time, the next when the last one is taken. */
__attribute__((noreturn)) static void drip(const struct slow *s, int to, int from)
{
	int left;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < builder_size(&s->g.b); i++) {
		if (write(to, builder_data(&s->g.b) + i, 1) != 1)
			_exit(1);
		do {
			usleep(200);
		} while (!ioctl(from, FIONREAD, &left) && left);
	}
	_exit(0);
}

static bool drips(void *arg, char *why, size_t room)
{
	struct slow *s = arg;
	int end[2], rc;

	make_stream(s);
	if (open_ends(s, end))
		return false;
	if (fork() == 0)
		drip(s, end[1], end[0]);
	close(end[1]);
	s->g.set.fd = end[0];
	s->g.set.io = s->io;
	s->g.set.workers = 1;
	s->g.set.worker_kind = XR_WORKER_THREAD;
	rc = xr_open(&s->r, &s->g.set, &s->g.err);
	if (!rc)
		rc = xr_run(s->r, &s->g.res, &s->g.err);
	if (rc)
		snprintf(why, room, "%s", s->g.err.text);
	xr_close(&s->r);
	return !rc;
}

static uint64_t readings(const struct syscalls *c)
{
	return c->n[SYS_read] + c->n[SYS_readv] + c->n[SYS_poll] + c->n[SYS_io_uring_enter];
}

static void expect_few(enum xr_io io, bool sock, bool checkpointed)
{
	struct slow s = { .io = io, .socket = sock, .checkpointed = checkpointed };
	struct syscalls count;
	char why[ISOLATE_WHY];
	uint64_t bytes;

	make_stream(&s);
	bytes = builder_size(&s.g.b);
	cr_assert(syscalls_of(drips, &s, &count, why), "%s", why);
	cr_expect_leq(readings(&count), A_BYTE * bytes + SOME, "io %d: %lu for %lu bytes", io,
		      readings(&count), bytes);
	rig_free(&s.g);
}

Test(slow, bytes_that_drip, .timeout = 600)
{
	expect_few(XR_IO_PLAIN, false, false);
	expect_few(XR_IO_PLAIN, true, false);
	expect_few(XR_IO_URING, false, false);
	expect_few(XR_IO_URING, true, false);
}

Test(slow, checkpoints_that_drip, .timeout = 600)
{
	expect_few(XR_IO_PLAIN, false, true);
	expect_few(XR_IO_URING, true, true);
}

/* --- silence ---------------------------------------------------------------------------------- */

static uint64_t now_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define RESTS (SANITIZED ? 10u : 50u) /* what part of the time it may take */

/* What the process takes while it waits; then an end is put to it. */
static void *watch(void *arg)
{
	struct slow *s = arg;
	uint64_t since, cpu;

	/* It has read what there is by then, sooner or later; who polls never comes to rest. */
	for (unsigned int i = 0; i < 5 && (!i || s->cpu_ns >= s->idle_ns / RESTS); i++) {
		usleep(200000);
		since = now_of(CLOCK_MONOTONIC);
		cpu = now_of(CLOCK_PROCESS_CPUTIME_ID);
		usleep(STALL_MS * 1000);
		s->cpu_ns = now_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		s->idle_ns = now_of(CLOCK_MONOTONIC) - since;
	}
	xr_cancel(s->r);
	return NULL;
}

static bool stalls(void *arg, char *why, size_t room)
{
	struct slow *s = arg;
	pthread_t watcher;
	int end[2], rc;
	size_t n;

	make_stream(s);
	n = builder_size(&s->g.b) - 20;
	if (open_ends(s, end) || write(end[1], builder_data(&s->g.b), n) != (ssize_t)n)
		return false;
	s->g.set.fd = end[0];
	s->g.set.io = s->io;
	s->g.set.worker_kind = XR_WORKER_THREAD;
	if (xr_open(&s->r, &s->g.set, &s->g.err))
		return false;
	if (pthread_create(&watcher, NULL, watch, s))
		return false;
	rc = xr_run(s->r, NULL, &s->g.err);
	pthread_join(watcher, NULL);
	xr_close(&s->r);
	close(end[1]);
	close(end[0]);
	rig_free(&s->g);
	snprintf(why, room, "io %d: %d, %s; %.2f ms of CPU in %.0f ms", s->io, rc, s->g.err.text,
		 (double)s->cpu_ns / 1e6, (double)s->idle_ns / 1e6);
	fprintf(stderr, "resources: %s\n", why);
	return rc == -ECANCELED && s->cpu_ns < s->idle_ns / RESTS;
}

Test(slow, a_sender_that_stops, .timeout = 600)
{
	char why[ISOLATE_WHY];

	for (unsigned int i = 0; i < 8; i++) {
		struct slow s = { .io = i & 1 ? XR_IO_PLAIN : XR_IO_URING,
				  .socket = i & 2,
				  .checkpointed = i & 4 };

		cr_expect(isolated(stalls, &s, why), "%s", why);
	}
}
