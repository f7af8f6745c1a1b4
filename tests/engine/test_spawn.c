/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Worker processes of a caller with threads: a program is started, and must be as invisible, and
 * end as surely, as forks do. */
#include "crew.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 2u
#define PATIENCE 1000u /* x 10 ms */

#define HOLDS(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			snprintf(why, room, "line %d: %s (%s)", __LINE__, #cond, g.err.text);      \
			return false;                                                              \
		}                                                                                  \
	} while (0)

static volatile sig_atomic_t children_heard;

static void on_child(int sig)
{
	(void)sig;
	children_heard++;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Of this process; it lasts as long. */
static bool begin(const char *program)
{
	const struct sigaction act = { .sa_handler = on_child };
	pthread_t t;

	setpgid(0, 0);
	setenv("XENRESTORE_WORKER", program, 1);
	sigaction(SIGCHLD, &act, NULL);
	return pthread_create(&t, NULL, wait_for_ever, NULL) == 0;
}

static bool prepare(struct rig *g, enum xr_worker_kind kind)
{
	uint64_t e[64];

	rig_init(g, 1u << 16, 3);
	builder_static(&g->b, true, true);
	for (unsigned int k = 0; k < 6; k++) {
		for (uint64_t i = 0; i < 64; i++)
			e[i] = XR_EMIT_ENTRY(XR_EMIT_NOTAB, k * 64 + i);
		builder_page_data(&g->b, e, 64, NULL);
	}
	rig_tail(g);
	g->set.workers = WORKERS;
	g->set.worker_kind = kind;
	if (feed_open(&g->feed, FEED_FILE, builder_data(&g->b), builder_size(&g->b), 1))
		return false;
	g->set.fd = g->feed.fd;
	return true;
}

static bool crew_goes(void)
{
	for (unsigned int i = 0; i < PATIENCE; i++) {
		if (!crew_find("xr-", NULL, 0))
			return true;
		usleep(10000);
	}
	return false;
}

static bool is_silent(void *arg, char *why, size_t room)
{
	struct xr_restore *r = NULL;
	struct rig g = { 0 };

	(void)arg;
	HOLDS(begin(XR_TEST_WORKER) && prepare(&g, XR_WORKER_AUTO));
	HOLDS(xr_open(&r, &g.set, &g.err) == 0);
	HOLDS(crew_find("xr-copy", NULL, 0) == WORKERS);
	HOLDS(crew_find("xr-spawner", NULL, 0) == 1);
	HOLDS(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	HOLDS(xr_run(r, &g.res, &g.err) == 0);
	HOLDS(g.res.worker_kind == XR_WORKER_PROCESS);
	xr_close(&r);
	HOLDS(crew_find("xr-", NULL, 0) == 0);
	HOLDS(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
	HOLDS(children_heard == 0);
	rig_expect_page(&g, 70, 4);
	feed_close(&g.feed);
	rig_free(&g);
	return true;
}

static bool killed(void *arg, char *why, size_t room)
{
	struct xr_restore *r = NULL;
	struct xr_model_stats st;
	struct rig g = { 0 };
	pid_t victim;

	HOLDS(begin(XR_TEST_WORKER) && prepare(&g, XR_WORKER_PROCESS));
	HOLDS(xr_open(&r, &g.set, &g.err) == 0);
	HOLDS(crew_find(arg, &victim, 1) >= 1);
	kill(victim, SIGKILL);
	/* With fewer windows than fit into the queues, a wait for their end meets it. */
	HOLDS(xr_run(r, NULL, &g.err) == -EIO);
	HOLDS(g.err.host_failed && g.err.stage == XR_STAGE_COPY);
	xr_close(&r);
	HOLDS(crew_goes());
	HOLDS(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
	xr_model_stats(g.model, &st);
	HOLDS(st.live_mappings == 0);
	feed_close(&g.feed);
	rig_free(&g);
	return true;
}

static bool opener_killed(void *arg, char *why, size_t room)
{
	struct rig g = { 0 };
	int status;
	pid_t opener;

	(void)arg;
	setpgid(0, 0);
	HOLDS(prepare(&g, XR_WORKER_PROCESS));
	opener = fork();
	if (opener == 0) {
		struct xr_restore *r = NULL;
		const pid_t group = getppid();

		if (!begin(XR_TEST_WORKER) || setpgid(0, group) || xr_open(&r, &g.set, &g.err))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	HOLDS(waitpid(opener, &status, 0) == opener && WIFSIGNALED(status));
	HOLDS(crew_goes());
	feed_close(&g.feed);
	rig_free(&g);
	return true;
}

static bool no_program(void *arg, char *why, size_t room)
{
	struct xr_restore *r = NULL;
	struct rig g = { 0 };

	HOLDS(begin(arg) && prepare(&g, XR_WORKER_PROCESS));
	HOLDS(xr_open(&r, &g.set, &g.err) < 0);
	HOLDS(!r && g.err.code && crew_goes());
	g.set.worker_kind = XR_WORKER_AUTO;
	HOLDS(xr_open(&r, &g.set, &g.err) == 0);
	HOLDS(xr_run(r, &g.res, &g.err) == 0);
	HOLDS(g.res.worker_kind == XR_WORKER_THREAD);
	xr_close(&r);
	HOLDS(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
	feed_close(&g.feed);
	rig_free(&g);
	return true;
}

static void run(isolate_check check, const char *arg)
{
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	cr_expect(isolated(check, (void *)(uintptr_t)arg, why), "%s: %s", arg, why);
}

Test(spawned, workers_are_silent)
{
	run(is_silent, "silent");
}

Test(spawned, a_death_is_noticed)
{
	run(killed, "xr-copy");
	run(killed, "xr-nursery");
	run(killed, "xr-spawner");
}

Test(spawned, nobody_outlives_the_opener)
{
	run(opener_killed, "opener");
}

Test(spawned, without_a_program_there_are_threads)
{
	run(no_program, "/nonexistent");
	run(no_program, "/bin/false");
}
