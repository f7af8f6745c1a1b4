/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader's plain way: poll, readv and preadv; reads ahead become advice to the page cache. */
#include "stream/io.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct plain {
	int fd;
	int stop[2];
	uint64_t waited;
	struct {
		void *buf;
		size_t n;
		uint64_t offset;
	} slot[XR_IO_SLOTS];
};

int xr_io_poll(int fd, const int stop[2], int ms)
{
	struct pollfd p[3] = { { .fd = stop[0], .events = POLLIN },
			       { .fd = stop[1], .events = POLLIN },
			       { .fd = fd, .events = POLLIN } };
	int n;

	n = poll(p, 3, ms);
	if (n < 0)
		return errno == EINTR ? -EINTR : -errno;
	if (p[0].revents || p[1].revents)
		return -ECANCELED;
	return n ? 0 : -ETIME;
}

static int plain_wait(void *io)
{
	struct plain *p = io;
	const uint64_t from = xr_now();
	const int rc = xr_io_poll(p->fd, p->stop, -1);

	p->waited += xr_now() - from;
	return rc;
}

static ssize_t plain_readv(void *io, const struct iovec *iov, int n, uint64_t offset)
{
	struct plain *p = io;
	uint64_t from;
	ssize_t got;
	int rc;

	/* A blocking fd must not be read before there is something: that could not be stopped. */
	rc = offset == XR_IO_HERE ? plain_wait(io) : xr_io_poll(-1, p->stop, 0);
	if (rc && rc != -ETIME)
		return rc;
	from = xr_now();
	got = offset == XR_IO_HERE ? readv(p->fd, iov, n) : preadv(p->fd, iov, n, (off_t)offset);
	if (got < 0)
		got = -errno;
	if (offset != XR_IO_HERE)
		p->waited += xr_now() - from;
	return got;
}

static int plain_begin(void *io, unsigned int slot, void *buf, size_t n, uint64_t offset)
{
	struct plain *p = io;

	p->slot[slot].buf = buf;
	p->slot[slot].n = n;
	p->slot[slot].offset = offset;
	posix_fadvise(p->fd, (off_t)offset, (off_t)n, POSIX_FADV_WILLNEED);
	return 0;
}

static void plain_flush(void *io)
{
	(void)io;
}

static ssize_t plain_finish(void *io, unsigned int slot)
{
	struct plain *p = io;
	const struct iovec iov = { p->slot[slot].buf, p->slot[slot].n };

	return plain_readv(io, &iov, 1, p->slot[slot].offset);
}

static void plain_settle(void *io)
{
	(void)io;
}

static uint64_t plain_waited(const void *io)
{
	const struct plain *p = io;

	return p->waited;
}

int xr_io_plain_open(void **io, int fd, const int stop[2])
{
	struct plain *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = fd;
	p->stop[0] = stop[0];
	p->stop[1] = stop[1];
	*io = p;
	return 0;
}

const struct xr_io_ops xr_io_plain = {
	.readv = plain_readv,
	.wait = plain_wait,
	.begin = plain_begin,
	.flush = plain_flush,
	.finish = plain_finish,
	.settle = plain_settle,
	.waited = plain_waited,
	.close = free,
};
