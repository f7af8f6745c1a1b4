/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/limit.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE_BYTES (2u << 20)
#define STEP (2u << 20)
#define THREADS_MAX 64u

struct limit {
	int fd;
	char *to;
	uint64_t bytes;
	uint64_t next; /* atomically accessed: the next step to be read or made */
	int error;     /* likewise */
};

static void fail(struct limit *l, int error)
{
	__atomic_store_n(&l->error, error, __ATOMIC_RELAXED);
}

static uint64_t claim(struct limit *l)
{
	return __atomic_fetch_add(&l->next, STEP, __ATOMIC_RELAXED);
}

static void *read_parts(void *arg)
{
	struct limit *l = arg;

	for (uint64_t at = claim(l); at < l->bytes; at = claim(l)) {
		uint64_t end = at + STEP < l->bytes ? at + STEP : l->bytes;

		while (at < end) {
			ssize_t n = pread(l->fd, l->to + at, end - at, (off_t)at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				fail(l, n ? errno : ENODATA);
				return NULL;
			}
			at += (uint64_t)n;
		}
	}
	return NULL;
}

static void *make_memory(void *arg)
{
	struct limit *l = arg;

	for (uint64_t at = claim(l); at < l->bytes; at = claim(l)) {
		uint64_t n = at + STEP < l->bytes ? STEP : l->bytes - at;

		if (madvise(l->to + at, n, MADV_POPULATE_WRITE))
			break; /* an old kernel: the reader's own faults make the memory */
	}
	return NULL;
}

static void read_through(struct limit *l)
{
	uint64_t at = 0;

	fcntl(l->fd, F_SETPIPE_SZ, 1 << 20);
	while (at < l->bytes) {
		uint64_t room = l->bytes - at < STEP ? l->bytes - at : STEP;
		ssize_t n = read(l->fd, l->to + at, room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fail(l, n ? errno : ENODATA);
			return;
		}
		at += (uint64_t)n;
	}
}

static double cpu_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(struct limit *l, unsigned int threads)
{
	pthread_t t[THREADS_MAX];
	unsigned int started = 0;
	struct stat st;
	const bool file = !fstat(l->fd, &st) && S_ISREG(st.st_mode);

	for (; started + 1 < threads; started++)
		if (pthread_create(&t[started], NULL, file ? read_parts : make_memory, l))
			break;
	if (file)
		read_parts(l);
	else
		read_through(l);
	while (started)
		pthread_join(t[--started], NULL);
}

/* The share of [p, p + bytes) in huge pages. */
static double huge_share(const char *p, uint64_t bytes)
{
	const unsigned long begin = (unsigned long)p;
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to, kib;
	uint64_t huge = 0;
	char line[256];
	bool ours = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = from < begin + bytes && begin < to;
		if (ours && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			huge += (uint64_t)kib << 10;
	}
	if (f)
		fclose(f);
	return bytes && huge < bytes ? (double)huge / (double)bytes : 1;
}

int bench_limit_run(int fd, uint64_t bytes, unsigned int threads, struct bench_limit *out)
{
	struct limit l = { .fd = fd, .bytes = bytes };
	const uint64_t room = (bytes + 2 * HUGE_BYTES) & ~(uint64_t)(HUGE_BYTES - 1);
	char *raw = mmap(NULL, room, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t begun;
	double cpu;

	if (raw == MAP_FAILED)
		return -errno;
	l.to = (char *)(((uintptr_t)raw + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
	madvise(l.to, room - HUGE_BYTES, MADV_HUGEPAGE);
	cpu = cpu_now();
	begun = xr_now();
	run(&l, threads < THREADS_MAX ? threads : THREADS_MAX);
	out->seconds = (double)(xr_now() - begun) / 1e9;
	out->cpu_seconds = cpu_now() - cpu;
	out->bytes = bytes;
	out->huge = huge_share(l.to, bytes);
	munmap(raw, room);
	return -l.error;
}
