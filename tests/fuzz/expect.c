/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/expect.h"

#include "stream/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HEADERS 40u

struct record {
	size_t at, end;
	uint32_t type;
};

/* False: there is no whole record any more. */
static bool next(const struct recipe *r, struct record *rec, size_t at)
{
	uint32_t head[2];
	uint64_t end;

	if (at > r->size || r->size - at < sizeof(head))
		return false;
	memcpy(head, r->bytes + at, sizeof(head));
	end = at + sizeof(head) + ((head[1] + 7ull) & ~7ull);
	*rec = (struct record){ at, (size_t)end, head[0] };
	return end <= r->size;
}

static void find_checkpoints(struct expect *x)
{
	const struct recipe *r = x->r;
	size_t at = r->libxc + HEADERS;
	struct record rec;

	while (x->n < EXPECT_CHECKPOINTS && next(r, &rec, at) && rec.type != XR_REC_END) {
		const unsigned int i = x->n;

		at = rec.end;
		if (rec.type != XR_REC_CHECKPOINT)
			continue;
		x->end[i] = at;
		if (i < r->cp.n)
			at += r->cp.resume[i] - r->cp.end[i];
		x->resume[i] = at;
		x->n++;
	}
}

static void ask(struct expect *x)
{
	const struct recipe *r = x->r;

	while (x->complete < x->n && x->resume[x->complete] <= r->size) {
		if (x->complete + 1 == r->answer_at) {
			x->fails = r->answer == XR_ANSWER_ERROR;
			break;
		}
		x->complete++;
	}
	x->fails |= !x->complete;
}

/* The same guest in a plain stream: all records before the nth checkpoint is complete. */
static size_t flatten(const struct expect *x, unsigned int n, unsigned char *to)
{
	const struct recipe *r = x->r;
	size_t at = r->libxc + HEADERS, size = at;
	struct record rec;

	memcpy(to, r->bytes, size < r->size ? size : r->size);
	for (unsigned int i = 0; i < n; at = x->resume[i++])
		for (; next(r, &rec, at) && rec.end < x->end[i]; at = rec.end) {
			memcpy(to + size, r->bytes + at, rec.end - at);
			size += rec.end - at;
		}
	memset(to + size, 0, 8);
	return size + 8;
}

static void forget(struct expect *x)
{
	refmodel_free(&x->ref);
	pvref_free(&x->pv);
	memset(&x->pv, 0, sizeof(x->pv));
	free(x->bytes);
}

void expect_upto(struct expect *x, unsigned int n)
{
	const struct recipe *r = x->r;
	const size_t offset = r->libxc;
	size_t size = r->size;

	forget(x);
	x->upto = n;
	x->bytes = malloc(size + HEADERS + 8 + offset);
	fuzz_claim(x->bytes, "no memory");
	if (r->checkpointed)
		size = flatten(x, n, x->bytes);
	else
		memcpy(x->bytes, r->bytes, size);
	refmodel_init(&x->ref);
	if (r->pv)
		x->ref_end = pvref_read(&x->pv, x->bytes, size, offset) ? x->pv.end : 0;
	else
		x->ref_end = refmodel_stream(&x->ref, x->bytes, size, offset);
}

void expect_read(struct expect *x, const struct recipe *r)
{
	memset(x, 0, sizeof(*x));
	x->r = r;
	if (r->checkpointed) {
		find_checkpoints(x);
		ask(x);
	}
	expect_upto(x, x->complete);
}

void expect_free(struct expect *x)
{
	forget(x);
}

/* Nothing was read that is not the stream's. */
static void check_place(const struct counterpart *c)
{
	const struct recipe *r = c->x->r;
	const size_t want = c->x->end[c->asked];
	int left = 0;

	if (r->pipe)
		fuzz_claim(!ioctl(c->fd, FIONREAD, &left) && (size_t)left == r->size - want,
			   "checkpoint %u: %d bytes are left in the pipe, not %zu", c->asked, left,
			   r->size - want);
	else
		fuzz_claim(lseek(c->fd, 0, SEEK_CUR) == (off_t)(r->start + want),
			   "checkpoint %u: the file's offset is not behind it", c->asked);
}

static bool read_own(const struct counterpart *c)
{
	size_t left = c->x->resume[c->asked] - c->x->end[c->asked];
	unsigned char buf[64];

	while (left) {
		const ssize_t got = read(c->fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		left -= (size_t)got;
	}
	return true;
}

int counterpart_checkpoint(void *opaque)
{
	struct counterpart *c = opaque;

	if (c->asked == EXPECT_CHECKPOINTS)
		return XR_ANSWER_FAIL_OVER;
	fuzz_claim(c->asked < c->x->n, "asked for checkpoint %u, the stream has %u", c->asked,
		   c->x->n);
	check_place(c);
	if (!read_own(c))
		return XR_ANSWER_FAIL_OVER;
	return ++c->asked == c->x->r->answer_at ? (int)c->x->r->answer : XR_ANSWER_GO_ON;
}
