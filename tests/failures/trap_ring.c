/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trap in front of liburing. A read that may not go on is shortened before the kernel gets it;
 * one that is to fail becomes a no-op, whose result is put into its completion.
 */
#include "failures/trap_inside.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>

#define TAGS 64u /* user_data of the reader is below */

int __real_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
int __real_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int n);
int __real_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n);
void __real_io_uring_queue_exit(struct io_uring *ring);

int __wrap_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
int __wrap_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int n);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n);
void __wrap_io_uring_queue_exit(struct io_uring *ring);

/* A restore has one ring, used by one thread at a time. */
static struct {
	struct io_uring *ring;
	unsigned int seen;    /* completions */
	uint64_t here;	      /* user_data of the read without an offset; 0: none is under way */
	struct iovec part[8]; /* of that, shortened */
	bool fails[TAGS];
	int result[TAGS];
} r;

void trap_ring_look(void)
{
	const struct io_uring_cq *cq = r.ring ? &r.ring->cq : NULL;

	for (; cq && r.seen != io_uring_smp_load_acquire(cq->ktail); r.seen++) {
		const struct io_uring_cqe *cqe = &cq->cqes[r.seen & cq->ring_mask];

		if (!r.here || cqe->user_data != r.here)
			continue;
		trap_move_on(trap_stream_fd(), cqe->res);
		r.here = 0;
	}
}

static void fail(struct io_uring_sqe *sqe, int result)
{
	const uint64_t tag = sqe->user_data;

	io_uring_prep_nop(sqe);
	sqe->user_data = tag;
	r.fails[tag] = true;
	r.result[tag] = result;
}

static void cut(struct io_uring_sqe *sqe)
{
	struct iovec *iov = (struct iovec *)(uintptr_t)sqe->addr;
	const bool vector = sqe->opcode == IORING_OP_READV, here = sqe->off == UINT64_MAX;
	const uint64_t pos = here ? trap_position(sqe->fd) : sqe->off;
	const size_t n = vector ? trap_length(iov, (int)sqe->len) : sqe->len;
	ssize_t result = 0;
	const size_t most = trap_allowed(sqe->fd, pos, n, &result);

	if (!most) {
		fail(sqe, result < 0 ? -errno : 0);
		if (!vector) /* ahead: its failure is forgotten */
			trap_again();
		return;
	}
	if (here)
		r.here = sqe->user_data;
	if (most == n)
		return;
	if (vector) {
		sqe->len = (unsigned int)trap_shorten(iov, (int)sqe->len, most, r.part);
		sqe->addr = (uintptr_t)r.part;
	} else {
		sqe->len = (unsigned int)most;
	}
}

static void before(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;

	trap_ring_look();
	for (unsigned int i = *sq->khead; i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];

		if ((sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_READ) &&
		    sqe->fd == trap_stream_fd())
			cut(sqe);
	}
}

static int after(struct io_uring *ring, int rc)
{
	struct io_uring_cq *cq = &ring->cq;

	for (unsigned int i = *cq->khead; i != io_uring_smp_load_acquire(cq->ktail); i++) {
		struct io_uring_cqe *cqe = &cq->cqes[i & cq->ring_mask];

		if (cqe->user_data < TAGS && r.fails[cqe->user_data])
			cqe->res = r.result[cqe->user_data];
		r.fails[cqe->user_data % TAGS] = false;
	}
	return rc;
}

int __wrap_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	int rc;

	if (trap_springs(TRAP_RING))
		return -ENOMEM;
	rc = __real_io_uring_queue_init(entries, ring, flags);
	memset(&r, 0, sizeof(r));
	r.ring = rc ? NULL : ring;
	return rc;
}

int __wrap_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int n)
{
	if (trap_springs(TRAP_REGISTER))
		return -ENOMEM;
	return __real_io_uring_register(fd, opcode, arg, n);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	before(ring);
	return trap_springs(TRAP_SUBMIT) ? -errno : after(ring, __real_io_uring_submit(ring));
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n)
{
	before(ring);
	return trap_springs(TRAP_SUBMIT_WAIT)
		       ? -errno
		       : after(ring, __real_io_uring_submit_and_wait(ring, n));
}

void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
	trap_ring_look();
	r.ring = NULL;
	__real_io_uring_queue_exit(ring);
}
