/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine's limit: the stream's bytes moved into fresh memory in the largest pages. */
#ifndef XR_BENCH_LIMIT_H
#define XR_BENCH_LIMIT_H

#include <stdint.h>

struct bench_limit {
	double seconds;
	double cpu_seconds;
	uint64_t bytes;
	double huge; /* the share of the memory that was huge pages */
};

/*
 * Read fd to its end by so many threads. A regular file is read in parallel; from anything else
 * one thread reads while the others make the memory ahead of it. Allocation counts, as it does in a
 * restore; giving it back does not. bytes is what fd holds. 0, -ENODATA if it held less, or another
 * negative errno.
 */
int bench_limit_run(int fd, uint64_t bytes, unsigned int threads, struct bench_limit *out);

#endif
