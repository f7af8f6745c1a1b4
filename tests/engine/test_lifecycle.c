/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening, refusing, cancelling, ending: what a restore leaves of itself. */
#include "lib/checkpoints.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t two[] = { XR_EMIT_ENTRY(XR_EMIT_NOTAB, 1), XR_EMIT_ENTRY(XR_EMIT_NOTAB, 2) };

static void good_stream(struct rig *g)
{
	rig_init(g, 4096, 3);
	builder_static(&g->b, true, true);
	builder_page_data(&g->b, two, 2, NULL);
	rig_tail(g);
}

static unsigned int entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(lifecycle, settings_are_checked)
{
	struct toolstack t = { 0 };
	struct xr_settings s;
	struct xr_restore *r;
	struct xr_error e;

#define REFUSED(change, code)                                                                      \
	do {                                                                                       \
		xr_settings_default(&s);                                                           \
		s.fd = 0;                                                                          \
		s.host = XR_HOST_MODEL;                                                            \
		change;                                                                            \
		cr_expect_eq(xr_open(&r, &s, &e), code, #change);                                  \
		cr_expect_null(r);                                                                 \
		cr_expect_eq(e.stage, XR_STAGE_SETUP);                                             \
		cr_expect(e.text[0]);                                                              \
	} while (0)
	REFUSED(s.fd = -1, -EINVAL);
	REFUSED(s.max_order = 5, -EINVAL);
	REFUSED(s.workers = 65, -EINVAL);
	REFUSED(s.reserved[3] = 1, -EINVAL);
	REFUSED(s.policy = (enum xr_policy)9, -EINVAL);
	REFUSED(s.buffer_mib = (1u << 20) + 1, -EINVAL);
	REFUSED(s.type = XR_STREAM_REMUS, -EINVAL);
	REFUSED(s.type = XR_STREAM_COLO, -EINVAL);
	REFUSED((toolstack_install(&t, &s), s.type = XR_STREAM_COLO), -EINVAL);
	REFUSED((toolstack_install(&t, &s), s.type = XR_STREAM_COLO, s.send_back_fd = 0,
		 s.callbacks.suspend = NULL),
		-EINVAL);
	REFUSED(s.fd = 9999, -EBADF);
	REFUSED((s.host = XR_HOST_XEN, s.model = (struct xr_model *)&s), -EINVAL);
}

Test(lifecycle, a_stream_for_a_domain_of_another_kind_is_refused_before_anything_is_touched)
{
	struct xr_model_stats st;
	struct rig g;

	rig_init(&g, 4096, 3);
	builder_free(&g.b);
	builder_begin(&g.b, XR_EMIT_BARE, 3, true);
	builder_end(&g.b, false, 0);
	cr_assert_eq(rig_run(&g, FEED_PIPE), -EINVAL);
	cr_assert(strstr(g.err.text, "PV guest, domain 1 is HVM"), "%s", g.err.text);
	cr_assert_not(g.err.host_failed);
	xr_model_stats(g.model, &st);
	cr_assert_eq(st.calls[XR_CALL_POPULATE], 0);
	cr_assert_str_eq(xr_model_log(g.model), "");
	rig_free(&g);
}

/* Starting a worker must pay. */
Test(lifecycle, a_small_guest_gets_one_worker_a_large_one_more)
{
	static const uint64_t pages[] = { 8192, (64u << 8) - 1, 64u << 8, 1u << 20, 1ull << 36 };
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const long most = i < 2 ? 1 : i == 2 ? 2 : 8;
		struct rig g;

		rig_init(&g, pages[i], 3);
		builder_static(&g.b, true, true);
		rig_tail(&g);
		g.set.workers = 0;
		cr_assert_eq(rig_run(&g, FEED_FILE), 0, "%s", g.err.text);
		cr_expect_eq(g.res.workers, most < cores ? most : cores, "%u for %zu pages",
			     g.res.workers, (size_t)pages[i]);
		rig_free(&g);
	}
}

Test(lifecycle, a_handle_runs_once)
{
	struct rig g;
	struct xr_restore *r;

	good_stream(&g);
	cr_assert_eq(feed_open(&g.feed, FEED_PIPE, builder_data(&g.b), builder_size(&g.b), 1), 0);
	g.set.fd = g.feed.fd;
	cr_assert_eq(xr_open(&r, &g.set, NULL), 0);
	cr_assert_eq(xr_run(r, NULL, NULL), 0);
	cr_assert_eq(xr_run(r, NULL, &g.err), -EINVAL);
	xr_close(&r);
	cr_assert_null(r);
	xr_close(&r);
	feed_close(&g.feed);
	rig_free(&g);
}

static volatile sig_atomic_t children;

static void on_child(int sig)
{
	(void)sig;
	children++;
}

/* The kernel lists joined threads, and workers of io_uring, a while longer. */
static bool only_thread(void)
{
	for (int again = 0; again < 2000 && entries("/proc/self/task") != 3; again++)
		usleep(5000);
	return entries("/proc/self/task") == 3; /* with . and .. */
}

#define HOLDS(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			snprintf(why, room, "worker kind %d: %s", (int)kind, #cond);               \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* Alone in a process, since a test runner has threads, and then there are no worker processes. */
static bool leaves_nothing(void *arg, char *why, size_t room)
{
	const enum xr_worker_kind kind = *(enum xr_worker_kind *)arg;
	unsigned int fds = 0;

	signal(SIGCHLD, on_child);
	for (int i = 0; i < 4; i++) {
		struct rig g;

		good_stream(&g);
		g.set.worker_kind = kind;
		HOLDS(rig_run(&g, FEED_FILE) == 0);
		HOLDS(kind == XR_WORKER_AUTO || g.res.worker_kind == kind);
		rig_free(&g);
		if (!i)
			fds = entries("/proc/self/fd");
	}
	HOLDS(entries("/proc/self/fd") == fds);
	HOLDS(TSAN || only_thread()); /* TSan has some of its own */
	HOLDS(children == 0);
	HOLDS(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	return true;
}

Test(lifecycle, nothing_is_left_behind_and_no_child_is_seen)
{
	for (enum xr_worker_kind kind = XR_WORKER_AUTO; kind <= XR_WORKER_THREAD; kind++) {
		char why[ISOLATE_WHY];

		if (kind == XR_WORKER_PROCESS && NO_PROCESSES)
			continue;
		cr_expect(isolated(leaves_nothing, &kind, why), "%s", why);
	}
}

struct stalled {
	struct xr_restore *r;
	int to;
	const struct rig *g;
};

/* Sends the head of a stream, then nothing; and cancels once the reader must have run dry. */
static void *stall(void *arg)
{
	struct stalled *s = arg;
	size_t n = builder_size(&s->g->b) - 40;

	cr_assert_eq(write(s->to, builder_data(&s->g->b), n), (ssize_t)n);
	usleep(20000);
	xr_cancel(s->r);
	return NULL;
}

Test(lifecycle, cancel_ends_a_restore_whose_sender_stopped, .timeout = 60)
{
	for (enum xr_io io = XR_IO_AUTO; io <= XR_IO_PLAIN; io += XR_IO_PLAIN) {
		struct rig g;
		struct stalled s = { .g = &g };
		pthread_t t;
		int fd[2];

		good_stream(&g);
		cr_assert_eq(pipe(fd), 0);
		g.set.fd = fd[0];
		g.set.io = io;
		s.to = fd[1];
		cr_assert_eq(xr_open(&s.r, &g.set, &g.err), 0, "%s", g.err.text);
		cr_assert_eq(pthread_create(&t, NULL, stall, &s), 0);
		cr_expect_eq(xr_run(s.r, &g.res, &g.err), -ECANCELED);
		pthread_join(t, NULL);
		rig_expect_clean(&g);
		xr_close(&s.r);
		close(fd[0]);
		close(fd[1]);
		rig_free(&g);
	}
}

Test(lifecycle, cancel_before_run_counts)
{
	struct rig g;
	struct xr_restore *r;

	good_stream(&g);
	cr_assert_eq(feed_open(&g.feed, FEED_FILE, builder_data(&g.b), builder_size(&g.b), 1), 0);
	g.set.fd = g.feed.fd;
	cr_assert_eq(xr_open(&r, &g.set, &g.err), 0);
	xr_cancel(r);
	cr_assert_eq(xr_run(r, NULL, &g.err), -ECANCELED);
	xr_close(&r);
	feed_close(&g.feed);
	rig_free(&g);
}

struct one {
	struct rig g;
	int rc;
};

static void *restore_one(void *arg)
{
	struct one *o = arg;

	o->rc = rig_run(&o->g, FEED_FILE);
	return NULL;
}

Test(lifecycle, two_restores_in_one_process_do_not_meet)
{
	struct one o[2];
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		good_stream(&o[i].g);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, restore_one, &o[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		cr_expect_eq(o[i].rc, 0, "%s", o[i].g.err.text);
		cr_expect_eq(o[i].g.res.worker_kind, XR_WORKER_THREAD);
		rig_expect_clean(&o[i].g);
		rig_free(&o[i].g);
	}
}
