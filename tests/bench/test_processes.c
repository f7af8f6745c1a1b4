/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of the bench: sources carry every byte, children end with it, failures are told. */
#include "bench/bench.h"
#include "bench/child.h"
#include "bench/limit.h"
#include "bench/mapped.h"
#include "lib/isolate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((5u << 20) + 4321)

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static int make_file(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	unsigned char *p;

	cr_assert(fd >= 0 && !ftruncate(fd, BYTES));
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	for (size_t i = 0; i < BYTES; i++)
		p[i] = byte_at(i);
	munmap(p, BYTES);
	return fd;
}

Test(source, every_kind_carries_the_bytes)
{
	static unsigned char buf[65521];
	const int file = make_file();

	for (unsigned int kind = 0; kind < SOURCE_COUNT; kind++) {
		struct bench_feed feed;
		size_t at = 0;
		ssize_t n;

		cr_assert_eq(bench_source_open(kind, file, 1u << 20, &feed), 0);
		while ((n = read(feed.fd, buf, sizeof(buf))) > 0)
			for (ssize_t i = 0; i < n; i++, at++)
				cr_assert_eq(buf[i], byte_at(at), "%s, byte %zu",
					     bench_source_names[kind], at);
		cr_assert_eq(at, BYTES, "%s", bench_source_names[kind]);
		cr_assert_eq(bench_source_close(&feed), 0);
	}
	close(file);
}

Test(source, a_reader_may_stop_early)
{
	const int file = make_file();

	for (unsigned int kind = 0; kind < SOURCE_COUNT; kind++) {
		struct bench_feed feed;
		char c;

		cr_assert_eq(bench_source_open(kind, file, 0, &feed), 0);
		cr_assert_eq(read(feed.fd, &c, 1), 1);
		cr_assert_eq(bench_source_close(&feed), 0, "%s", bench_source_names[kind]);
	}
	cr_assert_eq(waitpid(-1, NULL, 0), -1);
	cr_assert_eq(errno, ECHILD);
	close(file);
}

static int make_nothing(int fd, void *arg)
{
	(void)fd, (void)arg;
	return -ENOSPC;
}

Test(source, a_writer_that_fails_is_told)
{
	struct bench_feed feed;
	char c;

	cr_assert_eq(bench_source_make(SOURCE_PIPE, make_nothing, NULL, 0, &feed), 0);
	cr_assert_eq(read(feed.fd, &c, 1), 0);
	cr_assert_eq(bench_source_close(&feed), -EIO);
}

Test(limit, reads_all_or_says_so)
{
	const int file = make_file();

	for (unsigned int kind = 0; kind < SOURCE_COUNT; kind++) {
		for (unsigned int threads = 1; threads <= 3; threads++) {
			for (unsigned int more = 0; more < 2; more++) {
				struct bench_limit l;
				struct bench_feed feed;

				cr_assert_eq(bench_source_open(kind, file, 0, &feed), 0);
				cr_assert_eq(bench_limit_run(feed.fd, BYTES + more, threads, &l),
					     more ? -ENODATA : 0, "%s, %u threads",
					     bench_source_names[kind], threads);
				bench_source_close(&feed);
			}
		}
	}
	close(file);
}

struct mapped_case {
	int file;
	enum bench_source source;
	unsigned int workers, more;
};

static bool mapped_as_due(void *arg, char *why, size_t room)
{
	const struct mapped_case *c = arg;
	const uint64_t frames = 3 * 1024 + 700;
	struct bench_mapped m = { .mapped = 0 };
	struct bench_feed feed = { -1, -1 };
	int rc = bench_source_open(c->source, c->file, 0, &feed);

	if (!rc)
		rc = bench_mapped_run(feed.fd, BYTES + c->more, frames, c->workers, &m);
	snprintf(why, room, "%s, %u workers, %u bytes more: %d, %llu pages mapped",
		 bench_source_names[c->source], c->workers, c->more, rc,
		 (unsigned long long)m.mapped);
	bench_source_close(&feed);
	return rc == (c->more ? -ENODATA : 0) && (c->more || m.mapped == frames);
}

Test(mapped, maps_every_frame_once_or_says_why_not)
{
	struct mapped_case c = { .file = make_file() };
	char why[ISOLATE_WHY];

	for (c.source = 0; c.source < SOURCE_COUNT; c.source++)
		for (c.workers = 1; c.workers <= 3; c.workers++)
			for (c.more = 0; c.more < 2; c.more++)
				cr_assert(isolated(mapped_as_due, &c, why), "%s", why);
	close(c.file);
}

static void shell(const char *script, struct bench_job *job, struct bench_outcome *o)
{
	char sh[] = "/bin/sh", c[] = "-c", *text = strdup(script);
	char *argv[] = { sh, c, text, NULL };

	job->argv = argv;
	cr_assert_eq(bench_child_run(job, o), 0);
	free(text);
}

Test(child, tells_status_and_output)
{
	char var[] = "XR_TEST_WORD=word", *env[] = { var, NULL };
	struct bench_job job = { .in = open("/dev/null", O_RDONLY | O_CLOEXEC), .env = env };
	struct bench_outcome o;

	shell("echo $XR_TEST_WORD; echo no >&2; exit 7", &job, &o);
	cr_assert(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 7);
	cr_assert_str_eq(o.out, "word\n");
	cr_assert_str_eq(o.err, "no\n");
	bench_outcome_free(&o);
}

Test(child, is_stopped_when_it_takes_too_long)
{
	struct bench_job job = { .in = open("/dev/null", O_RDONLY | O_CLOEXEC), .timeout = 1 };
	struct bench_outcome o;

	shell("exec sleep 1000", &job, &o);
	cr_assert(o.timed_out);
	cr_assert(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGKILL);
	bench_outcome_free(&o);
}

/* A restorer that says where it is by making a file, and then does nothing for ever. */
static pid_t start_bench(char dir[])
{
	char program[64], script[128];
	const char *bench = getenv("XR_BENCH_RUN");
	pid_t pid;
	FILE *f;

	cr_assert_not_null(bench, "the test command sets XR_BENCH_RUN");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/program", dir);
	snprintf(script, sizeof(script),
		 "#!/bin/sh\nmkfifo %s/ready\necho >%s/ready\nexec sleep 1000\n", dir, dir);
	f = fopen(program, "w");
	cr_assert(f && fputs(script, f) > 0 && !fclose(f) && !chmod(program, 0700));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (!pid) {
		freopen("/dev/null", "w", stderr);
		execl(bench, bench, "-q", "--size=1M", "--contenders=ours", "--sources=pipe",
		      "--program", program, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void await_restorer(const char *dir)
{
	char path[64], c;
	int fd;

	snprintf(path, sizeof(path), "%s/ready", dir);
	while ((fd = open(path, O_RDONLY)) < 0)
		usleep(1000);
	cr_assert_eq(read(fd, &c, 1), 1);
	close(fd);
	unlink(path);
	snprintf(path, sizeof(path), "%s/program", dir);
	unlink(path);
	rmdir(dir);
}

/* Every orphan comes to this process; the sleeper would hold it for a thousand seconds. */
static void no_child_is_left(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
	cr_assert_eq(errno, ECHILD);
}

Test(command, ends_on_a_signal_and_takes_all_along, .timeout = 120)
{
	char dir[] = "/tmp/xr-bench-test-XXXXXX";
	const pid_t pid = start_bench(dir);
	int status;

	await_restorer(dir);
	kill(pid, SIGINT);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 4, "status %#x", status);
	no_child_is_left();
}

Test(command, leaves_no_process_when_killed, .timeout = 120)
{
	char dir[] = "/tmp/xr-bench-test-XXXXXX";
	const pid_t pid = start_bench(dir);

	await_restorer(dir);
	kill(pid, SIGKILL);
	no_child_is_left();
}

static bool ignores_hangup(pid_t pid)
{
	char path[64], line[256];
	unsigned long long mask = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "SigIgn: %llx", &mask) != 1)
		;
	fclose(f);
	return mask >> (SIGHUP - 1) & 1;
}

/* As nohup wants it, for a bench that runs for hours. */
Test(command, leaves_an_ignored_hangup_ignored, .timeout = 120)
{
	char dir[] = "/tmp/xr-bench-test-XXXXXX", path[64];
	pid_t pid, restorer = 0;
	FILE *f;

	signal(SIGHUP, SIG_IGN);
	pid = start_bench(dir);
	await_restorer(dir);
	cr_expect(ignores_hangup(pid));
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	while (fscanf(f, "%d", &restorer) == 1)
		cr_expect(ignores_hangup(restorer));
	fclose(f);
	cr_expect(restorer);
	kill(pid, SIGINT);
	no_child_is_left();
}

/* No file of this program and its children may have more than 4 MiB. */
static pid_t start_bench_without_room(int out)
{
	const struct rlimit most = { 4u << 20, 4u << 20 };
	const char *bench = getenv("XR_BENCH_RUN");
	pid_t pid;

	cr_assert_not_null(bench, "the test command sets XR_BENCH_RUN");
	pid = fork();
	if (pid)
		return pid;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &most);
	dup2(out, 1);
	freopen("/dev/null", "w", stderr);
	execl(bench, bench, "-q", "--runs=1", "--size=1M", "--scale=16M", "--contenders=limit",
	      "--sources=file", "--json=-", (char *)NULL);
	_exit(127);
}

Test(command, a_stream_that_cannot_be_made_costs_its_own_figures_only, .timeout = 120)
{
	unsigned int figures = 0, errors = 0;
	json_t *j, *cell;
	int out[2], status;
	size_t i;
	pid_t pid;

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid = start_bench_without_room(out[1]);
	close(out[1]);
	j = json_loadfd(out[0], 0, NULL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %#x", status);
	cr_assert_not_null(j);
	json_array_foreach(json_object_get(j, "cells"), i, cell)
	{
		const bool main =
			!strcmp(json_string_value(json_object_get(cell, "section")), "main");

		figures += main && json_object_get(cell, "seconds");
		errors += !main && json_object_get(cell, "error");
	}
	cr_assert(figures && figures + errors == json_array_size(json_object_get(j, "cells")));
	json_decref(j);
	close(out[0]);
}

Test(machine, touching_is_bounded)
{
	struct bench_machine m;

	bench_machine_read(&m);
	cr_assert_gt(m.cores, 0);
	cr_assert_gt(m.memory, 0);
	cr_assert_eq(bench_touch_memory(8u << 20), 8u << 20);
	cr_assert_eq(bench_touch_memory(0), 0);
}
