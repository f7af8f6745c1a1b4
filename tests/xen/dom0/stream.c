/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read the memory part of an xl save file, for the checks. On purpose nothing of the library under
 * test is used: a mistake of its decoder must not be made twice.
 */
#include "xr-lab.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u
#define MAX_PFN (1ul << 24)
#define REC_END 0u
#define REC_PAGE_DATA 1u
#define PFN(entry) ((entry) & ((1ull << 52) - 1))
#define TYPE(entry) ((entry) >> 60)

struct stream {
	uint8_t *data;
	size_t size;
	size_t start; /* of the first libxc record */
	bool pv;
};

struct record {
	size_t at; /* of its header */
	uint32_t type, length;
	uint8_t *body;
};

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool backed(uint64_t entry)
{
	return TYPE(entry) != 0xd && TYPE(entry) != 0xf;
}

static bool has_data(uint64_t entry)
{
	return backed(entry) && TYPE(entry) != 0xe;
}

/* Skip xl's header and libxl's, up to the libxc image (restored from LIBXC_CONTEXT). */
static bool find_start(struct stream *s)
{
	static const uint8_t marker[] = {
		255, 255, 255, 255, 255, 255, 255, 255, 'X', 'E', 'N', 'F'
	};
	size_t at;

	if (s->size < 48 || memcmp(s->data, "Xen saved domain, xl format", 27))
		return false;
	at = 48 + (size_t)u32(s->data + 44) + 16 + 8;
	if (at + 40 > s->size || memcmp(s->data + at, marker, sizeof(marker)))
		return false;
	s->pv = u32(s->data + at + 24) == 1;
	s->start = at + 40;
	return true;
}

static bool stream_open(struct stream *s, const char *path, bool writable)
{
	int fd = open(path, writable ? O_RDWR : O_RDONLY);
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->data = MAP_FAILED;
	if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
		s->size = (size_t)st.st_size;
		s->data = mmap(NULL, s->size, PROT_READ | (writable ? PROT_WRITE : 0),
			       writable ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	}
	if (fd >= 0)
		close(fd);
	if (s->data == MAP_FAILED || !find_start(s)) {
		fprintf(stderr, "xr-lab: %s: cannot open, or no xl save file\n", path);
		return false;
	}
	return true;
}

/* The record at r->at; false at the end of the file. */
static bool get(const struct stream *s, struct record *r)
{
	if (r->at + 8 > s->size)
		return false;
	r->type = u32(s->data + r->at);
	r->length = u32(s->data + r->at + 4);
	r->body = s->data + r->at + 8;
	return r->length <= s->size - r->at - 8;
}

static void step(struct record *r)
{
	r->at += 8 + (((size_t)r->length + 7) & ~(size_t)7);
}

struct totals {
	unsigned long records, passes, contents;
	unsigned long ram, ever, whole; /* at the end; at any time; whole 2M regions at the end */
	uint8_t *now, *before;		/* per pfn */
	uint64_t last_first;
	bool complete;
};

static bool add_pages(struct totals *t, const struct record *r)
{
	uint32_t n = u32(r->body);

	if (r->length < 8 || n > (r->length - 8) / 8 || !n)
		return false;
	if (!t->passes || PFN(u64(r->body + 8)) <= t->last_first)
		t->passes++;
	t->last_first = PFN(u64(r->body + 8));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t e = u64(r->body + 8 + 8 * (size_t)i);

		if (PFN(e) >= MAX_PFN)
			return false;
		t->now[PFN(e)] = backed(e);
		t->before[PFN(e)] |= backed(e);
		t->contents += has_data(e);
	}
	return true;
}

static void sum_up(struct totals *t)
{
	for (unsigned long base = 0; base < MAX_PFN; base += 512) {
		unsigned int in = 0;

		for (unsigned int i = 0; i < 512; i++) {
			in += t->now[base + i];
			t->ever += t->before[base + i];
		}
		t->ram += in;
		t->whole += in == 512;
	}
}

int stream_print(const char *path)
{
	struct totals t = { .now = calloc(MAX_PFN, 1), .before = calloc(MAX_PFN, 1) };
	struct record r = { 0 };
	struct stream s;

	if (!t.now || !t.before || !stream_open(&s, path, false))
		return 1;
	for (r.at = s.start; get(&s, &r) && !t.complete; step(&r)) {
		t.records++;
		t.complete = r.type == REC_END;
		if (r.type == REC_PAGE_DATA && !add_pages(&t, &r))
			break;
	}
	sum_up(&t);
	printf("pv=%d records=%lu passes=%lu contents=%lu ram=%lu ever=%lu whole=%lu complete=%d "
	       "middle=%zu\n",
	       s.pv, t.records, t.passes, t.contents, t.ram, t.ever, t.whole, t.complete,
	       s.start + (r.at - s.start) / 2);
	return t.complete ? 0 : 1;
}

/* The contents of a pfn, of the first or the last record that has them. */
static uint8_t *contents(const struct stream *s, unsigned long pfn, bool last)
{
	struct record r = { .at = s->start };
	uint8_t *found = NULL, *page;

	for (; get(s, &r) && r.type != REC_END && (last || !found); step(&r)) {
		if (r.type != REC_PAGE_DATA)
			continue;
		page = r.body + 8 + 8 * (size_t)u32(r.body);
		for (uint32_t i = 0; i < u32(r.body); i++) {
			uint64_t e = u64(r.body + 8 + 8 * (size_t)i);

			if (!has_data(e))
				continue;
			if (PFN(e) == pfn)
				found = page;
			page += PAGE;
		}
	}
	return found;
}

static bool damage_page(const struct stream *s, const char *kind, unsigned long pfn,
			unsigned long other)
{
	uint8_t *page = contents(s, pfn, true), *from = NULL;

	if (!page)
		return false;
	if (!strcmp(kind, "zero")) {
		memset(page, 0, PAGE);
		return true;
	}
	if (!strcmp(kind, "flip")) {
		page[PAGE / 2] ^= 0x10;
		return true;
	}
	if (!strcmp(kind, "copy"))
		from = contents(s, other, true);
	else if (!strcmp(kind, "stale"))
		from = contents(s, pfn, false);
	if (!from || !memcmp(page, from, PAGE))
		return false;
	memcpy(page, from, PAGE);
	return true;
}

static bool damage_record(const struct stream *s, const char *kind, unsigned long n)
{
	struct record r = { .at = s->start };
	uint32_t type = 0x7654, length = 0x10000000;

	for (; get(s, &r) && r.type != REC_END && n; n--)
		step(&r);
	if (n)
		return false;
	if (!strcmp(kind, "type")) {
		memcpy(s->data + r.at, &type, 4);
		return true;
	}
	if (!strcmp(kind, "length")) {
		memcpy(s->data + r.at + 4, &length, 4);
		return true;
	}
	if (r.type != REC_PAGE_DATA)
		return false;
	r.body[15] = (uint8_t)((r.body[15] & 0x0f) | 0x50);
	return true;
}

int stream_damage(const char *path, const char *kind, unsigned long pfn, unsigned long other)
{
	bool of_record = !strcmp(kind, "type") || !strcmp(kind, "length") || !strcmp(kind, "pfn");
	struct stream s;

	if (!stream_open(&s, path, true))
		return 1;
	if (of_record ? damage_record(&s, kind, pfn) : damage_page(&s, kind, pfn, other))
		return munmap(s.data, s.size) ? 1 : 0;
	fprintf(stderr, "xr-lab: %s: nothing to damage there\n", path);
	return 1;
}
