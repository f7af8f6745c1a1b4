/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool wrong(struct rig *r, const char *fmt, ...)
{
	va_list args;

	if (r->why[0])
		return false;
	va_start(args, fmt);
	vsnprintf(r->why, 512, fmt, args);
	va_end(args);
	return false;
}

bool expected(struct rig *r, bool holds, const char *where, int line, const char *what)
{
	return holds || wrong(r, "%s:%d: %s [%s]", where, line, what, r->err.text);
}

void stamp(unsigned char *page, uint64_t value)
{
	for (size_t i = 0; i < XR_PAGE_SIZE; i += sizeof(value))
		memcpy(page + i, &value, sizeof(value));
}

uint64_t stamp_of(const unsigned char *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	if (memcmp(page, page + sizeof(first), XR_PAGE_SIZE - sizeof(first)))
		return ~(uint64_t)0;
	return first;
}

static int stamped_file(void)
{
	static unsigned char pages[BUFFER_PAGES][XR_PAGE_SIZE];
	int fd = memfd_create("stream", MFD_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < FILE_PAGES; i += BUFFER_PAGES) {
		for (size_t k = 0; k < BUFFER_PAGES; k++)
			stamp(pages[k], i + k + 1);
		if (write(fd, pages, sizeof(pages)) != sizeof(pages))
			return -1;
	}
	return fd;
}

bool rig_new(struct rig *r, size_t frames)
{
	r->g = guest_new(frames);
	r->pool = xr_bufpool_create(POOL_BUFFERS, BUFFER_PAGES * XR_PAGE_SIZE);
	r->fd = stamped_file();
	return expect(r, r->g && r->pool && r->fd >= 0);
}

bool rig_open(struct rig *r, const struct setup *s)
{
	const struct xr_copy_config cfg = { .workers = s->workers,
					    .kind = s->kind,
					    .ordered = s->ordered,
					    .fd = r->fd,
					    .pool = r->pool };
	struct xr_copy_stats st;

	xr_error_clear(&r->err);
	if (!expect(r, xr_copy_open_tuned(&r->c, &r->g->host, &cfg, &s->keep, &r->err) == 0))
		return false;
	xr_copy_stats(r->c, &st);
	return expect(r, st.kind == s->kind);
}

void nap(void)
{
	const struct timespec ms10 = { 0, 10000000 };

	nanosleep(&ms10, NULL);
}

/* One that is done closes its files, by which it is known to be gone, a moment before it is. */
static bool alone(struct rig *r)
{
	for (unsigned int i = 0; i < PATIENCE && guest_processes(r->g); i++)
		nap();
	return !guest_processes(r->g);
}

void rig_free(struct rig *r)
{
	xr_copy_close(&r->c);
	expect(r, !r->c);
	expect(r, guest_mapped(r->g, -1) == 0);
	expect(r, alone(r));
	expect(r, xr_bufpool_in_use(r->pool) == 0);
	xr_bufpool_destroy(r->pool);
	guest_free(r->g);
	close(r->fd);
}

static void run_in_child(struct rig *r, const struct setup *s,
			 void (*what)(struct rig *, const struct setup *))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		what(r, s);
		_exit(0);
	}
	cr_assert(pid > 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	expect(r, status == 0);
}

void run(const struct setup *s, void (*what)(struct rig *r, const struct setup *s))
{
	struct rig r = { .fd = -1 };
	char why[512];

	if (s->kind == XR_WORKER_PROCESS && NO_PROCESSES)
		return;
	r.why = mmap(NULL, sizeof(why), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)r.why, MAP_FAILED);
	if (s->kind == XR_WORKER_PROCESS)
		run_in_child(&r, s, what);
	else
		what(&r, s);
	memcpy(why, r.why, sizeof(why));
	munmap(r.why, sizeof(why));
	cr_assert_eq(why[0], 0, "%s, %u workers, %s, unmap %d at %u pages, XR_SEED=%llu: %s",
		     s->kind == XR_WORKER_PROCESS ? "processes" : "threads", s->workers,
		     s->ordered ? "ordered" : "unordered", s->keep.when, s->keep.pages,
		     (unsigned long long)s->seed, why);
}

int filled_buffer(struct rig *r, size_t pages, uint64_t first)
{
	int b;

	for (;;) {
		uint32_t seen = xr_event_value(&r->pool->freed);

		b = xr_bufpool_take(r->pool);
		if (b >= 0)
			break;
		if (xr_copy_check(r->c, &r->err))
			return -1;
		xr_event_wait(&r->pool->freed, seen, 100);
	}
	for (size_t i = 0; i < pages; i++)
		stamp(xr_bufpool_data(r->pool, (unsigned int)b) + i * XR_PAGE_SIZE, first + i);
	return b;
}

int write_from_file(struct rig *r, uint64_t pfn, size_t n, uint64_t page)
{
	const struct xr_where where = { 1000 + pfn, pfn, 1 };
	uint64_t pfns[XR_WINDOW];
	int rc;

	for (size_t i = 0; i < n; i++)
		pfns[i] = pfn + i;
	rc = xr_copy_begin(r->c, &where, pfns, n, false, &r->err);
	if (!rc)
		rc = xr_copy_data(r->c, 0, n, NULL, -1, page * XR_PAGE_SIZE, &r->err);
	if (!rc)
		rc = xr_copy_end(r->c, &r->err);
	return rc;
}
