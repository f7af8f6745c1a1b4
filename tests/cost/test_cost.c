/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a restore costs in things that don't vary from run to run: hypercalls, mapped pages, copies
 * of each page, system calls for each record. A change that makes one of them dearer fails here;
 * seconds are the bench's.
 */
#include "cost/copies.h"
#include "cost/syscalls.h"
#include "generate/generate.h"
#include "host/model.h"
#include "lib/sanitizer.h"
#include "populate/physmap.h"
#include "xenrestore.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FULL_PIPE (1u << 20)
#define STOCK_EXTENTS_TO_OUR_CALLS 50u

struct price {
	struct xr_gen_options gen;
	struct xr_gen_summary sum;
	int stream; /* the whole of it */
	bool pipe;
	struct xr_settings set;
	struct xr_result res;
	struct xr_model_stats stats;
};

static void make_stream(struct price *p)
{
	p->stream = memfd_create("stream", MFD_CLOEXEC);
	cr_assert(p->stream >= 0);
	cr_assert_eq(xr_generate(p->stream, &p->gen, &p->sum), 0);
}

/* By offset: that of the file is shared with the process that restores from it. */
static int read_fully(int fd, void *to, size_t n, uint64_t from)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(fd, (char *)to + got, n - got, (off_t)(from + got));

		if (r <= 0)
			return -1;
		got += (size_t)r;
	}
	return 0;
}

static int write_fully(int fd, const void *from, size_t n)
{
	for (size_t put = 0; put < n;) {
		ssize_t w = write(fd, (const char *)from + put, n - put);

		if (w <= 0)
			return -1;
		put += (size_t)w;
	}
	return 0;
}

/* A child that sends the stream through a pipe. Returns the end to read from. */
static int send_stream(const struct price *p)
{
	static char piece[1 << 20];
	int end[2];

	if (pipe2(end, O_CLOEXEC))
		return -1;
	if (fork() == 0) {
		close(end[0]);
		for (uint64_t at = 0, n; at < p->sum.bytes; at += n) {
			n = p->sum.bytes - at < sizeof(piece) ? p->sum.bytes - at : sizeof(piece);
			if (read_fully(p->stream, piece, n, at) || write_fully(end[1], piece, n))
				_exit(1);
		}
		_exit(0);
	}
	close(end[1]);
	return end[0];
}

/* All of a small stream in the pipe before the reader begins: what it reads at once is its choice.
 */
static int full_pipe(const struct price *p)
{
	static char all[FULL_PIPE];
	int end[2];

	if (pipe2(end, O_CLOEXEC))
		return -1;
	if (fcntl(end[1], F_SETPIPE_SZ, FULL_PIPE) < 0 ||
	    read_fully(p->stream, all, p->sum.bytes, 0) || write_fully(end[1], all, p->sum.bytes))
		return -1;
	close(end[1]);
	return end[0];
}

static bool restore(void *arg, char *why, size_t room)
{
	struct price *p = arg;
	struct xr_restore *r = NULL;
	struct xr_model_settings ms;
	struct xr_error err;
	int rc;

	xr_model_settings_default(&ms);
	ms.no_huge = true;
	rc = xr_model_create(&p->set.model, &ms);
	if (p->pipe && p->sum.bytes <= FULL_PIPE)
		p->set.fd = full_pipe(p);
	else
		p->set.fd = p->pipe ? send_stream(p) : p->stream;
	lseek(p->stream, 0, SEEK_SET);
	if (!rc)
		rc = xr_open(&r, &p->set, &err);
	if (!rc)
		rc = xr_run(r, &p->res, &err);
	if (rc)
		snprintf(why, room, "restore failed: %s", err.text);
	xr_close(&r);
	xr_model_stats(p->set.model, &p->stats);
	xr_model_destroy(&p->set.model);
	return !rc;
}

static bool at_most(const char *what, uint64_t is, uint64_t most, char *why, size_t room)
{
	if (is > most)
		snprintf(why, room, "%s: %llu, at most %llu are due", what, (unsigned long long)is,
			 (unsigned long long)most);
	return is <= most;
}

static bool exactly(const char *what, uint64_t is, uint64_t due, char *why, size_t room)
{
	if (is != due)
		snprintf(why, room, "%s: %llu, %llu are due", what, (unsigned long long)is,
			 (unsigned long long)due);
	return is == due;
}

/*
 * Calls that change the guest's memory: full batches of large and of small extents, and some that
 * are not full, at the end of a step ahead (16 regions) or, on a pipe, of a record (2 regions).
 */
static uint64_t memory_calls(const struct price *p)
{
	const uint64_t regions = xr_gen_pfns(&p->gen) / XR_REGION_PFNS + 1;
	const uint64_t small = p->sum.populated - p->sum.whole_2m * XR_REGION_PFNS;

	return p->sum.whole_2m / XR_BATCH_2M + small / XR_BATCH_4K + regions / (p->pipe ? 2 : 8) +
	       2;
}

static bool fair(void *arg, char *why, size_t room)
{
	struct price *p = arg;
	const uint64_t ahead = (uint64_t)p->set.ahead_mib << 8;
	const uint64_t holes = xr_gen_pfns(&p->gen) - p->sum.populated;
	uint64_t written, calls;

	if (!restore(p, why, room))
		return false;
	written = p->pipe ? p->sum.pages : p->sum.populated;
	calls = p->stats.calls[XR_CALL_POPULATE] + p->stats.calls[XR_CALL_RELEASE];
	return at_most("hypercalls that this test allows", memory_calls(p),
		       p->sum.populated / STOCK_EXTENTS_TO_OUR_CALLS, why, room) &&
	       at_most("contents written", p->res.pages_written, written, why, room) &&
	       at_most("pages mapped", p->stats.pages_mapped, written + 2 * XR_GEN_SPECIAL, why,
		       room) &&
	       at_most("map calls", p->res.map_calls, p->sum.records + XR_GEN_SPECIAL, why, room) &&
	       at_most("unmap calls", p->res.unmap_calls,
		       p->res.worker_kind == XR_WORKER_PROCESS ? 2 * XR_GEN_SPECIAL
							       : p->res.map_calls,
		       why, room) &&
	       at_most("hypercalls for memory", calls, memory_calls(p), why, room) &&
	       exactly("2M pages", p->res.extents_2m, p->sum.whole_2m, why, room) &&
	       at_most("pages released", p->res.pages_released, p->pipe ? holes + ahead : 0, why,
		       room) &&
	       at_most("pages ever owned", p->stats.peak_pages,
		       p->sum.populated + (p->pipe ? ahead : 0), why, room) &&
	       at_most("other calls", p->res.other_calls, 20, why, room);
}

static struct price usual(void)
{
	struct price p = { .stream = -1 };

	xr_gen_options_default(&p.gen);
	p.gen.size_bytes = 96ull << 20;
	p.gen.holes_permille = 50;
	p.gen.hole_run = 512;
	p.gen.passes = 3;
	p.gen.dirty_permille = 50;
	p.gen.compact = true;
	xr_settings_default(&p.set);
	p.set.host = XR_HOST_MODEL;
	p.set.workers = 2;
	make_stream(&p);
	return p;
}

static void check_all_kinds(struct price *p)
{
	char why[ISOLATE_WHY];

	for (unsigned int c = 0; c < 4; c++) {
		p->pipe = c & 1;
		p->set.worker_kind = c & 2 || NO_PROCESSES ? XR_WORKER_THREAD : XR_WORKER_PROCESS;
		cr_assert(isolated(fair, p, why), "%s, worker %s: %s", p->pipe ? "pipe" : "file",
			  c & 2 ? "threads" : "processes", why);
	}
}

Test(cost, of_the_guest)
{
	struct price p = usual();

	check_all_kinds(&p);
	close(p.stream);
}

static bool tell_calls(void *arg, char *why, size_t room)
{
	struct price *p = arg;

	if (!restore(p, why, room))
		return false;
	snprintf(why, room, "%llu", (unsigned long long)p->res.populate_calls);
	return false;
}

/* Whatever is faster, the plan or the data. */
Test(cost, calls_of_a_file_are_always_the_same)
{
	struct price p = usual();
	char first[ISOLATE_WHY], why[ISOLATE_WHY];

	isolated(tell_calls, &p, first);
	for (unsigned int i = 0; i < 12; i++) {
		p.set.workers = 1 + i % 4;
		p.set.worker_kind = i & 1 || NO_PROCESSES ? XR_WORKER_THREAD : XR_WORKER_PROCESS;
		isolated(tell_calls, &p, why);
		cr_assert_str_eq(why, first);
	}
	close(p.stream);
}

/* Holes strewn page by page leave no large page; calls must not follow their number. */
Test(cost, of_scattered_holes)
{
	struct price p = usual();

	close(p.stream);
	p.gen.hole_run = 1;
	make_stream(&p);
	check_all_kinds(&p);
	close(p.stream);
}

/*
 * Contents go from a file straight into the guest, and from a pipe by one copy. What is beside them
 * are heads and lists: pfns, places in the file or the buffer, what a window is made of.
 */
static bool copied_once(void *arg, char *why, size_t room)
{
	struct price *p = arg;
	uint64_t bytes, contents;

	if (!copies_begin() || !restore(p, why, room))
		return false;
	bytes = copies_end();
	contents = p->pipe ? p->sum.pages * XR_PAGE_SIZE : 0;
	return at_most("bytes copied", bytes, contents + 64 * p->sum.pages, why, room) &&
	       at_most("bytes that are seen to be copied", contents, bytes, why, room);
}

Test(cost, copies_of_each_byte)
{
	struct price p = usual();
	char why[ISOLATE_WHY];

	if (SANITIZED)
		cr_skip_test("memcpy() is a sanitizer's");
	for (unsigned int c = 0; c < 4; c++) {
		p.pipe = c & 1;
		p.set.worker_kind = c & 2 && !NO_PROCESSES ? XR_WORKER_PROCESS : XR_WORKER_THREAD;
		cr_assert(isolated(copied_once, &p, why), "%u: %s", c, why);
	}
	close(p.stream);
}

static uint64_t reads_of(const struct syscalls *s)
{
	return s->n[SYS_read] + s->n[SYS_readv] + s->n[SYS_pread64] + s->n[SYS_preadv] +
	       s->n[SYS_preadv2] + s->n[SYS_io_uring_enter];
}

/* Of no kind in particular: neither reads, nor waiting, whose number is chance, nor the model's own
 * for mappings and memory, which stand for the hypercalls that other tests count. */
static uint64_t others_of(const struct syscalls *s)
{
	static const unsigned int apart[] = { SYS_futex,  SYS_poll,    SYS_ppoll,  SYS_mmap,
					      SYS_munmap, SYS_madvise, SYS_getpid, SYS_fallocate };
	uint64_t n = 0;

	for (unsigned int nr = 0; nr < SYSCALLS_MAX; nr++)
		n += s->n[nr];
	for (unsigned int i = 0; i < sizeof(apart) / sizeof(*apart); i++)
		n -= s->n[apart[i]];
	return n - reads_of(s);
}

/* By way: with a ring or without, by threads or processes. */
#define WAYS 4u
static void count_system_calls(struct price *p, uint64_t reads, uint64_t others[WAYS])
{
	struct syscalls s;
	char why[ISOLATE_WHY];

	for (unsigned int c = 0; c < WAYS; c++) {
		p->set.io = c & 1 ? XR_IO_PLAIN : XR_IO_AUTO;
		p->set.worker_kind = c & 2 && !NO_PROCESSES ? XR_WORKER_PROCESS : XR_WORKER_THREAD;
		cr_assert(syscalls_of(restore, p, &s, why), "%u: %s", c, why);
		cr_assert(at_most("reads", reads_of(&s), reads, why, sizeof(why)), "%u: %s", c,
			  why);
		others[c] = others_of(&s);
	}
}

/* A record more takes next to nothing: an advice at a read ahead, a word between workers. */
static void expect_no_more_than(const uint64_t few[WAYS], const uint64_t many[WAYS],
				uint64_t records)
{
	char why[ISOLATE_WHY];

	for (unsigned int c = 0; c < WAYS; c++)
		cr_assert(at_most("other system calls for more records", many[c],
				  few[c] + 4 * records + 40, why, sizeof(why)),
			  "%u: %s", c, why);
}

/*
 * A file: heads and pfn lists are read for the index and again for the records, contents once, a
 * stretch of a window by one read. Every page that a later pass replaces cuts a stretch in two.
 */
Test(cost, system_calls_of_a_file)
{
	uint64_t others[2][WAYS], records[2];

	for (unsigned int i = 0; i < 2; i++) {
		struct price p = usual();

		if (!i) {
			close(p.stream);
			p.gen.size_bytes /= 4;
			make_stream(&p);
		}
		records[i] = p.sum.records;
		count_system_calls(&p, p.sum.pages - p.sum.populated + 4 * p.sum.records,
				   others[i]);
		close(p.stream);
	}
	expect_no_more_than(others[0], others[1], records[1] - records[0]);
}

/* A pipe: the body of a record with the head of the next, in parts only where a buffer ends. */
Test(cost, system_calls_of_a_pipe)
{
	uint64_t others[2][WAYS], records[2];

	for (unsigned int i = 0; i < 2; i++) {
		struct price p = { .stream = -1, .pipe = true };

		xr_gen_options_default(&p.gen);
		p.gen.size_bytes = 180 * 4096;
		p.gen.batch = i ? 5 : 30;
		p.gen.compact = true;
		make_stream(&p);
		xr_settings_default(&p.set);
		p.set.host = XR_HOST_MODEL;
		p.set.workers = 1;
		records[i] = p.sum.records;
		count_system_calls(&p, 2 * p.sum.records + 16, others[i]);
		close(p.stream);
	}
	expect_no_more_than(others[0], others[1], records[1] - records[0]);
}
