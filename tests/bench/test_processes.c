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
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKED_AT_AGAIN 1024u /* frames, behind the clock */
#define BYTES ((5u << 20) + 4321)

static sem_t burnt, seen;

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
	uint64_t frames;
	int file;
	enum bench_source source;
	unsigned int workers, more;
};

/* The parts are all there, and those of one process fit into the time that it had. */
static bool parts_add_up(const struct mapped_case *c, const struct bench_mapped *b)
{
	double work = 0;

	for (unsigned int i = 0; i < BENCH_PART_COUNT; i++)
		if (b->part[i] <= 0)
			return false;
	if (b->touch_fresh <= 0 || b->touch_again <= 0)
		return false;
	for (unsigned int i = BENCH_PART_MAP; i <= BENCH_PART_COPY; i++)
		work += b->part[i];
	return b->part[BENCH_PART_POPULATE] + b->part[BENCH_PART_UNMAP] < b->seconds &&
	       work + b->part[BENCH_PART_UNMAP] < b->seconds * c->workers;
}

static bool mapped_as_due(void *arg, char *why, size_t room)
{
	const struct mapped_case *c = arg;
	const uint64_t frames = c->frames;
	struct bench_feed feed = { -1, -1 };
	struct xr_model_settings set;
	struct xr_model_stats stats;
	struct xr_model *m = NULL;
	struct bench_mapped b = { 0 };
	int rc;

	xr_model_settings_default(&set);
	rc = xr_model_create(&m, &set);
	if (!rc)
		rc = bench_source_open(c->source, c->file, 0, &feed);
	if (!rc)
		rc = bench_mapped_run(feed.fd, BYTES + c->more, frames, c->workers, m, &b);
	xr_model_stats(m, &stats);
	snprintf(why, room, "%s, %u workers, %u bytes more: %d, %llu pages mapped",
		 bench_source_names[c->source], c->workers, c->more, rc,
		 (unsigned long long)stats.pages_mapped);
	bench_source_close(&feed);
	xr_model_destroy(&m);
	return rc == (c->more ? -ENODATA : 0) &&
	       (c->more || (stats.pages_mapped == frames + LOOKED_AT_AGAIN && parts_add_up(c, &b)));
}

Test(mapped, maps_every_frame_once_or_says_why_not)
{
	struct mapped_case c = { .frames = 3 * 1024 + 700, .file = make_file() };
	char why[ISOLATE_WHY];

	for (c.source = 0; c.source < SOURCE_COUNT; c.source++)
		for (c.workers = 1; c.workers <= 3; c.workers++)
			for (c.more = 0; c.more < 2; c.more++)
				cr_assert(isolated(mapped_as_due, &c, why), "%s", why);
	close(c.file);
}

Test(mapped, goes_on_in_another_process_after_a_generation)
{
	struct mapped_case c = { .frames = (64 << 10) + 5, .file = make_file(), .workers = 1 };
	char why[ISOLATE_WHY];

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

static void *burn(void *arg)
{
	struct timespec t = { 0 };

	(void)arg;
	pthread_setname_np(pthread_self(), "xr-copy/0");
	while (!t.tv_sec && t.tv_nsec < 500000)
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	sem_post(&burnt);
	sem_wait(&seen);
	return NULL;
}

/* Generations of workers: however many there were, the one that runs now is seen. */
Test(timeline, sees_workers_come_and_go)
{
	struct bench_timeline *t = calloc(1, sizeof(*t));
	const unsigned int many = BENCH_SEEN_MAX + 50;
	pthread_t id;

	sem_init(&burnt, 0, 0);
	sem_init(&seen, 0, 0);
	bench_timeline_begin(t);
	for (unsigned int i = 0; i < many; i++) {
		cr_assert_eq(pthread_create(&id, NULL, burn, NULL), 0);
		sem_wait(&burnt);
		t->n = 0;
		bench_timeline_look(getpid(), t);
		cr_assert_gt(t->points[0].busy[LANE_COPY], 0, "worker %u", i);
		sem_post(&seen);
		pthread_join(id, NULL);
	}
	free(t);
}

struct verified {
	struct bench_stream stream;
	struct bench_cell cell;
	struct bench_run run;
	struct xr_model *model[2];
	struct xr_host *host[2];
	char text[512];
};

static int verify(struct verified *v, unsigned int i)
{
	return bench_verify(&v->cell, v->model[i], &v->run, v->text, sizeof(v->text));
}

/* A stream from elsewhere has no oracle: its restorers are held against each other. */
Test(verify, one_other_byte_is_another_guest)
{
	struct verified v = { .stream = { .populated = 3 }, .run = { .populated = 3 } };
	const uint64_t gfns[] = { 7, 8, 1000 };
	unsigned char page[XR_PAGE_SIZE] = { 1, 2, 3 };
	struct xr_model_settings set;

	v.cell.stream = &v.stream;
	xr_model_settings_default(&set);
	set.no_huge = true;
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(xr_model_create(&v.model[i], &set), 0);
		cr_assert_eq(xr_host_model_open(&v.host[i], v.model[i]), 0);
		cr_assert_eq(v.host[i]->ops->populate(v.host[i], XR_ORDER_4K, 3, gfns, NULL), 3);
		cr_assert_eq(xr_model_poke(v.model[i], 8, page), 0);
	}
	cr_assert_eq(verify(&v, 0), 0);
	cr_assert_eq(verify(&v, 1), 0, "%s", v.text);
	page[4095] = 1;
	cr_assert_eq(xr_model_poke(v.model[1], 8, page), 0);
	cr_assert_eq(verify(&v, 1), -EBADMSG);
	v.run.populated = 2;
	cr_assert_eq(verify(&v, 0), -EBADMSG);
	for (unsigned int i = 0; i < 2; i++) {
		v.host[i]->ops->close(v.host[i]);
		xr_model_destroy(&v.model[i]);
	}
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
