/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream of entries for the tests, how it is cut into chunks, and what it should end in. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "populate/populate.h"

#define RAM 0x0ull
#define BROKEN 0xdull
#define XALLOC 0xeull
#define XTAB 0xfull

struct script {
	uint64_t *entry;
	size_t n, room;
	struct xr_entries *chunk;
	const struct xr_entries **order; /* pointers to the chunks, for next[] */
	size_t nchunks;
	unsigned char *in;   /* by pfn: RAM at the end, by the reference model */
	unsigned char *hole; /* by pfn: was ever named as something else */
	uint64_t ram;	     /* how many at the end */
	uint64_t peak;	     /* how many at most, ever */
};

void script_open(struct script *s);
void script_close(struct script *s);
void script_say(struct script *s, uint64_t pfn, uint64_t type);
void script_range(struct script *s, uint64_t first, uint64_t end, uint64_t type);

/* Cut what was said into chunks of size() entries, never with a pfn twice in one. */
void script_cut(struct script *s, size_t (*size)(void));

static inline uint64_t entry_pfn(uint64_t e)
{
	return e & 0x000fffffffffffffull;
}

static inline bool entry_ram(uint64_t e)
{
	return e >> 60 != BROKEN && e >> 60 != XTAB;
}

#endif
