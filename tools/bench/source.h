/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ways a stream can reach a restorer, fed from one page-cached file or straight from a maker.
 */
#ifndef XR_BENCH_SOURCE_H
#define XR_BENCH_SOURCE_H

#include <sys/types.h>

enum bench_source { SOURCE_FILE, SOURCE_PIPE, SOURCE_UNIX, SOURCE_TCP, SOURCE_COUNT };

extern const char *const bench_source_names[SOURCE_COUNT + 1]; /* NULL-terminated */

/* An open source. All but SOURCE_FILE have a process that writes, as a sender does. */
struct bench_feed {
	int fd;	      /* to read from */
	pid_t writer; /* -1: none */
};

/*
 * Open the stream in `file` (from offset 0; its descriptor's own offset is neither used nor moved)
 * as this kind of source. The writer runs before this returns, so its start-up is no part of what
 * is measured. pipe_bytes: room of the pipe, 0 for the kernel's 64 KiB. 0 or a
 * negative errno, nothing is open then.
 */
int bench_source_open(enum bench_source kind, int file, unsigned int pipe_bytes,
		      struct bench_feed *feed);

/* The same with a writer that calls make(fd, arg), which returns 0 or a negative errno. */
int bench_source_make(enum bench_source kind, int (*make)(int fd, void *arg), void *arg,
		      unsigned int pipe_bytes, struct bench_feed *feed);

/*
 * Close, and wait for the writer. A reader that stops early makes it end by EPIPE, which is fine.
 * 0, or -EIO if the writer failed in another way: what was read is then not the stream.
 */
int bench_source_close(struct bench_feed *feed);

#endif
