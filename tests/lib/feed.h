/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes as an fd of any kind, and a look at what its reader has left behind. For all but a file a
 * child process writes the bytes in pieces of odd sizes, so the caller stays single-threaded.
 */
#ifndef XR_TEST_FEED_H
#define XR_TEST_FEED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum feed_kind { FEED_FILE, FEED_PIPE, FEED_SOCKET, FEED_TCP, FEED_KINDS };

struct feed {
	int fd; /* to read from; for a file, positioned at the first byte */
	enum feed_kind kind;
	off_t start; /* of the bytes in the file: other bytes may stand before them */
	pid_t writer;
};

const char *feed_kind_name(enum feed_kind kind);

/* 0 or a negative errno. The seed chooses the sizes of the writes, and the start in a file. */
int feed_open(struct feed *f, enum feed_kind kind, const void *bytes, size_t n, uint64_t seed);

/* A pipe that holds all of it already and has no writer: of a MiB at most, else -EFBIG. */
int feed_fill(struct feed *f, const void *bytes, size_t n);

/* Everything from the fd's present position to its end, at most max bytes. Returns their number. */
ssize_t feed_rest(struct feed *f, void *rest, size_t max);

/* Close the fd and reap the writer. */
void feed_close(struct feed *f);

#endif
