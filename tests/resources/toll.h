/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A restore in a process of its own, from a stream that is made on the way, and what it took:
 * memory, CPU time. Memory of the guest is not in it (the model keeps the frames' books only, in
 * memory of its own), nor that of the sanitizers.
 */
#ifndef XR_TEST_TOLL_H
#define XR_TEST_TOLL_H

#include "generate/emit.h"
#include "lib/feed.h"
#include "lib/sanitizer.h"
#include "xenrestore.h"

/* More private memory than this can't be had while a restore runs: it would fail. Stacks of three
 * threads count with 24 of it. */
#define TOLL_LIMIT_MIB 96u

struct toll {
	/* in */
	void (*make)(struct xr_sink *s, uint64_t n);
	uint64_t n;	     /* of whatever make() makes many of */
	enum feed_kind way;  /* FILE or PIPE */
	unsigned int cancel; /* in the nth call of the progress callback; 0: not at all */
	bool endless;	     /* make() is called again and again until the reader is gone */
	bool checkpointed;   /* Remus; the toolstack finds every checkpoint good */
	uint64_t max_pages;  /* of the domain; 0: the model's own */

	/* out */
	int rc;
	struct xr_result res;
	struct xr_error err;
	long peak_kib;	    /* anonymous memory above that before xr_open() */
	uint64_t cpu_ns;    /* of the restore, threads and all */
	uint64_t pages_now; /* that the domain owns */
	unsigned int progress;
};

/* Fails the test if there is no result at all. */
void toll_take(struct toll *t);

/* A stream's beginning, up to where pages may come, and its end. */
void toll_begin(struct xr_sink *s);
void toll_end(struct xr_sink *s);

/* PAGE_DATA with these entries, its contents, if any, zeros. */
void toll_pages(struct xr_sink *s, const uint64_t *entries, uint32_t n, uint32_t contents);

#endif
