/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 12u /* below XR_IO_SLOTS: there is always one to take */
#define DENSE (2 * XR_READER_AHEAD)

int xr_reader_init(struct xr_reader *r, const struct xr_io_ops *ops, void *io, bool file,
		   uint64_t start)
{
	memset(r, 0, sizeof(*r));
	r->ops = ops;
	r->io = io;
	r->file = file;
	r->pos = start;
	r->size = UINT64_MAX;
	r->depth = 1;
	r->stash = malloc(XR_READER_AHEAD);
	return r->stash ? 0 : -ENOMEM;
}

void xr_reader_close(struct xr_reader *r)
{
	if (!r->ops)
		return;
	r->ops->settle(r->io);
	r->ops->close(r->io);
	for (unsigned int i = 0; i < XR_IO_SLOTS; i++)
		free(r->slot[i].buf);
	free(r->stash);
	memset(r, 0, sizeof(*r));
}

uint64_t xr_reader_waited(const struct xr_reader *r)
{
	return r->ops->waited(r->io);
}

void xr_reader_settle(struct xr_reader *r)
{
	r->ops->settle(r->io);
	for (unsigned int i = 0; i < XR_IO_SLOTS; i++)
		r->slot[i].busy = r->slot[i].valid = false;
	if (r->file)
		r->stash_n = 0;
	r->depth = 1;
}

static size_t take_stash(struct xr_reader *r, unsigned char *dst, size_t n)
{
	if (n > r->stash_n)
		n = r->stash_n;
	if (dst)
		memcpy(dst, r->stash + r->stash_at, n);
	r->stash_at += n;
	r->stash_n -= n;
	r->pos += n;
	return n;
}

static struct xr_slot *covering(struct xr_reader *r, uint64_t offset)
{
	for (unsigned int i = 0; i < XR_IO_SLOTS; i++) {
		struct xr_slot *s = &r->slot[i];

		if ((s->busy || s->valid) && offset >= s->offset && offset - s->offset < s->n)
			return s;
	}
	return NULL;
}

/* Failed or empty reads ahead are forgotten: the read that is really wanted tells the error. */
static int finish(struct xr_reader *r, struct xr_slot *s)
{
	const ssize_t got = r->ops->finish(r->io, (unsigned int)(s - r->slot));

	if (got == -ECANCELED)
		return -ECANCELED;
	s->busy = false;
	s->valid = got > 0;
	if (got > 0)
		s->n = (size_t)got;
	return 0;
}

static int take_slots(struct xr_reader *r, unsigned char *dst, size_t n, size_t *taken)
{
	struct xr_slot *s;

	*taken = 0;
	while (*taken < n && (s = covering(r, r->pos))) {
		const size_t at = (size_t)(r->pos - s->offset);
		size_t part = n - *taken;
		int rc;

		if (s->busy) {
			rc = finish(r, s);
			if (rc)
				return rc;
			continue;
		}
		if (part > s->n - at)
			part = s->n - at;
		/* Only a skip has no dst. */
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
		memcpy(dst + *taken, s->buf + at, part);
		*taken += part;
		r->pos += part;
	}
	return 0;
}

/* One read of what is wanted and, behind it, what is allowed. The stash is empty. */
static int fill(struct xr_reader *r, unsigned char *dst, size_t n, size_t extra, size_t *taken)
{
	const struct iovec iov[2] = { { dst, n }, { r->stash, extra } };
	const ssize_t got = r->ops->readv(r->io, iov, extra ? 2 : 1, r->file ? r->pos : XR_IO_HERE);

	*taken = 0;
	r->failed_at = r->pos;
	if (got == -EINTR)
		return 0;
	if (got == -EAGAIN) {
		const int rc = r->ops->wait(r->io);

		return rc == -EINTR ? 0 : rc;
	}
	if (got <= 0)
		return got ? (int)got : -ENODATA;
	*taken = (size_t)got < n ? (size_t)got : n;
	r->pos += *taken;
	r->stash_at = 0;
	r->stash_n = (size_t)got - *taken;
	return 0;
}

int xr_reader_get(struct xr_reader *r, void *dst, size_t n, size_t extra)
{
	unsigned char *to = dst;

	if (extra > XR_READER_AHEAD)
		extra = XR_READER_AHEAD;
	while (n) {
		size_t part = take_stash(r, to, n);
		int rc = 0;

		if (!part && r->file)
			rc = take_slots(r, to, n, &part);
		if (!part && !rc)
			rc = fill(r, to, n, extra, &part);
		if (rc)
			return rc;
		to += part;
		n -= part;
	}
	return 0;
}

int xr_reader_skip(struct xr_reader *r, uint64_t n)
{
	if (r->file) {
		xr_reader_seek(r, r->pos + n);
		return 0;
	}
	while (n) {
		const size_t most = n < XR_READER_AHEAD ? (size_t)n : XR_READER_AHEAD;
		size_t part = take_stash(r, NULL, most);
		int rc = 0;

		if (!part)
			rc = fill(r, r->stash, most, 0, &part);
		if (rc)
			return rc;
		n -= part;
	}
	return 0;
}

void xr_reader_seek(struct xr_reader *r, uint64_t offset)
{
	if (offset >= r->pos && offset - r->pos <= r->stash_n) {
		take_stash(r, NULL, (size_t)(offset - r->pos));
		return;
	}
	r->stash_n = 0;
	r->pos = offset;
}

/* Is the slot's read still one that we hope for? */
static bool expected(const struct xr_reader *r, const struct xr_slot *s, uint64_t next, bool dense)
{
	uint64_t ahead;

	if (s->offset + s->n <= r->pos)
		return false;
	if (s->offset <= next)
		return s->offset + s->n > next;
	ahead = s->offset - next;
	if (dense)
		return ahead < (uint64_t)XR_IO_SLOTS * XR_READER_AHEAD;
	return ahead % r->stride == 0 && ahead / r->stride < r->depth;
}

static struct xr_slot *free_slot(struct xr_reader *r, uint64_t next, bool dense)
{
	struct xr_slot *stale = NULL;

	for (unsigned int i = 0; i < XR_IO_SLOTS; i++) {
		struct xr_slot *s = &r->slot[i];

		if (!s->busy && !s->valid)
			return s;
		if (!expected(r, s, next, dense) && (!stale || stale->busy))
			stale = s;
	}
	if (stale && stale->busy && finish(r, stale))
		return NULL;
	return stale;
}

static bool begin(struct xr_reader *r, uint64_t next, bool dense, uint64_t offset, size_t len)
{
	struct xr_slot *s = offset < r->size ? free_slot(r, next, dense) : NULL;

	if (!s)
		return false;
	s->valid = false;
	if (!s->buf)
		s->buf = malloc(XR_READER_AHEAD);
	if (!s->buf || r->ops->begin(r->io, (unsigned int)(s - r->slot), s->buf, len, offset))
		return false;
	s->offset = offset;
	s->n = len;
	s->busy = true;
	return true;
}

/* Small records: what comes next is simply the next bytes. */
static bool expect_dense(struct xr_reader *r, uint64_t next)
{
	const uint64_t until = next + (uint64_t)r->depth * XR_READER_AHEAD;
	uint64_t at = next;
	bool begun = false;

	while (at < until && at < r->size) {
		const struct xr_slot *s = covering(r, at);

		if (s)
			at = s->offset + s->n;
		else if (begin(r, next, true, at, XR_READER_AHEAD))
			begun = true;
		else
			break;
	}
	return begun;
}

static bool expect_sparse(struct xr_reader *r, uint64_t next, size_t len)
{
	bool begun = false;

	for (unsigned int i = 0; i < r->depth; i++) {
		const uint64_t at = next + i * r->stride;

		if (covering(r, at))
			continue;
		if (!begin(r, next, false, at, len))
			break;
		begun = true;
	}
	return begun;
}

void xr_reader_expect(struct xr_reader *r, uint64_t next, uint64_t stride, size_t len)
{
	const bool dense = stride < DENSE;
	bool begun;

	if (!r->file || !stride)
		return;
	if (dense || stride == r->stride)
		r->depth = r->depth * 2 < DEPTH_MAX ? r->depth * 2 : DEPTH_MAX;
	else
		r->depth = 1;
	r->stride = stride;
	if (len > XR_READER_AHEAD)
		len = XR_READER_AHEAD;
	begun = dense ? expect_dense(r, next) : expect_sparse(r, next, len);
	if (begun)
		r->ops->flush(r->io);
}
