/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command `xenrestore bench` from outside: what it prints, and that nothing outlives it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A restorer that says where it is by making a file, and then does nothing for ever. */
static pid_t start_bench_with(char dir[], const char *before, const char *json)
{
	char program[64], script[512];
	const char *bench = getenv("XR_BENCH_RUN");
	pid_t pid;
	FILE *f;

	cr_assert_not_null(bench, "the test command sets XR_BENCH_RUN");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/program", dir);
	snprintf(script, sizeof(script),
		 "#!/bin/sh\ncd %s\n%s\nmkfifo ready\necho >ready\nexec sleep 1000\n", dir, before);
	f = fopen(program, "w");
	cr_assert(f && fputs(script, f) > 0 && !fclose(f) && !chmod(program, 0700));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (!pid) {
		freopen("/dev/null", "w", stderr);
		execl(bench, bench, "-q", "--size=1M", "--contenders=ours", "--sources=pipe",
		      "--program", program, json, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static pid_t start_bench(char dir[])
{
	return start_bench_with(dir, "", NULL);
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

/* The first of its runs ends, the second does not. */
Test(command, tells_what_was_finished_before_the_signal, .timeout = 120)
{
	static const char first[] =
		"if mkdir first 2>/dev/null; then"
		" echo '{\"seconds\": 2.5, \"pages\": {\"populated\": 264}}'; exit; fi; rmdir first";
	char dir[] = "/tmp/xr-bench-test-XXXXXX", out[] = "/tmp/xr-bench-out-XXXXXX", arg[64];
	const int fd = mkstemp(out);
	json_t *j, *runs;
	int status;
	pid_t pid;

	cr_assert(fd >= 0 && write(fd, "old", 3) == 3);
	snprintf(arg, sizeof(arg), "--json=%s", out);
	pid = start_bench_with(dir, first, arg);
	await_restorer(dir);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 3, "what was there stays until the end");
	kill(pid, SIGINT);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 4, "status %#x", status);
	lseek(fd, 0, SEEK_SET);
	j = json_loadfd(fd, 0, NULL);
	cr_assert_not_null(j);
	runs = json_object_get(json_array_get(json_object_get(j, "cells"), 0), "runs");
	cr_assert_eq(json_array_size(runs), 1);
	cr_assert_eq(json_number_value(json_object_get(json_array_get(runs, 0), "seconds")), 2.5);
	cr_assert_eq(json_array_size(json_object_get(j, "warnings")) > 0, 1);
	json_decref(j);
	close(fd);
	unlink(out);
	no_child_is_left();
}

/* Hours of measuring are not for nothing: a path that can't be written shows before them. */
Test(command, refuses_a_file_that_cannot_be_written_before_it_runs, .timeout = 120)
{
	char dir[] = "/tmp/xr-bench-test-XXXXXX", program[64], fresh[64], arg[80];
	pid_t pid;
	int status;

	pid = start_bench_with(dir, "", "--html=/nonexistent/page.html");
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %#x", status);
	snprintf(fresh, sizeof(fresh), "%s/ready", dir);
	cr_assert(access(fresh, F_OK), "it was run");
	snprintf(program, sizeof(program), "%s/program", dir);
	unlink(program);
	rmdir(dir);

	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	snprintf(fresh, sizeof(fresh), "/tmp/xr-bench-fresh-%d", (int)getpid());
	snprintf(arg, sizeof(arg), "--html=%s", fresh);
	pid = start_bench_with(dir, "", arg);
	await_restorer(dir);
	kill(pid, SIGINT);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(access(fresh, F_OK), "an empty file is left");
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

/* Ours with each of what it may tell, in the same rounds, and how much dearer that was. */
Test(command, what_is_watched_stands_beside_what_is_not, .timeout = 240)
{
	char dir[] = "/tmp/xr-bench-XXXXXX", line[512], text[8192];
	const char *names[3] = { "", "", "" };
	size_t i, n;
	json_t *j, *cell;
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(line, sizeof(line),
		 "%s bench -q --runs=1 --size=1M --contenders=ours --sources=file --no-timeline "
		 "--watched=receipt,trace --json=%s/j",
		 PROGRAM, dir);
	f = popen(line, "re");
	cr_assert_not_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	cr_assert_eq(pclose(f), 0, "%s", text);
	cr_expect_not_null(strstr(text, "file   --receipt"), "%s", text);
	cr_expect_not_null(strstr(text, "file   --trace"), "%s", text);
	snprintf(line, sizeof(line), "%s/j", dir);
	j = json_load_file(line, 0, NULL);
	cr_assert_not_null(j);
	cr_assert_eq(json_array_size(json_object_get(j, "cells")), 3);
	json_array_foreach(json_object_get(j, "cells"), i, cell)
	{
		cr_expect_not_null(json_object_get(cell, "seconds"), "cell %zu", i);
		if (json_object_get(cell, "watched"))
			names[i] = json_string_value(json_object_get(cell, "watched"));
	}
	cr_expect_str_eq(names[0], "");
	cr_expect_str_eq(names[1], "receipt");
	cr_expect_str_eq(names[2], "trace");
	json_decref(j);
	unlink(line);
	rmdir(dir);
}

/* Every contender on every kind of source, with what a comparison needs of each. */
Test(command, all_contenders_stand_side_by_side, .timeout = 300)
{
	char path[] = "/tmp/xr-bench-XXXXXX", line[512];
	json_t *j, *cell, *ratios;
	const char *source;
	unsigned int of[4] = { 0 };
	size_t i;

	close(mkstemp(path));
	snprintf(line, sizeof(line),
		 "%s bench -q --runs=1 --size=16M --passes=2 --dirty=50 --no-timeline --json=%s "
		 ">/dev/null",
		 PROGRAM, path);
	cr_assert_eq(system(line), 0);
	j = json_load_file(path, 0, NULL);
	cr_assert_not_null(j);
	json_array_foreach(json_object_get(j, "cells"), i, cell)
	{
		static const char *const names[] = { "ours", "stock", "limit", "mapped" };
		const char *who = json_string_value(json_object_get(cell, "who"));
		const json_t *error = json_object_get(cell, "error");
		size_t k = 0;

		cr_assert_null(error, "%s: %s", who, json_string_value(error));
		while (k < 4 && strcmp(names[k], who))
			k++;
		cr_assert_lt(k, 4, "%s", who);
		of[k]++;
		cr_expect_gt(json_real_value(json_object_get(cell, "cpu_seconds")), 0, "%s", who);
		cr_expect_gt(json_real_value(json_object_get(cell, "ns_per_page")), 0, "%s", who);
		if (k < 2) /* of a guest of 1/64 GiB no frame is left out */
			cr_expect_geq(
				json_real_value(json_object_get(cell, "pages_mapped_per_gib")),
				1 << 18, "%s", who);
	}
	cr_expect(of[0] == 4 && of[1] == 4 && of[2] >= 4 && of[3] >= 4, "%u %u %u %u", of[0], of[1],
		  of[2], of[3]);
	ratios = json_object_get(j, "ratios");
	cr_expect_eq(json_object_size(ratios), 4);
	json_object_foreach(ratios, source, cell)
		cr_expect_eq(json_object_size(cell), 5, "%s", source);
	json_decref(j);
	unlink(path);
}
