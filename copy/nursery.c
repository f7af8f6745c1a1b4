/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that forks the workers and looks after them, and how the opener deals with it. */
#include "base/clock.h"
#include "copy/crew.h"
#include "copy/sandbox.h"
#include "copy/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Workers of a lane that left and are not gone yet: more would only pile up mappings. */
#define LEAVERS_MAX 2u

struct child {
	pid_t pid;
	int pidfd;
	unsigned int lane;
	uint64_t generation; /* from 1 */
};

/* What the opener asks for: end when the workers have left by themselves, or kill them. */
enum { SOON = 'q', NOW = 'k' };

struct tree {
	const struct xr_crew_config *cfg;
	struct xr_nursery_fds fds; /* workers hold control, too: it is closed when all are gone */
	struct xr_filter filter;   /* for workers; empty: none */
	bool quitting;
	uint64_t deadline; /* ns; then kill. 0: not quitting, or killed already */
	uint64_t started[XR_LANES_MAX];
	struct child child[XR_LANES_MAX * (LEAVERS_MAX + 1)];
	unsigned int n;
};

static void nursery_failed(struct tree *t, int code, unsigned int lane, const char *what, int value)
{
	xr_fail_host(&t->cfg->arena->nursery_error, code, XR_STAGE_COPY, NULL, XR_NO_PFN,
		     "copy worker %u %s %d (%s)", lane, what, value,
		     code == -EAGAIN ? strerror(value) : strsignal(value));
	xr_arena_report(t->cfg->arena, XR_NURSERY_LANE);
}

__attribute__((noreturn)) static void worker_process(struct tree *t, unsigned int lane,
						     pid_t parent)
{
	const uint64_t ring = 1;
	char name[24];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	snprintf(name, sizeof(name), "xr-copy/%u", lane);
	xr_sandbox_process(name);
	close(t->fds.opener);
	for (unsigned int i = 0; i < t->n; i++)
		close(t->child[i].pidfd);
	xr_worker_run(t->cfg, lane, t->filter.len ? &t->filter : NULL);
	if (write(t->fds.bell, &ring, sizeof(ring)) < 0)
		_exit(1);
	_exit(0);
}

/*
 * By fork(), not by a bare clone as for the nursery: it leaves the C library of the child with its
 * right thread id, which robust and recursive locks in shared memory go by.
 */
static void start_worker(struct tree *t, unsigned int lane)
{
	struct child *c = &t->child[t->n];
	pid_t me = getpid(), pid = fork();

	if (pid == 0)
		worker_process(t, lane, me);
	if (pid < 0) {
		nursery_failed(t, -EAGAIN, lane, "cannot be started: error", errno);
		return;
	}
	c->pid = pid;
	c->lane = lane;
	c->generation = ++t->started[lane];
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	t->n++;
	if (c->pidfd < 0)
		nursery_failed(t, -EAGAIN, lane, "cannot be watched: error", errno);
}

static void start_missing(struct tree *t)
{
	struct xr_arena *a = t->cfg->arena;

	for (unsigned int i = 0; i < a->nlanes; i++) {
		uint64_t left = xr_read(&a->lane[i].left);

		if (t->started[i] == left && left - xr_read(&a->lane[i].reaped) < LEAVERS_MAX &&
		    !t->quitting && !xr_arena_failed(a))
			start_worker(t, i);
	}
}

static void bury(struct tree *t, const struct child *c, const siginfo_t *si)
{
	struct xr_lane *l = &t->cfg->arena->lane[c->lane];
	bool killed = si->si_code != CLD_EXITED;
	bool fault = killed && (si->si_status == SIGBUS || si->si_status == SIGSEGV);

	if (c->generation <= xr_read(&l->left)) {
		xr_count(&l->reaped, 1);
		xr_event_signal(&t->cfg->arena->progress);
	} else if (killed) {
		nursery_failed(t, fault ? -EFAULT : -EIO, c->lane, "died of signal", si->si_status);
	} else if (!__atomic_load_n(&t->cfg->arena->stop, __ATOMIC_ACQUIRE)) {
		nursery_failed(t, -EIO, c->lane, "ended by itself, status", si->si_status);
	}
}

static void reap(struct tree *t)
{
	for (unsigned int i = 0; i < t->n;) {
		struct child c = t->child[i];
		siginfo_t si = { 0 };

		if (waitid(P_PID, (id_t)c.pid, &si, WEXITED | WNOHANG) || si.si_pid != c.pid) {
			i++;
			continue;
		}
		close(c.pidfd);
		t->child[i] = t->child[--t->n];
		bury(t, &c, &si);
	}
}

static void kill_all(struct tree *t)
{
	for (unsigned int i = 0; i < t->n; i++)
		kill(t->child[i].pid, SIGKILL);
	t->deadline = 0;
}

/* The opener is gone, and nobody needs to hear of errors. */
__attribute__((noreturn)) static void end_all(struct tree *t)
{
	kill_all(t);
	for (unsigned int i = 0; i < t->n; i++)
		waitid(P_PID, (id_t)t->child[i].pid, NULL, WEXITED);
	_exit(0);
}

static void heed_opener(struct tree *t)
{
	char what;

	if (recv(t->fds.control, &what, 1, MSG_DONTWAIT) != 1 || what == NOW)
		end_all(t);
	t->quitting = true;
	t->deadline = xr_now() + XR_GRACE_MS * 1000000ull;
}

static int time_left(struct tree *t)
{
	uint64_t now = xr_now();

	if (!t->deadline)
		return -1;
	return now >= t->deadline ? 0 : (int)((t->deadline - now) / 1000000) + 1;
}

static void watch(struct tree *t)
{
	struct pollfd p[3 + sizeof(t->child) / sizeof(t->child[0])] = {
		{ .fd = t->fds.control, .events = POLLIN },
		{ .fd = t->fds.opener, .events = POLLIN },
		{ .fd = t->fds.bell, .events = POLLIN },
	};
	uint64_t rung;

	for (unsigned int i = 0; i < t->n; i++)
		p[3 + i] = (struct pollfd){ .fd = t->child[i].pidfd, .events = POLLIN };
	if (poll(p, 3 + t->n, time_left(t)) < 0)
		return;
	if (p[1].revents)
		end_all(t);
	if (p[0].revents)
		heed_opener(t);
	if (p[2].revents && read(t->fds.bell, &rung, sizeof(rung)) < 0)
		return;
	if (!time_left(t))
		kill_all(t);
	reap(t);
}

/* A kernel without filters leaves it as it is: that is for the opener to tell. */
static void confine(struct tree *t)
{
	int rc = t->cfg->sandbox ? xr_filter_make(&t->filter, XR_FILTER_WORKER) : 0;

	if (!rc && t->cfg->sandbox)
		rc = xr_filter_confine(XR_FILTER_NURSERY);
	if (!rc || rc == -ENOSYS)
		return;
	errno = -rc;
	xr_fail_host(&t->cfg->arena->nursery_error, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
		     "the process that looks after the copy workers cannot be confined: %m");
	xr_arena_report(t->cfg->arena, XR_NURSERY_LANE);
}

void xr_nursery_serve(const struct xr_crew_config *cfg, const struct xr_nursery_fds *fds)
{
	/* A regular file, the stream among them, is kept in any case; a pipe is nothing for
	 * workers. */
	const int keep[] = { fds->control, fds->opener, fds->bell };
	struct tree t = { .cfg = cfg, .fds = *fds };

	xr_sandbox_signals();
	xr_sandbox_fds(keep, sizeof(keep) / sizeof(keep[0]));
	xr_sandbox_process("xr-nursery");
	confine(&t);
	while (!t.quitting || t.n) {
		start_missing(&t);
		watch(&t);
	}
	_exit(0);
}

/* A child without an exit signal: neither SIGCHLD nor wait(-1) tell the caller about it. */
static pid_t clone_silently(int *pidfd)
{
	return (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, pidfd, NULL, 0);
}

/* Threads of the program. Not io_uring's own (iou-wrk-..., iou-sqp-...): they are the kernel's,
 * hold no lock that a fork could tear, and stay a while after their ring is closed. -1: not known.
 */
static int count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d))) {
		char path[sizeof(e->d_name) + 8], comm[4] = "";
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/comm", e->d_name);
		fd = openat(dirfd(d), path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue; /* it has ended meanwhile */
		if (read(fd, comm, sizeof(comm)) < 0 || memcmp(comm, "iou-", sizeof(comm)) != 0)
			n++;
		close(fd);
	}
	closedir(d);
	return n;
}

/* A thread that was joined is still listed until the kernel is done with it: look again. */
bool xr_nursery_possible(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int n = count_threads();

	for (int again = 0; n > 1 && again < 20; again++) {
		nanosleep(&moment, NULL);
		n = count_threads();
	}
	return n == 1;
}

static int start_failed(const char *what, struct xr_error *err)
{
	int code = -errno;

	return xr_fail_host(err, code, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			    "cannot start copy worker processes: %s: %m", what);
}

/* The child: a nursery, or what starts the program that is one. */
static pid_t start_child(int *pidfd, const struct xr_crew_config *cfg,
			 const struct xr_nursery_fds *fds, const struct xr_spawn *spawn)
{
	sigset_t all, before;
	pid_t pid;

	/* No handler of the caller's may run in the child before it has shed them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone_silently(pidfd);
	if (pid == 0 && spawn)
		xr_spawn_run(spawn);
	if (pid == 0)
		xr_nursery_serve(cfg, fds);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static int start(struct xr_nursery *n, const struct xr_crew_config *cfg,
		 const struct xr_nursery_fds *fds, bool spawned, struct xr_error *err)
{
	struct xr_spawn spawn;
	int rc = spawned ? xr_spawn_prepare(&spawn, cfg, fds) : 0;
	pid_t pid;

	if (rc) {
		errno = -rc;
		return start_failed("no ticket", err);
	}
	pid = start_child(&n->pidfd, cfg, fds, spawned ? &spawn : NULL);
	if (pid < 0)
		rc = start_failed("clone", err);
	if (spawned)
		xr_spawn_done(&spawn);
	return rc;
}

int xr_nursery_start(struct xr_nursery *n, const struct xr_crew_config *cfg, bool spawned,
		     struct xr_error *err)
{
	struct xr_nursery_fds fds = { -1, -1, -1 };
	int pair[2] = { -1, -1 }, rc;

	n->pidfd = n->control = -1;
	fds.opener = (int)syscall(SYS_pidfd_open, getpid(), 0);
	fds.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fds.opener < 0 || fds.bell < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		rc = start_failed("no file descriptors", err);
		goto out;
	}
	fds.control = pair[1];
	rc = start(n, cfg, &fds, spawned, err);
	if (!rc) {
		n->control = pair[0];
		pair[0] = -1;
	}
out:
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
	}
	if (fds.bell >= 0)
		close(fds.bell);
	if (fds.opener >= 0)
		close(fds.opener);
	return rc;
}

bool xr_nursery_alive(const struct xr_nursery *n)
{
	struct pollfd p = { .fd = n->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) <= 0;
}

/* True when all of them are gone. */
static bool await_end(const struct xr_nursery *n, unsigned int ms)
{
	uint64_t now = xr_now(), until = now + ms * 1000000ull;
	struct pollfd p = { .fd = n->control };
	int got = 0;

	for (; got <= 0 && now < until; now = xr_now())
		got = poll(&p, 1, (int)((until - now) / 1000000) + 1);
	return got > 0;
}

void xr_nursery_stop(struct xr_nursery *n, struct xr_arena *arena, bool hurry)
{
	siginfo_t si;
	char what;

	xr_arena_stop(arena);
	if (n->pidfd < 0)
		return;
	what = hurry ? NOW : SOON;
	send(n->control, &what, 1, MSG_NOSIGNAL);
	if (!await_end(n, XR_GRACE_MS + XR_GRACE_MS / 2)) {
		/* Workers go down with their parent. */
		syscall(SYS_pidfd_send_signal, n->pidfd, SIGKILL, NULL, 0);
		await_end(n, XR_GRACE_MS);
	}
	while (waitid(P_PIDFD, (id_t)n->pidfd, &si, WEXITED | __WALL) && errno == EINTR)
		;
	close(n->control);
	close(n->pidfd);
	n->pidfd = n->control = -1;
}
