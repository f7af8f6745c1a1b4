/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the copy stage costs by kind and number of workers and by when they unmap: contents of a
 * cached file into a model host that is populated already. Prints medians; bench-copy [MIB
 * [ROUNDS]].
 */
#include "base/clock.h"
#include "bench/child.h"
#include "bench/machine.h"
#include "bench/stats.h"
#include "copy/tuned.h"
#include "host/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define REGION ((uint64_t)1 << XR_ORDER_2M)
#define WORKERS 2u

struct way {
	const char *name;
	enum xr_worker_kind kind;
	struct xr_keep keep;
};

static const struct way ways[] = {
	{ "processes, exit after 256 Ki pages", XR_WORKER_PROCESS, { XR_UNMAP_AT_EXIT, 1 << 18 } },
	{ "processes, exit after 64 Ki pages", XR_WORKER_PROCESS, { XR_UNMAP_AT_EXIT, 1 << 16 } },
	{ "processes, exit after 16 Ki pages", XR_WORKER_PROCESS, { XR_UNMAP_AT_EXIT, 1 << 14 } },
	{ "processes, unmap beyond 16 Ki pages",
	  XR_WORKER_PROCESS,
	  { XR_UNMAP_AT_BUDGET, 1 << 14 } },
	{ "processes, unmap each window", XR_WORKER_PROCESS, { XR_UNMAP_AT_CLOSE, 0 } },
	{ "threads, unmap beyond 16 Ki pages", XR_WORKER_THREAD, { XR_UNMAP_AT_BUDGET, 1 << 14 } },
	{ "threads, as usual", XR_WORKER_THREAD, { XR_UNMAP_AT_BUDGET, 0 } },
	{ "threads, unmap each window", XR_WORKER_THREAD, { XR_UNMAP_AT_CLOSE, 0 } },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* The budget of threads is one for all. */
static struct xr_keep keep_of(const struct way *w, unsigned int workers)
{
	struct xr_keep k =
		w->keep.when == XR_UNMAP_AT_BUDGET && !w->keep.pages ? xr_keep_threads : w->keep;

	if (w->kind == XR_WORKER_THREAD)
		k.pages /= workers;
	return k;
}

struct task {
	const struct way *way;
	unsigned int workers;
	uint64_t frames;
};

struct figures {
	double seconds[BENCH_STATS_MAX], cpu[BENCH_STATS_MAX];
	unsigned int n;
};

static int populate(struct xr_host *h, uint64_t frames)
{
	for (uint64_t gfn = 0; gfn < frames; gfn += REGION)
		if (h->ops->populate(h, XR_ORDER_2M, 1, &gfn, NULL) != 1)
			return -ENOMEM;
	return 0;
}

static int write_all(struct xr_copy *c, uint64_t frames, struct xr_error *err)
{
	const struct xr_where where = { 0 };
	uint64_t pfns[XR_WINDOW];
	int rc = 0;

	for (uint64_t at = 0; !rc && at < frames; at += XR_WINDOW) {
		for (size_t i = 0; i < XR_WINDOW; i++)
			pfns[i] = at + i;
		rc = xr_copy_begin(c, &where, pfns, XR_WINDOW, false, err);
		if (!rc)
			rc = xr_copy_data(c, 0, XR_WINDOW, NULL, -1, at << XR_PAGE_SHIFT, err);
		if (!rc)
			rc = xr_copy_end(c, err);
	}
	return rc ? rc : xr_copy_drain(c, err);
}

/* Of this process and of those that it waited for. */
static double cpu_now(void)
{
	const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
	double sum = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct rusage u;

		getrusage(whose[i], &u);
		sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	}
	return sum;
}

static int copy(struct xr_host *h, const struct task *t, FILE *out)
{
	struct xr_copy_config cfg = { .workers = t->workers,
				      .kind = t->way->kind,
				      .ordered = true };
	const struct xr_keep keep = keep_of(t->way, t->workers);
	struct xr_copy *c = NULL;
	const double cpu = cpu_now();
	struct xr_error err;
	uint64_t begun;
	int rc = xr_copy_open_tuned(&c, h, &cfg, &keep, &err);

	begun = xr_now();
	if (!rc)
		rc = write_all(c, t->frames, &err);
	xr_copy_close(&c);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	else
		fprintf(out, "%.9f %.6f\n", (double)(xr_now() - begun) / 1e9, cpu_now() - cpu);
	return rc;
}

static int body(void *arg, FILE *out)
{
	const struct task *t = arg;
	struct xr_model_settings set;
	struct xr_model *m = NULL;
	struct xr_host *h = NULL;
	int rc;

	xr_model_settings_default(&set);
	rc = xr_model_create(&m, &set);
	if (!rc)
		rc = xr_host_model_open(&h, m);
	if (!rc)
		rc = populate(h, t->frames);
	if (!rc)
		rc = copy(h, t, out);
	if (h)
		h->ops->close(h);
	xr_model_destroy(&m);
	return rc ? 1 : 0;
}

static int measure(struct task *t, int file, struct figures *f)
{
	struct bench_job job = { .body = body, .arg = t, .in = file, .timeout = 600 };
	struct bench_outcome o;
	int rc;

	bench_touch_memory((t->frames << XR_PAGE_SHIFT) + (256u << 20));
	rc = bench_touch_file(file);
	if (!rc)
		rc = bench_child_run(&job, &o);
	if (rc)
		return rc;
	if (o.status || o.timed_out ||
	    sscanf(o.out, "%lf %lf", &f->seconds[f->n], &f->cpu[f->n]) != 2) {
		fprintf(stderr, "%s: %s\n", t->way->name, o.err);
		rc = -ECHILD;
	}
	f->n += !rc;
	bench_outcome_free(&o);
	return rc;
}

/* A file of contents, unlinked; its pages are in the page cache. */
static int make_file(uint64_t bytes)
{
	static unsigned char piece[1 << 20];
	const char *dir = getenv("TMPDIR");
	int fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	memset(piece, 0x5a, sizeof(piece));
	for (uint64_t at = 0; fd >= 0 && at < bytes; at += sizeof(piece)) {
		if (write(fd, piece, sizeof(piece)) != (ssize_t)sizeof(piece)) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static void print(const struct way *w, unsigned int workers, const struct figures *f,
		  uint64_t frames)
{
	const struct bench_stats s = bench_stats(f->seconds, f->n), cpu = bench_stats(f->cpu, f->n);
	const double us = 1e6 / (double)frames;

	printf("%-38s %8u %8.2f [%6.2f %6.2f] %8.2f\n", w->name, workers, s.median * us, s.q1 * us,
	       s.q3 * us, cpu.median * us);
}

int main(int argc, char **argv)
{
	static struct figures all[WAYS][WORKERS];
	const uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) & ~3ull : 1024;
	const unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 3;
	const int file = make_file(mib << 20);
	int rc = 0;

	if (file < 0 || !mib || !rounds || rounds > BENCH_STATS_MAX) {
		fprintf(stderr, "usage: bench-copy [MIB [ROUNDS]]; TMPDIR holds a file of MIB\n");
		return 2;
	}
	for (unsigned int i = 0; !rc && i < rounds * WAYS * WORKERS; i++) {
		struct task t = { &ways[i / WORKERS % WAYS], i % WORKERS + 1, mib << 8 };

		fprintf(stderr, "\r%u of %lu", i + 1, rounds * WAYS * WORKERS);
		rc = measure(&t, file, &all[i / WORKERS % WAYS][i % WORKERS]);
	}
	printf("\n%lu MiB, %lu rounds in turn; us for a page, median [quartiles]\n\n", mib, rounds);
	printf("%-38s %8s %8s %17s %8s\n", "", "workers", "time", "", "CPU");
	for (unsigned int i = 0; !rc && i < WAYS * WORKERS; i++)
		print(&ways[i / WORKERS], i % WORKERS + 1, &all[i / WORKERS][i % WORKERS],
		      mib << 8);
	return rc ? 1 : 0;
}
