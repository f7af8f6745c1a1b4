/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mappings: their pages, their references, and who loses them when. */
#include "host_test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

uint64_t smaps_kb(const void *p, size_t bytes, const char *field)
{
	uintptr_t lo = (uintptr_t)p, hi = lo + bytes;
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	uint64_t sum = 0;
	bool here = false;
	char line[512];

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from < hi && lo < to;
		else if (here && strncmp(line, field, strlen(field)) == 0)
			sum += strtoull(line + strlen(field) + 1, NULL, 10);
	}
	fclose(f);
	return sum;
}

static uint64_t faults(void)
{
	unsigned long minor = 0;
	FILE *f = fopen("/proc/thread-self/stat", "re");
	char line[1024];

	cr_assert_not_null(f);
	cr_assert_not_null(fgets(line, sizeof(line), f));
	fclose(f);
	cr_assert_eq(sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %lu", &minor), 1);
	return minor;
}

Test(mapping, writes_through_it_reach_the_guest)
{
	struct rig r = rig(4096);
	unsigned char page[XR_PAGE_SIZE], *p;

	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(each_4k(&r, false, 0, 8), 8);
	p = map_row(&r, 512, 512);
	p[100 * XR_PAGE_SIZE] = 7;
	cr_assert_eq(xr_model_peek(r.m, 612, page), 0);
	cr_assert_eq(page[0], 7);
	page[1] = 8;
	cr_assert_eq(xr_model_poke(r.m, 612, page), 0);
	cr_assert_eq(p[100 * XR_PAGE_SIZE + 1], 8);
	cr_assert_eq(stats(&r).live_mappings, 512);
	cr_assert_eq(unmap(&r, p, 512), 0);
	cr_assert_eq(stats(&r).live_mappings, 0);
	cr_assert_eq(stats(&r).pages_mapped, 512);
	rig_close(&r);
}

Test(mapping, pages_that_are_not_there_fail_alone)
{
	struct rig r = rig(4096);
	uint64_t g[3] = { 3, 4, 5 };
	int err[3] = { 9, 9, 9 };
	char *p;

	cr_assert_eq(populate(&r, 0, 3), 1);
	cr_assert_eq(populate(&r, 0, 5), 1);
	p = r.h->ops->map(r.map, 3, g, err);
	cr_assert_not_null(p);
	cr_assert(err[0] == 0 && err[1] == -EINVAL && err[2] == 0);
	p[0] = 1;
	p[2 * XR_PAGE_SIZE] = 2;
	/* the kernel refuses to read or write the page between */
	cr_assert_eq(write(r.m->state_fd, p + XR_PAGE_SIZE, 1), -1);
	cr_assert_eq(errno, EFAULT);
	cr_assert_eq(unmap(&r, p, 3), 0);
	cr_assert_eq(release(&r, 0, 3), 1);
	cr_assert_eq(release(&r, 0, 5), 1);
	p = r.h->ops->map(r.map, 3, g, err);
	cr_assert_not_null(p, "even if all fail");
	cr_assert(err[0] == -EINVAL && err[1] == -EINVAL && err[2] == -EINVAL);
	cr_assert_eq(unmap(&r, p, 3), 0);
	rig_close(&r);
}

Test(mapping, bad_calls_fail)
{
	struct rig r = rig(4096);
	uint64_t g[XR_MAP_MAX + 1] = { 0 };
	int err[XR_MAP_MAX + 1];
	char *p;

	cr_assert_null(r.h->ops->map(r.map, 0, g, err));
	cr_assert_null(r.h->ops->map(r.map, XR_MAP_MAX + 1, g, err));
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(populate(&r, 0, 0), 1);
	p = r.h->ops->map(r.map, 2, g, err);
	cr_assert_not_null(p, "the same frame twice is allowed");
	cr_assert_eq(stats(&r).live_mappings, 2);
	cr_assert_eq(unmap(&r, p, 1), -EINVAL);
	cr_assert_eq(unmap(&r, p + 4096, 1), -EINVAL);
	cr_assert_eq(unmap(&r, p, 2), 0);
	cr_assert_eq(unmap(&r, p, 2), -EINVAL);
	cr_assert_eq(stats(&r).live_mappings, 0);
	rig_close(&r);
}

Test(mapping, faults_hit_one_page_or_the_call)
{
	struct rig r = rig(4096);
	uint64_t g[2] = { 0, 1 };
	int err[2];
	void *p;

	cr_assert_eq(each_4k(&r, false, 0, 2), 2);
	xr_model_fail(r.m, XR_CALL_MAP, 1, -1, 1);
	xr_model_fail(r.m, XR_CALL_MAP, 2, -1, -ENOMEM);
	xr_model_fail(r.m, XR_CALL_UNMAP, 1, -1, -EIO);
	p = r.h->ops->map(r.map, 2, g, err);
	cr_assert(p && err[0] == 0 && err[1] == -EINVAL);
	cr_assert_null(r.h->ops->map(r.map, 2, g, err));
	cr_assert_eq(errno, ENOMEM);
	cr_assert_eq(unmap(&r, p, 2), -EIO);
	cr_assert_eq(stats(&r).live_mappings, 1);
	cr_assert_eq(unmap(&r, p, 2), 0);
	rig_close(&r);
}

Test(mapping, none_without_memory)
{
	struct xr_model_settings s = settings(4096);
	uint64_t g = 0;
	struct rig r;
	int err;

	s.without_memory = true;
	r = rig_with(&s);
	cr_assert_eq(populate(&r, 0, 0), 1);
	cr_assert_null(r.h->ops->map(r.map, 1, &g, &err));
	cr_assert_eq(errno, ENOSYS);
	rig_close(&r);
}

Test(mapping, keeps_a_released_frame)
{
	struct rig r = rig(600);
	unsigned char page[XR_PAGE_SIZE], *p;

	cr_assert_eq(populate(&r, 9, 0), 1);
	p = map_row(&r, 10, 2);
	p[0] = 5;
	cr_assert_eq(release(&r, 9, 0), 1);
	cr_assert_eq(stats(&r).tot_pages, 2);
	cr_assert_eq(stats(&r).released_mapped, 2);
	cr_assert_eq(file_bytes(r.m->file[1]), 2 * 4096);
	cr_assert_eq(populate(&r, 0, 10), 1);
	cr_assert_eq(stats(&r).leaked, 0);
	cr_assert_eq(stats(&r).tot_pages, 3);
	cr_assert_eq(xr_model_peek(r.m, 10, page), 0);
	cr_assert_eq(page[0], 0, "the gfn has a new frame");
	cr_assert_eq(p[0], 5, "the mapping has the old one");
	cr_assert_eq(unmap(&r, p, 2), 0);
	cr_assert_eq(stats(&r).tot_pages, 1);
	cr_assert_eq(file_bytes(r.m->file[1]), 0);
	rig_close(&r);
}

Test(mapping, a_leaked_frame_outlives_its_mapping)
{
	struct rig r = rig(600);
	unsigned char *p;

	cr_assert_eq(populate(&r, 0, 1), 1);
	p = map_row(&r, 1, 1);
	cr_assert_eq(populate(&r, 0, 1), 1);
	cr_assert_eq(unmap(&r, p, 1), 0);
	cr_assert_eq(stats(&r).tot_pages, 2);
	cr_assert_eq(file_bytes(r.m->file[0]), 2 * 4096);
	rig_close(&r);
}

/* Not instrumented: a sanitizer's own memory faults, too. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void write_each(
	volatile unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i * XR_PAGE_SIZE] = 1;
}

/* Whole 2M pages in any place of the window: small entries, all there before the first access. */
Test(mapping, has_small_entries_made_at_map_time)
{
	static const size_t before[] = { 0, 1, 3, 511 };
	struct rig r = rig(8 * PAGES_2M);

	cr_assert_eq(each_4k(&r, false, 1, 511), 511);
	for (uint64_t i = 1; i < 5; i++)
		cr_assert_eq(populate(&r, 9, i * 512), 1);
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		size_t n = before[i] + 3 * PAGES_2M, bytes = n * XR_PAGE_SIZE;
		unsigned char *p = map_row(&r, 512 - before[i], n);
		uint64_t seen;

		cr_assert_eq(smaps_kb(p, bytes, "ShmemPmdMapped:"), 0);
		cr_assert_eq(smaps_kb(p, bytes, "FilePmdMapped:"), 0);
		cr_assert_eq(smaps_kb(p, bytes, "Rss:"), bytes / 1024);
		seen = faults();
		write_each(p, n);
		cr_assert_leq(faults() - seen, 64);
		cr_assert_eq(unmap(&r, p, n), 0);
	}
	rig_close(&r);
}

/* The size of the page at the start of a backing file: map it in phase and look. */
static bool file_has_huge_page(int fd)
{
	char *base = mmap(NULL, 4u << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = base + ((2u << 20) - (uintptr_t)base % (2u << 20)) % (2u << 20);
	bool huge;

	cr_assert_eq(mmap(at, 2u << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), at);
	*(volatile char *)at = 1;
	huge = smaps_kb(at, 2u << 20, "ShmemPmdMapped:") == 2048;
	munmap(base, 4u << 20);
	return huge;
}

Test(mapping, huge_extents_are_huge_and_small_ones_small)
{
	struct rig r = rig(8 * PAGES_2M);

	if (!xr_model_has_huge_pages(r.m)) {
		rig_close(&r);
		cr_skip_test("this machine gives no huge pages to a private tmpfs");
	}
	cr_assert_eq(populate(&r, 9, 0), 1);
	cr_assert_eq(each_4k(&r, false, 512, 512), 512);
	cr_assert(file_has_huge_page(r.m->file[1]));
	cr_assert_not(file_has_huge_page(r.m->file[0]));
	cr_assert_eq(file_bytes(r.m->file[0]), 2u << 20);
	rig_close(&r);
}

Test(mapping, works_without_huge_pages)
{
	struct xr_model_settings s = settings(8 * PAGES_2M);
	struct rig r;

	s.no_huge = true;
	r = rig_with(&s);
	cr_assert_not(xr_model_has_huge_pages(r.m));
	cr_assert_eq(populate(&r, 9, 0), 1);
	cr_assert_eq(xr_model_order(r.m, 3), 9);
	cr_assert_eq(unmap(&r, map_row(&r, 0, 512), 512), 0);
	rig_close(&r);
}

static void wait_for(pid_t pid, int want)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, want);
}

/* In a child: open a mapper and map n gfns in a row; the first bytes become 9. */
static bool child_maps(struct rig *r, uint64_t gfn, size_t n)
{
	uint64_t g[XR_MAP_MAX];
	int err[XR_MAP_MAX];
	unsigned char *p;

	if (r->h->ops->map(r->map, 1, &gfn, err) || errno != EBADF)
		return false; /* the parent's mapper must not work here */
	if (r->h->ops->mapper_open(r->h, &r->map))
		return false;
	for (size_t i = 0; i < n; i++)
		g[i] = gfn + i;
	p = r->h->ops->map(r->map, n, g, err);
	for (size_t i = 0; p && i < n; i++)
		p[i * XR_PAGE_SIZE] = 9;
	return p;
}

Test(mapping, a_child_that_exits_loses_its_references)
{
	struct rig r = rig(4096);
	unsigned char page[XR_PAGE_SIZE];
	pid_t pid;

	cr_assert_eq(each_4k(&r, false, 0, 100), 100);
	pid = fork();
	if (pid == 0)
		_exit(child_maps(&r, 0, 100) ? 0 : 1);
	wait_for(pid, 0);
	cr_assert_eq(xr_model_peek(r.m, 99, page), 0);
	cr_assert_eq(page[0], 9);
	cr_assert_eq(each_4k(&r, true, 0, 100), 100);
	cr_assert_eq(stats(&r).released_mapped, 0);
	cr_assert_eq(stats(&r).released_dirty, 100);
	cr_assert_eq(stats(&r).tot_pages, 0);
	rig_close(&r);
}

/* Start a child that maps and then waits to be killed. */
static pid_t mapping_child(struct rig *r, uint64_t gfn, size_t n)
{
	int fd[2];
	char ok = 0;
	pid_t pid;

	cr_assert_eq(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		ok = child_maps(r, gfn, n);
		if (write(fd[1], &ok, 1) == 1)
			pause();
		_exit(1);
	}
	cr_assert_eq(read(fd[0], &ok, 1), 1);
	cr_assert(ok);
	close(fd[0]);
	close(fd[1]);
	return pid;
}

Test(mapping, a_killed_child_frees_what_it_kept_even_unreaped)
{
	struct rig r = rig(100);
	siginfo_t info;
	pid_t pid;

	cr_assert_eq(each_4k(&r, false, 0, 100), 100);
	pid = mapping_child(&r, 0, 50);
	cr_assert_eq(stats(&r).live_mappings, 50);
	cr_assert_eq(each_4k(&r, true, 0, 100), 100);
	cr_assert_eq(stats(&r).released_mapped, 50);
	cr_assert_eq(stats(&r).tot_pages, 50);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	/* a zombie now; the limit is reached only if its references are counted */
	cr_assert_eq(each_4k(&r, false, 200, 100), 100);
	cr_assert_eq(stats(&r).live_mappings, 0);
	cr_assert_eq(file_bytes(r.m->file[0]), 100 * 4096);
	wait_for(pid, SIGKILL);
	rig_close(&r);
}

Test(mapping, a_mapping_does_not_reach_children)
{
	struct rig r = rig(100);
	unsigned char *p;
	pid_t pid;

	cr_assert_eq(populate(&r, 0, 0), 1);
	p = map_row(&r, 0, 1);
	pid = fork();
	if (pid == 0)
		_exit(msync(p, XR_PAGE_SIZE, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1);
	wait_for(pid, 0);
	cr_assert_eq(unmap(&r, p, 1), 0);
	rig_close(&r);
}

/* Dies with the lock held and the counts torn: as if killed in the middle of a map and an unmap. */
Test(mapping, death_with_the_lock_held_leaves_the_counts_right)
{
	struct rig r = rig(100);
	unsigned char *p;
	pid_t pid;

	cr_assert_eq(each_4k(&r, false, 0, 10), 10);
	p = map_row(&r, 0, 4);
	cr_assert_eq(release(&r, 0, 3), 1);
	pid = fork();
	if (pid == 0) {
		int order;

		model_lock(r.m);
		for (uint64_t gfn = 0; gfn < 5; gfn++)
			(*model_ref(r.m, model_p2m_get_locked(r.m, gfn < 3 ? gfn : 9, &order)))++;
		r.m->s->stats.live_mappings += 77;
		r.m->s->pinned += 5;
		r.m->s->free_node = MODEL_NODES - 1;
		_exit(0);
	}
	wait_for(pid, 0);
	cr_assert_eq(stats(&r).live_mappings, 4);
	cr_assert_eq(stats(&r).tot_pages, 10);
	cr_assert_eq(unmap(&r, p, 4), 0);
	cr_assert_eq(stats(&r).live_mappings, 0);
	cr_assert_eq(stats(&r).tot_pages, 9);
	cr_assert_eq(each_4k(&r, true, 0, 3), 3);
	cr_assert_eq(each_4k(&r, true, 4, 6), 6);
	cr_assert_eq(stats(&r).released_mapped, 1);
	cr_assert_eq(stats(&r).tot_pages, 0);
	rig_close(&r);
}

/* A child maps and unmaps without end; wherever the kill hits it, nothing of it stays. */
Test(mapping, a_kill_at_any_moment_leaves_nothing, .timeout = 60)
{
	struct rig r = rig(4096);
	uint64_t s = seed("kill");

	cr_assert_eq(each_4k(&r, false, 0, 64), 64);
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		uint64_t g[64];
		int err[64];

		for (uint64_t k = 0; k < 64; k++)
			g[k] = k * 7 % 64;
		while (pid == 0) {
			void *p;

			if (r.h->ops->mapper_open(r.h, &r.map))
				_exit(1);
			p = r.h->ops->map(r.map, 64, g, err);
			if (!p || r.h->ops->unmap(r.map, p, 64))
				_exit(1);
			r.h->ops->mapper_close(r.map);
		}
		usleep((useconds_t)rnd(&s, 8000));
		cr_assert_eq(kill(pid, SIGKILL), 0);
		wait_for(pid, SIGKILL);
		cr_assert_eq(stats(&r).live_mappings, 0);
	}
	cr_assert_eq(each_4k(&r, true, 0, 64), 64);
	cr_assert_eq(stats(&r).released_mapped, 0);
	cr_assert_eq(stats(&r).tot_pages, 0);
	cr_assert_eq(file_bytes(r.m->file[0]), 0);
	rig_close(&r);
}

struct job {
	struct rig *r;
	unsigned int id;
	bool ok;
};

#define ROUNDS 300u
#define OWN 96u

/* Each thread has gfns of its own and shares one that all map. */
static void *map_and_write(void *arg)
{
	struct job *job = arg;
	struct rig mine = *job->r;
	uint64_t g[OWN + 1];
	int err[OWN + 1];

	if (mine.h->ops->mapper_open(mine.h, &mine.map))
		return NULL;
	for (uint64_t i = 0; i < OWN; i++)
		g[i] = job->id * OWN + i;
	g[OWN] = 5000;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned char *p = mine.h->ops->map(mine.map, OWN + 1, g, err);

		if (!p)
			return NULL;
		for (size_t i = 0; i < OWN; i++)
			p[i * XR_PAGE_SIZE + round % XR_PAGE_SIZE] = (unsigned char)job->id;
		if (mine.h->ops->unmap(mine.map, p, OWN + 1))
			return NULL;
	}
	mine.h->ops->mapper_close(mine.map);
	job->ok = true;
	return NULL;
}

Test(mapping, threads_map_while_the_host_populates_and_releases)
{
	struct rig r = rig(8192);
	struct job jobs[4];
	pthread_t t[4];

	cr_assert_eq(each_4k(&r, false, 0, 4 * OWN), 4 * OWN);
	cr_assert_eq(populate(&r, 0, 5000), 1);
	for (unsigned int i = 0; i < 4; i++) {
		jobs[i] = (struct job){ &r, i, false };
		cr_assert_eq(pthread_create(&t[i], NULL, map_and_write, &jobs[i]), 0);
	}
	for (unsigned int i = 0; i < ROUNDS; i++) {
		cr_assert_eq(each_4k(&r, false, 1000, 200), 200);
		cr_assert_eq(populate(&r, 9, 2048), 1);
		cr_assert_eq(each_4k(&r, true, 1000, 200), 200);
		cr_assert_eq(release(&r, 9, 2048), 1);
	}
	for (unsigned int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		cr_assert(jobs[i].ok);
	}
	cr_assert_eq(stats(&r).live_mappings, 0);
	cr_assert_eq(stats(&r).tot_pages, 4 * OWN + 1);
	for (uint64_t g = 0; g < 4 * OWN; g++) {
		unsigned char page[XR_PAGE_SIZE];

		cr_assert_eq(xr_model_peek(r.m, g, page), 0);
		cr_assert_eq(page[ROUNDS - 1], g / OWN);
	}
	rig_close(&r);
}
