/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the calls to the C library and those to liburing share of the trap. */
#ifndef XR_TEST_TRAP_INSIDE_H
#define XR_TEST_TRAP_INSIDE_H

#include "failures/trap.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Is this call the one that fails? Then errno is set. */
bool trap_springs(enum trap_call call);

/* The fd whose reads may end; -1: none. */
int trap_stream_fd(void);

/* Where a read without an offset begins; that so many bytes were read. */
uint64_t trap_position(int fd);
void trap_move_on(int fd, ssize_t got);

/*
 * How much of n bytes from `pos` on may be read. 0: the read ends here, with *result, and errno if
 * that is -1. After a stop that is no end, everything may be.
 */
size_t trap_allowed(int fd, uint64_t pos, size_t n, ssize_t *result);

/* The read that ended was not the one that is wanted: let the next one end, too. */
void trap_again(void);

size_t trap_length(const struct iovec *iov, int n);
/* The first `most` bytes of iov[0..n) into out; returns how many iovecs these are. */
int trap_shorten(const struct iovec *iov, int n, size_t most, struct iovec *out);

/* Take notice of what the ring has read since. */
void trap_ring_look(void);

#endif
