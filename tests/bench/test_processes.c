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
	/* Several end at once, and may wait for a processor meanwhile: only of one is that a sum.
	 */
	return (c->workers > 1 ||
		b->part[BENCH_PART_POPULATE] + b->part[BENCH_PART_UNMAP] < b->seconds) &&
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
