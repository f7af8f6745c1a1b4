/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Read the memory part of an xl save file or captured migration, and sum up what it says. */
#include "stream.h"

#include "xr-lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
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

/* Each record is padded to eight bytes. */
static size_t behind(const struct stream *s, size_t at)
{
	return at + 8 + (((size_t)u32(s->data + at + 4) + 7) & ~(size_t)7);
}

/* libxl has its say at a checkpoint, in records of the same shape; 0 if it has not finished. */
static size_t behind_libxl(const struct stream *s, size_t at)
{
	uint32_t type = ~0u;

	while (type != LIBXL_CHECKPOINT_END && at + 8 <= s->end) {
		type = u32(s->data + at);
		at = behind(s, at);
	}
	return type == LIBXL_CHECKPOINT_END && at <= s->end ? at : 0;
}

/* A stream without checkpoints counts to its end. */
static void count_checkpoints(struct stream *s)
{
	struct record r = { .at = s->start };
	size_t end = 0;

	s->end = s->size;
	for (; record_get(s, &r) && r.type != REC_END; record_step(s, &r)) {
		if (r.type != REC_CHECKPOINT)
			continue;
		if (!behind_libxl(s, behind(s, r.at)))
			break;
		end = behind_libxl(s, behind(s, r.at));
		s->checkpoints++;
	}
	if (s->checkpoints)
		s->end = end;
}

bool stream_open(struct stream *s, const char *path, bool writable)
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
	count_checkpoints(s);
	return true;
}

bool record_get(const struct stream *s, struct record *r)
{
	if (r->at + 8 > s->end)
		return false;
	r->type = u32(s->data + r->at);
	r->length = u32(s->data + r->at + 4);
	r->body = s->data + r->at + 8;
	return r->length <= s->end - r->at - 8;
}

void record_step(const struct stream *s, struct record *r)
{
	r->at = behind(s, r->at);
	if (r->type == REC_CHECKPOINT)
		r->at = behind_libxl(s, r->at);
	if (!r->at)
		r->at = s->end;
}

uint64_t record_entry(const struct record *r, uint32_t i)
{
	return u64(r->body + 8 + 8 * (size_t)i);
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
	if (!t->passes || PFN(record_entry(r, 0)) <= t->last_first)
		t->passes++;
	t->last_first = PFN(record_entry(r, 0));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t e = record_entry(r, i);

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
	for (r.at = s.start; record_get(&s, &r) && !t.complete; record_step(&s, &r)) {
		t.records++;
		t.complete = r.type == REC_END;
		if (r.type == REC_PAGE_DATA && !add_pages(&t, &r))
			break;
	}
	t.complete |= s.checkpoints && r.at == s.end;
	sum_up(&t);
	printf("pv=%d records=%lu passes=%lu contents=%lu ram=%lu ever=%lu whole=%lu complete=%d "
	       "middle=%zu checkpoints=%lu dropped=%zu\n",
	       s.pv, t.records, t.passes, t.contents, t.ram, t.ever, t.whole, t.complete,
	       s.start + (r.at - s.start) / 2, s.checkpoints, s.checkpoints ? s.size - s.end : 0);
	return t.complete ? 0 : 1;
}
