/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "populate/script.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static unsigned char *sparse(void)
{
	void *p = mmap(NULL, XR_PFN_LIMIT, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void script_open(struct script *s)
{
	memset(s, 0, sizeof(*s));
	s->in = sparse();
	s->hole = sparse();
}

void script_close(struct script *s)
{
	munmap(s->in, XR_PFN_LIMIT);
	munmap(s->hole, XR_PFN_LIMIT);
	free(s->entry);
	free(s->chunk);
	free(s->order);
}

void script_say(struct script *s, uint64_t pfn, uint64_t type)
{
	bool ram = entry_ram(type << 60);

	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 4096;
		s->entry = realloc(s->entry, s->room * sizeof(*s->entry));
	}
	s->entry[s->n++] = pfn | type << 60;
	s->ram += (uint64_t)ram - s->in[pfn];
	s->in[pfn] = ram;
	s->hole[pfn] |= !ram;
	if (s->ram > s->peak)
		s->peak = s->ram;
}

void script_range(struct script *s, uint64_t first, uint64_t end, uint64_t type)
{
	for (uint64_t pfn = first; pfn < end; pfn++)
		script_say(s, pfn, type);
}

/* How many entries from `at` on, at most n, before a pfn comes again. */
static size_t distinct(const struct script *s, size_t at, size_t n)
{
	size_t ascending = 1;

	while (ascending < n &&
	       entry_pfn(s->entry[at + ascending]) > entry_pfn(s->entry[at + ascending - 1]))
		ascending++;
	for (size_t i = ascending; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (entry_pfn(s->entry[at + i]) == entry_pfn(s->entry[at + j]))
				return i;
	return n;
}

void script_cut(struct script *s, size_t (*size)(void))
{
	s->chunk = calloc(s->n + 1, sizeof(*s->chunk));
	s->order = calloc(s->n + 1, sizeof(*s->order));
	for (size_t at = 0; at < s->n; s->nchunks++) {
		struct xr_entries *c = &s->chunk[s->nchunks];
		size_t n = size();

		n = distinct(s, at, n < s->n - at ? n : s->n - at);
		c->where = (struct xr_where){ at, s->nchunks, 1 };
		c->n = n;
		c->entry = &s->entry[at];
		s->order[s->nchunks] = c;
		at += n;
	}
}
