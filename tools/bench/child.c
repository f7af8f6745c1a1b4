/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/child.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
#define NCAUGHT (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t signalled;
static struct sigaction before[NCAUGHT];

static void on_signal(int sig)
{
	signalled = sig;
}

void bench_signals_catch(void)
{
	const struct sigaction sa = { .sa_handler = on_signal };

	signalled = 0;
	for (size_t i = 0; i < NCAUGHT; i++) {
		sigaction(caught[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN) /* as nohup leaves it */
			sigaction(caught[i], &sa, NULL);
	}
}

void bench_signals_release(void)
{
	for (size_t i = 0; i < NCAUGHT; i++)
		sigaction(caught[i], &before[i], NULL);
}

int bench_signalled(void)
{
	return signalled;
}

pid_t bench_fork(void)
{
	const pid_t parent = getpid();
	struct sigaction sa;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (size_t i = 0; i < NCAUGHT; i++) {
		sigaction(caught[i], NULL, &sa);
		if (sa.sa_handler != SIG_IGN)
			signal(caught[i], SIG_DFL);
	}
	return 0;
}

static void become(const struct bench_job *job, int out, int err, const sigset_t *mask)
{
	FILE *f;
	int rc;

	if (dup2(job->in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (!job->argv) {
		f = fdopen(1, "w");
		rc = f ? job->body(job->arg, f) : 127;
		if (f)
			fflush(f);
		_exit(rc);
	}
	for (char *const *e = job->env; e && *e; e++)
		putenv(*e);
	execv(job->argv[0], job->argv);
	dprintf(2, "cannot run %s: %s\n", job->argv[0], strerror(errno));
	_exit(127);
}

static int poll_ms(const struct bench_job *job, uint64_t begun)
{
	const uint64_t gone = (xr_now() - begun) / 1000000, all = (uint64_t)job->timeout * 1000;
	uint64_t ms = job->timeout ? (gone < all ? all - gone : 0) : 60000;

	if (job->watch && ms > job->watch_ms)
		ms = job->watch_ms;
	return ms < 60000 ? (int)ms : 60000;
}

/* Signals are blocked but while it sleeps, so that none is missed. */
static int wait_end(pid_t pid, int pidfd, const struct bench_job *job, uint64_t begun,
		    const sigset_t *mask, bool *timed_out)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		const int ms = poll_ms(job, begun);
		const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
		const int n = ppoll(&p, 1, &t, mask);

		if (n > 0)
			return 0;
		if (signalled)
			return -ECANCELED;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (job->watch)
			job->watch(pid, job->watch_arg);
		if (job->timeout && xr_now() - begun >= job->timeout * 1000000000ull) {
			*timed_out = true;
			return 0;
		}
	}
}

static char *slurp(int fd)
{
	struct stat st;
	size_t n = fstat(fd, &st) ? 0 : (size_t)st.st_size, got = 0;
	char *text;

	if (n > OUTPUT_MAX)
		n = OUTPUT_MAX;
	text = malloc(n + 1);
	while (text && got < n) {
		ssize_t r = pread(fd, text + got, n - got, (off_t)got);

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	if (text)
		text[got] = '\0';
	return text;
}

static double seconds_of(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static int reap(pid_t pid, struct bench_outcome *o)
{
	struct rusage u;

	while (wait4(pid, &o->status, 0, &u) < 0)
		if (errno != EINTR)
			return -errno;
	o->cpu_seconds = seconds_of(&u.ru_utime) + seconds_of(&u.ru_stime);
	return 0;
}

static int start_and_wait(const struct bench_job *job, int out, int err, struct bench_outcome *o)
{
	const uint64_t begun = xr_now();
	sigset_t blocked, mask;
	int rc = 0, pidfd, reaped;
	pid_t pid;

	sigemptyset(&blocked);
	for (size_t i = 0; i < NCAUGHT; i++)
		sigaddset(&blocked, caught[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	pid = bench_fork();
	if (pid == 0)
		become(job, out, err, &mask);
	pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		rc = -errno;
	if (!rc)
		rc = wait_end(pid, pidfd, job, begun, &mask, &o->timed_out);
	if (pid > 0 && (rc || o->timed_out))
		kill(pid, SIGKILL);
	reaped = pid > 0 ? reap(pid, o) : 0;
	o->seconds = (double)(xr_now() - begun) / 1e9;
	if (pidfd >= 0)
		close(pidfd);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return rc ? rc : reaped;
}

int bench_child_run(const struct bench_job *job, struct bench_outcome *o)
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	int rc = out < 0 || err < 0 ? -errno : 0;

	memset(o, 0, sizeof(*o));
	if (!rc && signalled)
		rc = -ECANCELED;
	if (!rc)
		rc = start_and_wait(job, out, err, o);
	if (!rc) {
		o->out = slurp(out);
		o->err = slurp(err);
		if (!o->out || !o->err) {
			bench_outcome_free(o);
			rc = -ENOMEM;
		}
	}
	if (out >= 0)
		close(out);
	if (err >= 0)
		close(err);
	return rc;
}

void bench_outcome_free(struct bench_outcome *o)
{
	free(o->out);
	free(o->err);
	o->out = o->err = NULL;
}

void bench_outcome_say(const struct bench_outcome *o, char *text, size_t size)
{
	if (o->timed_out)
		snprintf(text, size, "was stopped after %.0f s", o->seconds);
	else if (WIFSIGNALED(o->status))
		snprintf(text, size, "was killed by signal %d", WTERMSIG(o->status));
	else
		snprintf(text, size, "exited with %d", WEXITSTATUS(o->status));
}
