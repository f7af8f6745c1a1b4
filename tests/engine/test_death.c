/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker process that is killed, whatever the restore is at: one clear error, nothing left, no
 * hang.
 */
#include "crew.h"
#include "hook.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 2u
#define SURE                                                                                       \
	4u /* calls to the host, in the beginning, at which the workers are there to be killed */

#define HOLDS(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			snprintf(why, room, "%s, call %lu, %s: %s (%s)", d->name, d->hook.at,      \
				 feed_kind_name(d->kind), #cond, d->g.err.text);                   \
			return false;                                                              \
		}                                                                                  \
	} while (0)

struct death {
	const char *name;
	enum feed_kind kind;
	unsigned int records; /* of 64 pages */
	void (*then)(void *arg);
	bool in_progress; /* then in the progress callback, not in a call */

	struct rig g;
	struct hook hook;
	bool told; /* of progress */
	pid_t killer;
	int to_killer;
};

/* Workers and nursery. Returns how many; the pid of a worker, or 0. */
static unsigned int crew(pid_t worker[WORKERS])
{
	memset(worker, 0, WORKERS * sizeof(*worker));
	crew_find("xr-copy", worker, WORKERS);
	return crew_find("xr-", NULL, 0);
}

static void kill_one(void *arg)
{
	pid_t worker[WORKERS];

	(void)arg;
	crew(worker);
	if (worker[0])
		kill(worker[0], SIGKILL);
}

/* The workers stand still, so that what waits for them waits; then one of them is killed. */
static void stop_all_kill_one(void *arg)
{
	struct death *d = arg;
	pid_t worker[WORKERS];

	crew(worker);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (worker[i])
			kill(worker[i], SIGSTOP);
	if (write(d->to_killer, worker, sizeof(*worker)) < 0)
		abort();
}

static void start_killer(struct death *d)
{
	pid_t victim;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		abort();
	d->to_killer = fd[1];
	d->killer = fork();
	if (d->killer)
		goto out;
	close(fd[1]);
	if (read(fd[0], &victim, sizeof(victim)) == sizeof(victim) && victim) {
		usleep(100000); /* the longer, the surer that the restore waits by then */
		kill(victim, SIGKILL);
	}
	_exit(0);
out:
	close(fd[0]);
}

static void on_progress(const struct xr_progress *p, void *opaque)
{
	struct death *d = opaque;

	(void)p;
	if (!d->told)
		d->then(d);
	d->told = true;
}

static void make_stream(struct death *d)
{
	uint64_t e[64];

	rig_init(&d->g, 1u << 16, 3);
	builder_static(&d->g.b, true, true);
	for (unsigned int k = 0; k < d->records; k++) {
		for (uint64_t i = 0; i < 64; i++)
			e[i] = XR_EMIT_ENTRY(XR_EMIT_NOTAB, k * 64 + i);
		builder_page_data(&d->g.b, e, 64, NULL);
	}
	rig_tail(&d->g);
}

/* All but the last bytes through a pipe that stays open: written by a child that then waits. */
static void open_stalled(struct death *d)
{
	const size_t n = builder_size(&d->g.b) - 40;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		abort();
	d->g.feed = (struct feed){ .fd = fd[0], .kind = FEED_PIPE };
	d->g.feed.writer = fork();
	if (d->g.feed.writer == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(fd[0]);
		for (size_t at = 0; at < n;) {
			ssize_t part = write(fd[1], builder_data(&d->g.b) + at, n - at);

			if (part < 0)
				_exit(1);
			at += (size_t)part;
		}
		poll(&(struct pollfd){ .fd = fd[1] }, 1, -1); /* for the reader's end */
		_exit(0);
	}
	close(fd[1]);
}

static bool open_feed(struct death *d)
{
	if (!d->in_progress)
		return feed_open(&d->g.feed, d->kind, builder_data(&d->g.b), builder_size(&d->g.b),
				 1) == 0;
	open_stalled(d);
	return true;
}

/* Returns whether all is well. *calls: how many calls the host got. */
static bool one_death(struct death *d, uint64_t nth, uint64_t *calls, char *why, size_t room)
{
	struct xr_restore *r = NULL;
	struct xr_model_stats st;
	pid_t worker[WORKERS];
	int rc;

	d->hook = (struct hook){ .at = d->in_progress ? 0 : nth, .then = d->then, .arg = d };
	make_stream(d);
	start_killer(d);
	HOLDS(open_feed(d));
	d->g.set.fd = d->g.feed.fd;
	d->g.set.workers = WORKERS;
	d->g.set.worker_kind = XR_WORKER_PROCESS;
	d->g.set.opaque = d;
	if (d->in_progress)
		d->g.set.callbacks.progress = on_progress;
	snprintf(why, room, "%s, call %lu, %s", d->name, nth, feed_kind_name(d->kind));
	HOLDS(xr_open(&r, &d->g.set, &d->g.err) == 0);
	HOLDS(crew(worker) == WORKERS + 1);
	hook_install(&d->hook, r);
	rc = xr_run(r, NULL, &d->g.err);
	*calls = d->hook.calls;
	HOLDS(crew(worker) == 0);
	HOLDS(rc == -EIO || (rc == 0 && nth > SURE && d->then == kill_one));
	HOLDS(!rc || d->g.err.code == -EIO);
	HOLDS(!rc || (d->g.err.host_failed && d->g.err.stage == XR_STAGE_COPY));
	HOLDS(!rc || strstr(d->g.err.text, "died of signal 9"));
	xr_close(&r);
	feed_close(&d->g.feed);
	close(d->to_killer);
	HOLDS(waitpid(d->killer, NULL, 0) == d->killer);
	xr_model_stats(d->g.model, &st);
	HOLDS(st.leaked + st.released_empty + st.released_mapped + st.live_mappings == 0);
	rig_free(&d->g);
	return true;
}

static bool at_every_call(void *arg, char *why, size_t room)
{
	struct death *d = arg;
	uint64_t calls = SURE;

	setpgid(0, 0);
	for (uint64_t nth = 1; nth <= calls; nth++)
		if (!one_death(d, nth, &calls, why, room))
			return false;
	return true;
}

static bool at_one_call(void *arg, char *why, size_t room)
{
	uint64_t calls;

	setpgid(0, 0);
	return one_death(arg, SURE, &calls, why, room);
}

static void run(isolate_check check, struct death d)
{
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	for (d.kind = FEED_FILE; d.kind <= FEED_PIPE; d.kind++)
		cr_expect(isolated(check, &d, why), "%s", why);
}

Test(death, in_any_call_to_the_host, .timeout = 300)
{
	run(at_every_call, (struct death){ .name = "any", .records = 12, .then = kill_one });
}

Test(death, while_the_sender_stalls, .timeout = 300)
{
	run(at_one_call,
	    (struct death){
		    .name = "stalled", .records = 12, .then = kill_one, .in_progress = true });
}

/* More windows than the workers' queues hold. */
Test(death, while_the_dispatcher_waits_for_room, .timeout = 300)
{
	run(at_one_call,
	    (struct death){ .name = "full", .records = 60, .then = stop_all_kill_one });
}

/* All windows fit: the first wait is for the end of all. */
Test(death, while_the_workers_finish, .timeout = 300)
{
	run(at_one_call,
	    (struct death){ .name = "drain", .records = 6, .then = stop_all_kill_one });
}
