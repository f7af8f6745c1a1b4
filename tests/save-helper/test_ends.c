/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restores that end before their end, by a signal or with libxl, at every point of their life. */
#include "fixture.h"

#include "lib/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLLS 2000 /* of 10 ms */
#define RUNS 48u
#define LIFE_MS 400u /* of a restore, served as libxl.c does */
#define SILENT 30    /* bytes: not even the headers are whole */
#define SOME (4u << 20)

TestSuite(save_helper_ends, .init = setup, .fini = teardown, .timeout = 300);

static unsigned int processes(pid_t session)
{
	char line[64];
	unsigned int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "pgrep -c -s %d", session);
	f = popen(line, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

struct victim {
	struct xr_model *m;
	struct libxl l;
	pid_t writer;
};

static void begin(struct victim *v, size_t bytes, const char *hold)
{
	int fd;

	v->m = domain(false);
	v->l = (struct libxl){ .hold = hold };
	fd = piped_stream(&v->writer, bytes, true);
	start_restore(&v->l, fd, PLAIN, 0);
	close(fd);
}

static int end(struct victim *v)
{
	int status = libxl_wait(&v->l);

	libxl_hang_up(&v->l.out);
	libxl_hang_up(&v->l.replies);
	kill(v->writer, SIGKILL);
	waitpid(v->writer, NULL, 0);
	xr_model_destroy(&v->m);
	return status;
}

static void until(struct victim *v, const char *said)
{
	while (!strstr(v->l.order, said))
		cr_assert(libxl_serve_one(&v->l), "%s", libxl_stderr(&v->l));
}

/* It has them before it reads. */
static void await_workers(struct victim *v)
{
	for (int n = 0; processes(v->l.pid) < (NO_PROCESSES ? 1 : 2); n++) {
		cr_assert_lt(n, POLLS);
		usleep(10000);
	}
}

/* --- the points of its life ------------------------------------------------------------------- */

static void nothing_was_sent(struct victim *v)
{
	begin(v, 0, NULL);
	await_workers(v);
}

static void headers_are_cut(struct victim *v)
{
	begin(v, SILENT, NULL);
	await_workers(v);
}

static void it_waits_for_static_data_done(struct victim *v)
{
	begin(v, SOME, "static");
	until(v, "static");
}

/* Pages are in the guest, workers are at hand, more of the stream is missing. */
static void it_waits_for_pages(struct victim *v)
{
	struct xr_model_stats st;
	int n = 0;

	begin(v, SOME, NULL);
	until(v, "static");
	do {
		xr_model_stats(v->m, &st);
		usleep(10000);
	} while (!st.pages_mapped && n++ < POLLS);
	cr_assert_gt(st.pages_mapped, 0);
	cr_assert_geq(processes(v->l.pid), NO_PROCESSES ? 1 : 2, "no workers to look for");
}

static void it_waits_for_its_dismissal(struct victim *v)
{
	begin(v, ALL, "complete");
	until(v, "complete");
}

static const struct {
	const char *name;
	void (*reach)(struct victim *v);
} points[] = {
	{ "nothing sent yet", nothing_was_sent },
	{ "within the headers", headers_are_cut },
	{ "static_data_done unanswered", it_waits_for_static_data_done },
	{ "waiting for pages", it_waits_for_pages },
	{ "complete unanswered", it_waits_for_its_dismissal },
};

#define POINTS (sizeof(points) / sizeof(points[0]))

/* --- its ends --------------------------------------------------------------------------------- */

static void expect_killed_by(int sig)
{
	for (size_t i = 0; i < POINTS; i++) {
		struct victim v;
		int status;

		points[i].reach(&v);
		cr_assert_eq(kill(v.l.pid, sig), 0);
		libxl_serve(&v.l); /* frames are whole, and nobody holds the pipe open */
		status = end(&v);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == sig, "%s: status %#x",
			  points[i].name, status);
	}
}

Test(save_helper_ends, sigterm_ends_it_at_every_point)
{
	expect_killed_by(SIGTERM);
}

/* As the kernel does without memory. */
/* Who keeps a file until it is complete goes along, and holds nothing of libxl's open meanwhile. */
Test(save_helper_ends, files_that_were_asked_for_change_nothing_of_that)
{
	ask_for_files(in_dir("."));
	expect_killed_by(SIGTERM);
	expect_killed_by(SIGKILL);
}

Test(save_helper_ends, killed_at_every_point_it_leaves_no_worker)
{
	expect_killed_by(SIGKILL);
}

/* The kernel closes both pipes of a libxl that dies. */
Test(save_helper_ends, it_ends_with_libxl_at_every_point)
{
	for (size_t i = 0; i < POINTS; i++) {
		struct victim v;

		points[i].reach(&v);
		libxl_hang_up(&v.l.replies);
		libxl_hang_up(&v.l.out);
		cr_expect_neq(end(&v), 0, "%s", points[i].name);
	}
}

Test(save_helper_ends, it_ends_at_every_point_when_nobody_can_answer)
{
	for (size_t i = 0; i < POINTS; i++) {
		struct victim v;
		int status;

		points[i].reach(&v);
		v.l.hold = "complete"; /* it may get as far as that */
		libxl_hang_up(&v.l.replies);
		libxl_serve(&v.l);
		status = end(&v);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status), "%s: status %#x",
			  points[i].name, status);
	}
}

static pid_t signal_later(pid_t pid, unsigned int ms)
{
	pid_t killer = fork();

	if (killer)
		return killer;
	usleep(ms * 1000);
	kill(pid, SIGTERM);
	_exit(0);
}

/* Whatever it does just then: starts, forks, reads, maps, speaks, ends. True: it did not get
 * through. */
static bool cut_short(struct rng *rng)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .dying = true };
	const unsigned int ms = (unsigned int)rng_below(rng, LIFE_MS);
	const bool by_signal = rng_below(rng, 2);
	int fd = stream_file(), status;
	pid_t killer = 0;
	bool done;

	start_restore(&l, fd, PLAIN, 0);
	close(fd);
	if (by_signal) {
		killer = signal_later(l.pid, ms);
		libxl_serve(&l);
	} else {
		libxl_serve_for(&l, ms);
		libxl_hang_up(&l.replies);
		libxl_hang_up(&l.out);
	}
	status = libxl_wait(&l);
	if (killer)
		waitpid(killer, NULL, 0);
	done = strstr(l.order, "complete");
	cr_expect(done || status, "status %#x after %u ms, %s", status, ms, l.order);
	if (by_signal && status)
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status %#x", status);
	libxl_hang_up(&l.replies);
	libxl_hang_up(&l.out);
	xr_model_destroy(&m);
	return !done;
}

Test(save_helper_ends, it_ends_cleanly_at_any_moment)
{
	const char *env = getenv("XR_SEED");
	const uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)getpid();
	struct rng rng = rng_seed(seed);
	unsigned int cut = 0;

	fprintf(stderr, "ends: XR_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned int i = 0; i < FEWER(RUNS); i++)
		cut += cut_short(&rng);
	cr_expect_gt(cut, 0, "all got through");
}

/* --- the sender ------------------------------------------------------------------------------- */

/* A connection that is torn down tells so, other than one that was closed. */
Test(save_helper_ends, a_sender_that_resets_is_told)
{
	static char bytes[SOME];
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };
	int file = stream_file(), s[2];
	pid_t writer;

	cr_assert_eq(read(file, bytes, sizeof(bytes)), sizeof(bytes));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	writer = fork();
	if (writer == 0) {
		close(s[0]);
		_exit(send(s[1], bytes, sizeof(bytes), 0) != sizeof(bytes));
	}
	close(s[1]);
	/* What it never reads makes its end a reset. */
	cr_assert_eq(write(s[0], "", 1), 1);
	start_restore(&l, s[0], PLAIN, 0);
	close(s[0]);
	libxl_serve(&l);
	expect_exit(&l, 0);
	cr_expect_str_eq(l.order, "static results complete");
	cr_expect_eq(l.retval, -1);
	cr_expect_eq(l.errnoval, ECONNRESET);
	cr_expect_eq(errors(&l), 2);
	cr_expect_eq(errors_with(&l, "offset"), 1);
	waitpid(writer, NULL, 0);
	close(file);
	xr_model_destroy(&m);
}
