/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the reader gets at bytes: one table, three ways (io_uring, plain system calls, the tests').
 * A handle serves one thread at a time; between threads call settle().
 */
#ifndef XR_IO_H
#define XR_IO_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define XR_IO_SLOTS 16u
#define XR_IO_HERE UINT64_MAX /* offset: where the fd stands (pipes, sockets) */

struct xr_io_ops {
	/*
	 * Read some of iov[0..n) at offset (or XR_IO_HERE) as soon as there is something. Returns
	 * the count, which may be short, 0 at the end, or a negative errno: -EINTR and -EAGAIN
	 * are the kernel's and to be dealt with by the caller; -ECANCELED once a stop fd is
	 * readable, within milliseconds also while nothing comes.
	 */
	ssize_t (*readv)(void *io, const struct iovec *iov, int n, uint64_t offset);

	/* After -EAGAIN: sleep until the fd may have something. 0 or a negative errno. */
	int (*wait)(void *io);

	/* A positional read ahead: begin it, send all begun ones on their way, wait for its
	 * result. A slot has one read at a time; buf belongs to it until finish() returned
	 * anything but -ECANCELED, or settle(). */
	int (*begin)(void *io, unsigned int slot, void *buf, size_t n, uint64_t offset);
	void (*flush)(void *io);
	ssize_t (*finish)(void *io, unsigned int slot);

	/* End all reads that are under way; none touches its buffer any more. (A ring that has
	 * failed for good, and refuses to end one, leaves that to the kernel, some time after it is
	 * closed.)
	 */
	void (*settle)(void *io);

	/* Nanoseconds spent waiting for bytes so far. */
	uint64_t (*waited)(const void *io);
	void (*close)(void *io);
};

/* stop: two fds, -1 for none. 0 or a negative errno. */
int xr_io_plain_open(void **io, int fd, const int stop[2]);
int xr_io_uring_open(void **io, int fd, const int stop[2]);

extern const struct xr_io_ops xr_io_plain, xr_io_uring;

/* Sleep until fd is readable or at its end (0), or a stop fd is readable (-ECANCELED). ms < 0: no
 * limit, else -ETIME after so long. fd may be -1. */
int xr_io_poll(int fd, const int stop[2], int ms);

#endif
