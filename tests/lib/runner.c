/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the tests of a suite where Criterion's own runner cannot start: under ThreadSanitizer. Each
 * test is a child process; it has failed if an assertion did or the sanitizer has something to say.
 * Of libcriterion only the formatting of messages is used: what the tests call is defined here.
 */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 16u
#define SKIPPED 77
#define SLOWER 10u    /* how much longer than Criterion's timeout a test may take here */
#define PATIENCE 900u /* seconds, for a test without a timeout */

/* Criterion puts pointers to tests, and to suites that say something, into sections of these names.
 */
extern struct criterion_test *const __start_cr_tst[];
extern struct criterion_test *const __stop_cr_tst[];
extern struct criterion_suite *const __start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *const __stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

struct job {
	const struct criterion_test *test;
	pid_t pid; /* also of its process group; 0: none */
	FILE *said;
	uint64_t begun;
};

struct runner {
	const char *filter;
	const char *tap_path;
	FILE *tap;
	unsigned int jobs, failed;
	struct job job[JOBS_MAX];
};

/* --- in a test ------------------------------------------------------------------------------ */

static int failures;

__attribute__((noreturn)) static void leave(int status)
{
	fflush(NULL);
	_exit(status); /* 66 instead, if TSan has reported something */
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
	if (!stats->passed)
		fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
}

void criterion_continue_test(void)
{
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

void criterion_abort_test(void)
{
	leave(1);
}

void criterion_skip_test(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	leave(SKIPPED);
}

void cri_asserts_passed_incr(void)
{
}

/* A test's entry point calls these three in turn, as libcriterion wants it. */
void criterion_internal_test_setup(void)
{
}

void criterion_internal_test_main(void (*fn)(void))
{
	fn();
}

void criterion_internal_test_teardown(void)
{
}

/* What TestSuite() says, for all tests of it. */
static struct criterion_test_extra_data suite_of(const struct criterion_test *t)
{
	struct criterion_suite *const *s = __start_cr_sts;

	for (; s < __stop_cr_sts; s++) {
		if (*s && !strcmp((*s)->name, t->category))
			return *(*s)->data;
	}
	return (struct criterion_test_extra_data){ .timeout = 0 };
}

static unsigned int patience(const struct criterion_test *t)
{
	double timeout = t->data->timeout > 0 ? t->data->timeout : suite_of(t).timeout;

	return timeout > 0 ? (unsigned int)timeout * SLOWER : PATIENCE;
}

__attribute__((noreturn)) static void in_child(const struct job *j)
{
	const struct criterion_test_extra_data *d = j->test->data, suite = suite_of(j->test);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fileno(j->said), STDOUT_FILENO);
	dup2(fileno(j->said), STDERR_FILENO);
	alarm(patience(j->test));
	if (suite.init)
		suite.init();
	if (d->init)
		d->init();
	j->test->test();
	if (d->fini)
		d->fini();
	if (suite.fini)
		suite.fini();
	leave(__atomic_load_n(&failures, __ATOMIC_RELAXED) != 0);
}

/* --- around it ------------------------------------------------------------------------------ */

static const char *verdict(const struct criterion_test *t, int status)
{
	static char text[64];

	if (WIFSIGNALED(status) && WTERMSIG(status) == t->data->signal)
		return NULL;
	if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "%s (signal %d)",
			 WTERMSIG(status) == SIGALRM ? "stuck" : "died", WTERMSIG(status));
		return text;
	}
	if (WEXITSTATUS(status) == t->data->exit_code)
		return t->data->signal ? "lived on" : NULL;
	snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
	return text;
}

static void show(FILE *said)
{
	char buf[4096];
	size_t n;

	rewind(said);
	while ((n = fread(buf, 1, sizeof(buf), said)) > 0)
		fwrite(buf, 1, n, stdout);
}

static void report(struct runner *r, const struct job *j, int status)
{
	const char *why = verdict(j->test, status);
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
	bool failed = why && !skipped;

	if (why)
		show(j->said);
	printf("%s %s::%s (%.2fs)%s%s\n", failed ? "FAILED" : "ok", j->test->category,
	       j->test->name, (double)(xr_now() - j->begun) / 1e9, failed ? ": " : "",
	       skipped	? " # SKIP"
	       : failed ? why
			: "");
	fflush(stdout);
	fprintf(r->tap, "%s - %s::%s %s\n", failed ? "not ok" : "ok", j->test->category,
		j->test->name, skipped ? "# SKIP" : "");
	r->failed += failed;
}

static void finish_one(struct runner *r)
{
	int status = 0;
	pid_t pid = waitpid(-1, &status, 0);

	for (unsigned int i = 0; i < r->jobs; i++) {
		struct job *j = &r->job[i];

		if (pid <= 0 || j->pid != pid)
			continue;
		kill(-pid, SIGKILL); /* what it has left behind */
		report(r, j, status);
		fclose(j->said);
		j->pid = 0;
	}
}

static struct job *free_job(struct runner *r)
{
	for (unsigned int i = 0; i < r->jobs; i++) {
		if (!r->job[i].pid)
			return &r->job[i];
	}
	return NULL;
}

static bool start(struct runner *r, const struct criterion_test *t)
{
	struct job *j;

	while (!(j = free_job(r)))
		finish_one(r);
	*j = (struct job){ .test = t, .said = tmpfile(), .begun = xr_now() };
	if (!j->said)
		return false;
	fflush(NULL);
	j->pid = fork();
	if (j->pid == 0)
		in_child(j);
	return j->pid > 0;
}

static bool busy(const struct runner *r)
{
	for (unsigned int i = 0; i < r->jobs; i++) {
		if (r->job[i].pid)
			return true;
	}
	return false;
}

static bool wanted(const struct runner *r, const struct criterion_test *t)
{
	char name[512];

	snprintf(name, sizeof(name), "%s/%s", t->category, t->name);
	return !r->filter || fnmatch(r->filter, name, 0) == 0;
}

static bool run_all(struct runner *r)
{
	for (struct criterion_test *const *t = __start_cr_tst; t < __stop_cr_tst; t++) {
		if (!*t || !wanted(r, *t))
			continue;
		if ((*t)->data->kind_ != CR_TEST_NORMAL) {
			fprintf(stderr, "%s::%s has parameters: not known here\n", (*t)->category,
				(*t)->name);
			return false;
		}
		if (!(*t)->data->disabled && !start(r, *t)) {
			perror("cannot start a test");
			return false;
		}
	}
	while (busy(r))
		finish_one(r);
	return true;
}

static bool parse(struct runner *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "jobs", required_argument, NULL, 'j' },
		{ "filter", required_argument, NULL, 'f' },
		{ "tap", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "j:", options, NULL)) != -1) {
		if (c == 'j')
			r->jobs = (unsigned int)strtoul(optarg, NULL, 10);
		else if (c == 'f')
			r->filter = optarg;
		else if (c == 't')
			r->tap_path = optarg;
		else
			return false;
	}
	return optind == argc && r->jobs >= 1 && r->jobs <= JOBS_MAX;
}

int main(int argc, char **argv)
{
	struct runner r = { .jobs = 2, .tap_path = "/dev/null" };
	bool ok;

	if (!parse(&r, argc, argv)) {
		fprintf(stderr, "usage: %s [--jobs N] [--filter SUITE/TEST] [--tap=FILE]\n",
			argv[0]);
		return 2;
	}
	r.tap = fopen(r.tap_path, "we");
	if (!r.tap) {
		perror(r.tap_path);
		return 2;
	}
	ok = run_all(&r);
	if (fclose(r.tap))
		ok = false;
	return ok && !r.failed ? 0 : 1;
}
