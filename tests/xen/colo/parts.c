/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../dom0/stream.h"
#include "colo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADERS 40u /* of the image and the domain, before the first record */
#define RECORD_MAX 1024u
#define REC_STATIC_DATA_END 16u
#define REC_X86_CPUID_POLICY 17u
#define REC_X86_MSR_POLICY 18u

struct page {
	uint64_t entry;
	const uint8_t *data;
};

static void put(int fd, const void *from, size_t n)
{
	const char *p = from;

	while (n) {
		const ssize_t done = write(fd, p, n);

		if (done < 0)
			die("the helper does not take the stream");
		p += done;
		n -= (size_t)done;
	}
}

static void put_checkpoint(int fd)
{
	const uint32_t both[] = { REC_CHECKPOINT, 0, LIBXL_CHECKPOINT_END, 0 };

	_Static_assert(LIBXL_BYTES == 8, "the latter half of it");
	put(fd, both, sizeof(both));
}

static void open_file(struct stream *s, const char *path)
{
	if (!stream_open(s, path, false) || s->pv)
		die("%s: no save file of an HVM or PVH guest", path);
}

/* The END of a file. */
static struct record last_record(const struct stream *s)
{
	struct record r = { .at = s->start };

	while (record_get(s, &r) && r.type != REC_END)
		record_step(s, &r);
	if (r.type != REC_END)
		die("a save file without an end");
	return r;
}

/* True: in the process that writes. */
static bool in_child(void)
{
	const pid_t pid = fork();

	if (pid < 0)
		die("cannot fork");
	return pid == 0;
}

uint64_t part_end(const char *path)
{
	struct stream s;

	open_file(&s, path);
	return last_record(&s).at + 8;
}

void part_first(int fd, const char *path)
{
	struct stream s;

	if (!in_child())
		return;
	open_file(&s, path);
	put(fd, s.data + s.start - HEADERS, last_record(&s).at - s.start + HEADERS);
	put_checkpoint(fd);
	_exit(0);
}

/* The pages of a record, with their contents; how many there are. */
static uint32_t pages_of(const struct record *r, struct page *page)
{
	const uint32_t n = u32(r->body);
	const uint8_t *data = r->body + 8 + 8 * (size_t)n;

	if (n > RECORD_MAX)
		die("a record of %u pages", n);
	for (uint32_t i = 0; i < n; i++) {
		page[i].entry = record_entry(r, i);
		page[i].data = has_data(page[i].entry) ? data : NULL;
		if (PFN(page[i].entry) >= PARTS_MAX_PFN)
			die("a page too far out");
		if (page[i].data)
			data += PAGE;
	}
	return n;
}

static struct page *all_pages(const struct stream *s)
{
	struct page *all = calloc(PARTS_MAX_PFN, sizeof(*all)), page[RECORD_MAX];
	struct record r = { .at = s->start };

	if (!all)
		die("no memory");
	for (; record_get(s, &r) && r.type != REC_END; record_step(s, &r)) {
		const uint32_t n = r.type == REC_PAGE_DATA ? pages_of(&r, page) : 0;

		for (uint32_t i = 0; i < n; i++)
			all[PFN(page[i].entry)] = page[i];
	}
	return all;
}

static bool differs(const struct page *a, const struct page *b)
{
	if (a->entry != b->entry)
		return true;
	return a->data && memcmp(a->data, b->data, PAGE);
}

static void put_pages(int fd, const struct page *page, uint32_t n)
{
	uint32_t head[4] = { REC_PAGE_DATA, 8 + 8 * n, n, 0 };

	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++)
		head[1] += page[i].data ? PAGE : 0;
	put(fd, head, sizeof(head));
	for (uint32_t i = 0; i < n; i++)
		put(fd, &page[i].entry, sizeof(page[i].entry));
	for (uint32_t i = 0; i < n; i++)
		if (page[i].data)
			put(fd, page[i].data, PAGE);
}

static void put_changed(int fd, const struct record *r, const struct page *before,
			const uint8_t *dirty)
{
	struct page page[RECORD_MAX];
	const uint32_t n = pages_of(r, page);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t pfn = PFN(page[i].entry);

		if ((dirty && dirty[pfn]) || differs(&before[pfn], &page[i]))
			page[kept++] = page[i];
	}
	put_pages(fd, page, kept);
}

/* What comes once, at the start. */
static bool is_static(uint32_t type)
{
	return type == REC_STATIC_DATA_END || type == REC_X86_CPUID_POLICY ||
	       type == REC_X86_MSR_POLICY;
}

void part_next(int fd, const char *before, const char *path, const uint8_t *dirty)
{
	struct stream a, b;
	struct record r = { 0 };
	struct page *pages;

	if (!in_child())
		return;
	open_file(&a, before);
	open_file(&b, path);
	pages = all_pages(&a);
	for (r.at = b.start; record_get(&b, &r) && r.type != REC_END; record_step(&b, &r)) {
		if (r.type == REC_PAGE_DATA)
			put_changed(fd, &r, pages, dirty);
		else if (!is_static(r.type))
			put(fd, b.data + r.at, 8 + (((size_t)r.length + 7) & ~(size_t)7));
	}
	put_checkpoint(fd);
	_exit(0);
}
