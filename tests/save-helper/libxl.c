/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libxl.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS 100
#define POLLS 2000 /* of 10 ms */

enum {
	LOG = 1,
	PROGRESS = 2,
	SUSPEND = 3,
	POSTCOPY = 4,
	CHECKPOINT = 5,
	WAIT_CHECKPOINT = 6,
	STATIC_DATA_DONE = 8,
	RESTORE_RESULTS = 9,
	COMPLETE = 10,
};

struct frame {
	size_t used, size; /* of the arguments */
	unsigned char bytes[65535];
};

/* A preloaded library comes before the sanitizer's own, which objects. */
static void environment(void)
{
	const char *asan = getenv("ASAN_OPTIONS"), *before = getenv("XR_TEST_BEFORE");
	char options[512], preload[512];

	snprintf(options, sizeof(options), "%s:verify_asan_link_order=0", asan ? asan : "");
	setenv("ASAN_OPTIONS", options, 1);
	snprintf(preload, sizeof(preload), "%s%s%s", before ? before : "", before ? ":" : "",
		 PRELOAD);
	setenv("LD_PRELOAD", preload, 1);
}

/* libxl leaves SIGTERM blocked and SIGPIPE at its default. */
__attribute__((noreturn)) static void helper(char *const argv[], int in, int out, int err)
{
	char *all[16] = { (char *)HELPER };
	sigset_t term;

	for (size_t i = 0; argv[i] && i < 14; i++)
		all[i + 1] = argv[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
	setsid();
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	environment();
	if (dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2) {
		if (getenv("XR_TEST_NO_STDERR"))
			close(2);
		execv(HELPER, all);
	}
	_exit(127);
}

void libxl_start(struct libxl *l, char *const argv[])
{
	int in[2], out[2];

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* its orphans become ours to count */
	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	l->err = memfd_create("stderr", MFD_CLOEXEC);
	cr_assert_geq(l->err, 0);
	l->pid = fork();
	if (l->pid == 0)
		helper(argv, in[0], out[1], l->err);
	cr_assert_gt(l->pid, 0);
	close(in[0]);
	close(out[1]);
	l->replies = in[1];
	l->out = out[0];
}

/* How much of n bytes there is before the output ends. */
static size_t take(struct libxl *l, void *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(l->out, (char *)to + done, n - done);

		cr_assert(got >= 0 || errno == EINTR);
		if (!got)
			break;
		if (got > 0)
			done += (size_t)got;
	}
	return done;
}

static void get(struct frame *f, void *to, size_t n)
{
	cr_assert_leq(f->used + n, f->size, "a message is too short");
	memcpy(to, f->bytes + f->used, n);
	f->used += n;
}

static uint32_t get_u32(struct frame *f)
{
	uint32_t v;

	get(f, &v, sizeof(v));
	return v;
}

static uint64_t get_u64(struct frame *f)
{
	uint64_t v;

	get(f, &v, sizeof(v));
	return v;
}

static const char *get_string(struct frame *f)
{
	const char *s = (const char *)f->bytes + f->used + 4;
	uint32_t n = get_u32(f);

	cr_assert(n >= 1 && n <= f->size - f->used, "a string of %u bytes", n);
	cr_assert_eq(strnlen(s, n), n - 1, "NULs not just at a string's end");
	f->used += n;
	return s;
}

static void take_log(struct libxl *l, struct frame *f)
{
	struct log *g = &l->logs[l->nlogs++];

	cr_assert_leq(l->nlogs, LOGS_MAX);
	g->level = get_u32(f);
	cr_expect(g->level >= 1 && g->level <= 9, "log level %u", g->level);
	g->errnoval = get_u32(f);
	cr_expect_neq(get_string(f)[0], '\0', "no context");
	snprintf(g->text, sizeof(g->text), "%s", get_string(f));
}

static void take_progress(struct libxl *l, struct frame *f)
{
	uint64_t done;

	get_string(f);
	get_string(f);
	done = get_u64(f);
	cr_expect_leq(done, get_u64(f));
	l->progress++;
}

static void note(struct libxl *l, const char *what)
{
	size_t n = strlen(l->order);

	snprintf(l->order + n, sizeof(l->order) - n, "%s%s", n ? " " : "", what);
}

/* It must say nothing, nor leave, until it has its answer. */
static void answer(struct libxl *l, const char *what, int32_t value)
{
	struct pollfd p = { .fd = l->out, .events = POLLIN };
	ssize_t n;

	note(l, what);
	if (l->hold && !strcmp(l->hold, what))
		return;
	if (l->dying) {
		poll(&p, 1, QUIET_MS);
		n = write(l->replies, &value, sizeof(value));
		(void)n;
		return;
	}
	cr_expect_eq(poll(&p, 1, QUIET_MS), 0, "it does not wait for the reply");
	cr_expect_eq(write(l->replies, &value, sizeof(value)), sizeof(value));
}

/* It keeps its hands off the stream meanwhile: that is for `ask` to see. */
static void ask(struct libxl *l, const char *what)
{
	cr_assert_not_null(l->ask, "%s is no message of a plain restore", what);
	if (l->hold && !strcmp(l->hold, what))
		note(l, what);
	else
		answer(l, what, l->ask(l->arg, what));
}

static void dispatch(struct libxl *l, uint16_t number, struct frame *f)
{
	switch (number) {
	case LOG:
		take_log(l, f);
		break;
	case PROGRESS:
		take_progress(l, f);
		break;
	case STATIC_DATA_DONE:
		l->missing = get_u32(f);
		answer(l, "static", l->refuse);
		break;
	case RESTORE_RESULTS:
		l->store_gfn = get_u64(f);
		l->console_gfn = get_u64(f);
		note(l, "results");
		break;
	case COMPLETE:
		l->retval = (int)get_u32(f);
		l->errnoval = (int)get_u32(f);
		answer(l, "complete", 0);
		break;
	case SUSPEND:
		ask(l, "suspend");
		break;
	case POSTCOPY:
		ask(l, "postcopy");
		break;
	case CHECKPOINT:
		ask(l, "checkpoint");
		break;
	case WAIT_CHECKPOINT:
		ask(l, "wait");
		break;
	default:
		cr_assert_fail("message %u is none of a restore", number);
	}
}

bool libxl_serve_one(struct libxl *l)
{
	static struct frame f;
	uint16_t length, number;
	size_t n = take(l, &length, sizeof(length));

	if (!n)
		return false;
	cr_assert_eq(n, sizeof(length), "half a length");
	cr_assert_geq(length, sizeof(number));
	cr_assert_eq(take(l, &number, sizeof(number)), sizeof(number));
	f.used = 0;
	f.size = length - sizeof(number);
	cr_assert_eq(take(l, f.bytes, f.size), f.size, "message %u is cut", number);
	dispatch(l, number, &f);
	cr_assert_eq(f.used, f.size, "message %u has %zu bytes too many", number, f.size - f.used);
	return true;
}

void libxl_serve(struct libxl *l)
{
	while (libxl_serve_one(l))
		;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool libxl_serve_for(struct libxl *l, unsigned int ms)
{
	struct pollfd p = { .fd = l->out, .events = POLLIN };
	const int64_t until = now_ms() + ms;
	int64_t left;

	while ((left = until - now_ms()) > 0) {
		if (poll(&p, 1, (int)left) > 0 && !libxl_serve_one(l))
			return false;
	}
	return true;
}

/* Reap what is left of a process group. True: nothing is. */
static bool all_gone(pid_t group, pid_t leader, int *status)
{
	int s;
	pid_t pid;

	while ((pid = waitpid(-group, &s, WNOHANG)) > 0) {
		if (pid == leader)
			*status = s;
	}
	return pid < 0 && errno == ECHILD && kill(-group, 0) && errno == ESRCH;
}

int libxl_wait(struct libxl *l)
{
	int status = -1, n = 0;

	while (!all_gone(l->pid, l->pid, &status) && n++ < POLLS)
		usleep(10000);
	if (n > POLLS)
		kill(-l->pid, SIGKILL);
	cr_assert_leq(n, POLLS, "the helper or a worker of it stays");
	return status;
}

void libxl_hang_up(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

const char *libxl_stderr(struct libxl *l)
{
	static char text[8192];
	ssize_t n = pread(l->err, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}
