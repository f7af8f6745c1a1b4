/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs of the copy stage for tests. Worker processes need a caller with one thread, which a
 * Criterion test is not: such runs happen in a forked child, and say what is wrong in shared
 * memory.
 */
#ifndef TEST_COPY_RUN_H
#define TEST_COPY_RUN_H

#include "base/bufpool.h"
#include "copy/tuned.h"
#include "guest.h"
#include "lib/sanitizer.h"

#define POOL_BUFFERS 8u
#define BUFFER_PAGES 64u
#define FILE_PAGES 1280u

struct setup {
	enum xr_worker_kind kind;
	unsigned int workers;
	bool ordered;
	struct xr_keep keep;
	uint64_t seed;
};

/* A guest, a pool, a file, and a copy stage over them. Page i of the file has stamp i + 1. */
struct rig {
	struct guest *g;
	struct xr_bufpool *pool;
	struct xr_copy *c;
	struct xr_error err;
	int fd;
	char *why; /* 512 bytes; empty: nothing wrong so far */
};

/* Note what is wrong, if it is the first; always false. */
bool wrong(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The condition; if it does not hold, that is what is wrong. */
bool expected(struct rig *r, bool holds, const char *where, int line, const char *what);
#define expect(r, cond) expected(r, cond, __func__, __LINE__, #cond)

bool rig_new(struct rig *r, size_t frames);
bool rig_open(struct rig *r, const struct setup *s);
/* Close the stage if it is open, check that nothing is left, free. */
void rig_free(struct rig *r);

/* Run it where this kind of worker can be had; fails the Criterion test with what was wrong. */
void run(const struct setup *s, void (*what)(struct rig *r, const struct setup *s));

/* Fill a page with a stamp; which stamp does a page hold (~0: no one stamp). */
void stamp(unsigned char *page, uint64_t value);
uint64_t stamp_of(const unsigned char *page);

/* A filled buffer: page i has stamp first + i. -1 on an error of the stage. */
int filled_buffer(struct rig *r, size_t pages, uint64_t first);

/* Write frames [pfn, pfn + n) in one window from the file's page `page` on. */
int write_from_file(struct rig *r, uint64_t pfn, size_t n, uint64_t page);

#define PATIENCE 1000u /* x 10 ms, before a test calls it a failure */
void nap(void);

#endif
