/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Worker processes as the caller, and the rest of the machine, see them. */
#include "run.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAMES 8192u

static const struct setup generations = {
	XR_WORKER_PROCESS, 3, true, { XR_UNMAP_AT_EXIT, 500 }, 0
};
static const struct setup threads = { XR_WORKER_THREAD, 2, true, { XR_UNMAP_AT_CLOSE, 0 }, 0 };

static void run_processes(void (*what)(struct rig *r, const struct setup *s))
{
	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	run(&generations, what);
}

static bool some_work(struct rig *r)
{
	bool ok = true;

	for (uint64_t k = 0; ok && k < 40; k++)
		ok = expect(r, write_from_file(r, k * 200, 200, k) == 0);
	return ok && expect(r, xr_copy_drain(r->c, &r->err) == 0);
}

static volatile sig_atomic_t children_heard;

static void on_child(int sig)
{
	(void)sig;
	children_heard++;
}

static void is_silent(struct rig *r, const struct setup *s)
{
	const struct sigaction act = { .sa_handler = on_child };

	sigaction(SIGCHLD, &act, NULL);
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	expect(r, waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	some_work(r);
	expect(r, xr_read(&xr_copy_arena(r->c)->lane[0].reaped) > 0);
	expect(r, waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	rig_free(r);
	expect(r, waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	expect(r, waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
	expect(r, children_heard == 0);
}

Test(processes, are_invisible_to_wait_and_sigchld)
{
	run_processes(is_silent);
}

/* SIGCHLD ignored makes the kernel reap children by itself: not those. */
static void with_sigchld_ignored(struct rig *r, const struct setup *s)
{
	signal(SIGCHLD, SIG_IGN);
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	some_work(r);
	rig_free(r);
}

Test(processes, work_where_sigchld_is_ignored)
{
	run_processes(with_sigchld_ignored);
}

static void holds_no_fds(struct rig *r, const struct setup *s)
{
	int p[2];
	char c;

	expect(r, pipe2(p, O_CLOEXEC) == 0);
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	close(p[1]);
	struct pollfd end = { .fd = p[0], .events = POLLIN };
	expect(r, poll(&end, 1, 10 * PATIENCE) == 1 && read(p[0], &c, 1) == 0);
	close(p[0]);
	some_work(r);
	rig_free(r);
}

Test(processes, hold_no_pipe_open)
{
	run_processes(holds_no_fds);
}

/* A handler of the caller's must not run in its workers, nor ^C end them. */
static void ignores_interrupts(struct rig *r, const struct setup *s)
{
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	for (uint32_t i = 0; i < r->g->state->npids; i++) {
		pid_t pid = r->g->state->pids[i];

		if (pid != getpid() && pid != getppid()) {
			kill(pid, SIGINT);
			kill(pid, SIGPIPE);
		}
	}
	some_work(r);
	rig_free(r);
}

Test(processes, ignore_interrupts)
{
	run_processes(ignores_interrupts);
}

static pid_t nursery_of(struct rig *r)
{
	char path[64], name[32] = "";

	for (uint32_t i = 0; i < r->g->state->npids; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/comm", r->g->state->pids[i]);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof(name), f) && !strcmp(name, "xr-nursery\n")) {
			fclose(f);
			return r->g->state->pids[i];
		}
		if (f)
			fclose(f);
	}
	return -1;
}

static void nursery_killed(struct rig *r, const struct setup *s)
{
	unsigned int tries = 0;
	pid_t nursery;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	some_work(r);
	nursery = nursery_of(r);
	if (expect(r, nursery > 0)) {
		kill(nursery, SIGKILL);
		/* The workers may still get something done before they go down with it. */
		while (!write_from_file(r, 0, 200, 0) && !xr_copy_drain(r->c, &r->err) &&
		       expect(r, tries++ < PATIENCE))
			nap();
		expect(r, r->err.code == -EIO && r->err.host_failed);
		expect(r, strstr(r->err.text, "looks after"));
		expect(r, xr_copy_check(r->c, NULL) == -EIO);
	}
	rig_free(r);
}

Test(processes, the_death_of_the_nursery_is_noticed)
{
	run_processes(nursery_killed);
}

static void nursery_killed_unseen(struct rig *r, const struct setup *s)
{
	unsigned int tries = 0;
	pid_t nursery;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	nursery = nursery_of(r);
	if (expect(r, nursery > 0)) {
		kill(nursery, SIGKILL);
		while (!xr_copy_check(r->c, &r->err) && expect(r, tries++ < PATIENCE))
			nap();
		expect(r, r->err.code == -EIO);
	}
	rig_free(r);
}

Test(processes, a_check_without_work_notices_too)
{
	run_processes(nursery_killed_unseen);
}

/* In a child of this one, so that it is this one that looks afterwards. */
static void opener_killed(struct rig *r, const struct setup *s)
{
	unsigned int tries = 0;
	int status;
	pid_t opener;

	if (!rig_new(r, FRAMES))
		return;
	opener = fork();
	if (opener == 0) {
		if (rig_open(r, s) && some_work(r)) {
			/* Some of them stuck, some idle. */
			__atomic_store_n(&r->g->state->stalled, 1, __ATOMIC_RELEASE);
			write_from_file(r, 0, 10, 0);
		}
		kill(getpid(), SIGKILL);
	}
	expect(r, waitpid(opener, &status, 0) == opener && WIFSIGNALED(status));
	while (guest_processes(r->g) && expect(r, tries++ < PATIENCE))
		nap();
	expect(r, r->g->state->npids >= 1 + s->workers);
	expect(r, guest_mapped(r->g, -1) == 0);
	rig_free(r);
}

Test(processes, do_not_outlive_a_killed_opener)
{
	run_processes(opener_killed);
}

/*
 * A child that the caller forked meanwhile holds copies of all the opener's fds. It ends with this
 * process, whatever happens: when the pipe does.
 */
static void opener_killed_with_a_child(struct rig *r, const struct setup *s)
{
	unsigned int tries = 0;
	pid_t opener;
	int p[2];
	char c;

	if (!rig_new(r, FRAMES) || !expect(r, pipe2(p, O_CLOEXEC) == 0))
		return;
	opener = fork();
	if (opener == 0) {
		close(p[1]);
		if (rig_open(r, s) && fork() == 0)
			_exit((int)read(p[0], &c, 1));
		kill(getpid(), SIGKILL);
	}
	close(p[0]);
	expect(r, waitpid(opener, NULL, 0) == opener);
	while (guest_processes(r->g) && expect(r, tries++ < PATIENCE))
		nap();
	expect(r, r->g->state->npids >= 1 + s->workers);
	close(p[1]);
	rig_free(r);
}

Test(processes, do_not_outlive_an_opener_with_another_child)
{
	run_processes(opener_killed_with_a_child);
}

/* Two stages in one process: closing the first must not wait for the second. */
static void two_stages(struct rig *r, const struct setup *s)
{
	struct rig second = { .fd = -1, .why = r->why };

	if (!rig_new(r, FRAMES) || !rig_open(r, s) || !rig_new(&second, FRAMES) ||
	    !rig_open(&second, s))
		return;
	some_work(r);
	some_work(&second);
	rig_free(r);
	some_work(&second);
	rig_free(&second);
}

Test(processes, of_two_stages_do_not_mix)
{
	run_processes(two_stages);
}

static void *wait_for(void *fd)
{
	uint64_t v;

	return read(*(int *)fd, &v, sizeof(v)) == sizeof(v) ? fd : NULL;
}

static void with_threads(struct rig *r, const struct setup *s)
{
	struct xr_copy_config cfg = {
		.workers = s->workers, .kind = XR_WORKER_PROCESS, .ordered = true, .fd = -1
	};
	const uint64_t one = 1;
	struct xr_copy_stats st;
	int go = eventfd(0, EFD_CLOEXEC);
	pthread_t t;

	pthread_create(&t, NULL, wait_for, &go);
	if (!rig_new(r, FRAMES))
		return;
	expect(r, xr_copy_open(&r->c, &r->g->host, &cfg, &r->err) == -EBUSY && !r->c);
	expect(r, strstr(r->err.text, "threads"));
	xr_error_clear(&r->err);
	cfg.kind = XR_WORKER_AUTO;
	if (expect(r, xr_copy_open(&r->c, &r->g->host, &cfg, &r->err) == 0)) {
		xr_copy_stats(r->c, &st);
		expect(r, st.kind == XR_WORKER_THREAD);
	}
	expect(r, write(go, &one, sizeof(one)) == sizeof(one));
	pthread_join(t, NULL);
	close(go);
	rig_free(r);
}

Test(processes, are_refused_to_a_caller_with_threads_and_a_host_of_its_own)
{
	run(&threads, with_threads);
}

static void automatic(struct rig *r, const struct setup *s)
{
	const struct xr_copy_config cfg = {
		.workers = s->workers, .kind = XR_WORKER_AUTO, .ordered = true, .fd = -1
	};
	struct xr_copy_stats st;

	if (!rig_new(r, FRAMES))
		return;
	if (expect(r, xr_copy_open(&r->c, &r->g->host, &cfg, &r->err) == 0)) {
		xr_copy_stats(r->c, &st);
		expect(r, st.kind == XR_WORKER_PROCESS);
	}
	rig_free(r);
}

Test(processes, are_what_a_caller_with_one_thread_gets)
{
	run_processes(automatic);
}
