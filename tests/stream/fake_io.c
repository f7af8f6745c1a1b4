/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/fake_io.h"

#include "lib/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not an assertion of the framework: those must not be used on the stage's thread. */
static void must(bool holds, const char *what, uint64_t at)
{
	if (holds)
		return;
	fprintf(stderr, "fake_io: %s, at %llu\n", what, (unsigned long long)at);
	abort();
}

static size_t most_at(struct fake_io *f, uint64_t at)
{
	size_t most = f->random ? 1 + rng_next(&(struct rng){ f->random++ }) % f->step : f->step;

	if (at < f->split && most > f->split - at)
		most = (size_t)(f->split - at);
	if (at < f->fail_at && most > f->fail_at - at)
		most = (size_t)(f->fail_at - at);
	if (at >= f->n)
		return 0;
	return most < f->n - at ? most : f->n - at;
}

static ssize_t fake_readv(void *io, const struct iovec *iov, int n, uint64_t offset)
{
	struct fake_io *f = io;
	const uint64_t at = offset == XR_IO_HERE ? f->pos : offset;
	uint64_t asked = 0;
	size_t most, done = 0;

	must((offset == XR_IO_HERE) == !f->file, "position", at);
	for (int i = 0; i < n; i++)
		asked += iov[i].iov_len;
	must(asked > 0, "asks for nothing", at);
	must(at + asked <= f->limit, "asks for bytes that are not its own", at + asked);
	if (at == f->fail_at) {
		if (f->fail == -EINTR || f->fail == -EAGAIN)
			f->fail_at = UINT64_MAX;
		f->failed++;
		return f->fail;
	}
	f->reads += f->failed > 0;
	most = most_at(f, at);
	for (int i = 0; i < n && done < most; i++) {
		size_t part = iov[i].iov_len < most - done ? iov[i].iov_len : most - done;

		memcpy(iov[i].iov_base, f->bytes + at + done, part);
		done += part;
	}
	if (!f->file)
		f->pos += done;
	return (ssize_t)done;
}

static int fake_wait(void *io)
{
	(void)io;
	return 0;
}

static int fake_begin(void *io, unsigned int slot, void *buf, size_t n, uint64_t offset)
{
	struct fake_io *f = io;

	must(f->file && slot < XR_IO_SLOTS && n > 0, "slot", offset);
	must(!f->slot[slot].busy, "two reads in a slot", offset);
	if (f->random && f->random++ % 7 == 0)
		return -EBUSY;
	f->slot[slot].buf = buf;
	f->slot[slot].n = n;
	f->slot[slot].offset = offset;
	f->slot[slot].busy = true;
	memset(buf, 0xee, n); /* it is the kernel's now */
	return 0;
}

static ssize_t fake_finish(void *io, unsigned int slot)
{
	struct fake_io *f = io;
	const struct iovec iov = { f->slot[slot].buf, f->slot[slot].n };

	must(f->slot[slot].busy, "no read in the slot", 0);
	f->slot[slot].busy = false;
	if (f->random && f->random++ % 5 == 0)
		return -EINTR;
	return fake_readv(f, &iov, 1, f->slot[slot].offset);
}

static void fake_flush(void *io)
{
	(void)io;
}

static void fake_settle(void *io)
{
	struct fake_io *f = io;

	for (unsigned int i = 0; i < XR_IO_SLOTS; i++)
		f->slot[i].busy = false;
}

static uint64_t fake_waited(const void *io)
{
	(void)io;
	return 0;
}

static void fake_close(void *io)
{
	struct fake_io *f = io;

	f->open = false;
}

const struct xr_io_ops fake_ops = {
	.readv = fake_readv,
	.wait = fake_wait,
	.begin = fake_begin,
	.flush = fake_flush,
	.finish = fake_finish,
	.settle = fake_settle,
	.waited = fake_waited,
	.close = fake_close,
};
