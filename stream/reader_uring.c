/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader's way through io_uring: a pending read and the polls of the stop fds wait together in
 * one call, positional reads ahead are several at once.
 */
#include "stream/io.h"

#include "base/clock.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define RECALLS 3u /* of one operation: a ring that failed so often has failed for good */
#define LACK_MS 5
#define ENTRIES 64u /* more than can be under way: slots, read, polls and their removals */

enum tag { NOTHING, READ, STOP0, STOP1, SLOT };

struct op {
	bool busy;
	int res;
};

struct uring {
	struct io_uring ring;
	int fd;
	int stop[2];
	bool stopped;
	uint64_t waited;
	struct op op[SLOT + XR_IO_SLOTS]; /* by tag */
};

static struct io_uring_sqe *new_sqe(struct uring *u, unsigned int tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	if (sqe && tag != NOTHING)
		u->op[tag].busy = true;
	return sqe;
}

/* Tags go in after prep, which clears the sqe. */
static void tag_sqe(struct io_uring_sqe *sqe, unsigned int tag)
{
	io_uring_sqe_set_data(sqe, (void *)(uintptr_t)tag);
}

static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		const uintptr_t tag = (uintptr_t)io_uring_cqe_get_data(cqe);

		u->op[tag].busy = false;
		u->op[tag].res = cqe->res;
		if ((tag == STOP0 || tag == STOP1) && cqe->res > 0)
			u->stopped = true;
		io_uring_cqe_seen(&u->ring, cqe);
	}
}

static void arm_stops(struct uring *u)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe;

		if (u->stop[i] < 0 || u->op[STOP0 + i].busy)
			continue;
		sqe = new_sqe(u, STOP0 + i);
		if (!sqe)
			continue;
		io_uring_prep_poll_add(sqe, u->stop[i], POLLIN);
		tag_sqe(sqe, STOP0 + i);
	}
}

/* Memory that the kernel lacks for the moment, which is slept on. */
static bool is_passing(int rc)
{
	return rc == -EBUSY || rc == -EAGAIN;
}

static void doze(struct uring *u, bool stoppable)
{
	static const int deaf[2] = { -1, -1 };

	if (xr_io_poll(-1, stoppable ? u->stop : deaf, LACK_MS) == -ECANCELED)
		u->stopped = true;
}

/* What the kernel refused to take has ended, with that error: it must not get there by a later
 * call, when its buffers are gone. The kernel looks at the queue in calls alone, so it may be cut.
 */
static void withdraw(struct uring *u, int error)
{
	struct io_uring_sq *sq = &u->ring.sq;
	const unsigned int head = *sq->khead;

	for (unsigned int i = head; i != sq->sqe_tail; i++) {
		struct op *op = &u->op[sq->sqes[i & sq->ring_mask].user_data];

		op->busy = false;
		op->res = error;
	}
	sq->sqe_head = sq->sqe_tail = *sq->ktail = head;
}

/*
 * Wait for the end of an operation, or only until a stop if `stoppable`. An error is the ring's,
 * and the operation may be under way; one of the operation is its result.
 */
static int await(struct uring *u, unsigned int tag, bool stoppable)
{
	uint64_t from = 0;
	int rc = io_uring_submit(&u->ring);

	reap(u);
	while (u->op[tag].busy && !(stoppable && u->stopped)) {
		if (!from)
			from = xr_now();
		if (is_passing(rc)) {
			doze(u, stoppable);
			rc = io_uring_submit(&u->ring);
		} else if (rc < 0 && rc != -EINTR) {
			withdraw(u, rc);
			break;
		} else {
			rc = io_uring_submit_and_wait(&u->ring, 1);
		}
		reap(u);
	}
	if (from)
		u->waited += xr_now() - from;
	if (stoppable && u->stopped)
		return -ECANCELED;
	return u->op[tag].busy ? rc : 0;
}

/* The end of one that can't be left alone, as the kernel owns its buffers. */
static void recall(struct uring *u, unsigned int tag)
{
	withdraw(u, -ECANCELED);
	for (unsigned int i = 0; u->op[tag].busy && i < RECALLS; i++) {
		struct io_uring_sqe *sqe = new_sqe(u, NOTHING);

		if (sqe) {
			io_uring_prep_cancel(sqe, (void *)(uintptr_t)tag, 0);
			tag_sqe(sqe, NOTHING);
		}
		await(u, tag, false);
	}
}

static ssize_t uring_readv(void *io, const struct iovec *iov, int n, uint64_t offset)
{
	struct uring *u = io;
	struct io_uring_sqe *sqe;
	int rc;

	if (u->stopped)
		return -ECANCELED;
	arm_stops(u);
	sqe = u->op[READ].busy ? NULL : new_sqe(u, READ);
	if (!sqe)
		return -EBUSY;
	io_uring_prep_readv(sqe, u->fd, iov, (unsigned int)n, offset);
	tag_sqe(sqe, READ);
	rc = await(u, READ, true);
	if (!rc)
		return u->op[READ].res;
	recall(u, READ);
	return rc;
}

static int uring_wait(void *io)
{
	struct uring *u = io;
	const uint64_t from = xr_now();
	const int rc = xr_io_poll(u->fd, u->stop, -1);

	u->waited += xr_now() - from;
	return rc;
}

static int uring_begin(void *io, unsigned int slot, void *buf, size_t n, uint64_t offset)
{
	struct uring *u = io;
	struct io_uring_sqe *sqe = u->op[SLOT + slot].busy ? NULL : new_sqe(u, SLOT + slot);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_read(sqe, u->fd, buf, (unsigned int)n, offset);
	tag_sqe(sqe, SLOT + slot);
	return 0;
}

static void uring_flush(void *io)
{
	struct uring *u = io;

	io_uring_submit(&u->ring);
}

static ssize_t uring_finish(void *io, unsigned int slot)
{
	struct uring *u = io;
	int rc;

	arm_stops(u);
	rc = await(u, SLOT + slot, true);
	if (rc && rc != -ECANCELED)
		recall(u, SLOT + slot);
	return rc ? rc : u->op[SLOT + slot].res;
}

/* Also takes the polls back: requests are tied to the thread that made them. */
static void uring_settle(void *io)
{
	struct uring *u = io;

	reap(u);
	for (unsigned int tag = READ; tag < SLOT + XR_IO_SLOTS; tag++)
		if (u->op[tag].busy)
			recall(u, tag);
}

static uint64_t uring_waited(const void *io)
{
	const struct uring *u = io;

	return u->waited;
}

static void uring_close(void *io)
{
	struct uring *u = io;

	uring_settle(u);
	io_uring_queue_exit(&u->ring);
	free(u);
}

/* A filter may let a ring be made, but not used: try it. */
static int probe(struct uring *u)
{
	struct io_uring_sqe *sqe = new_sqe(u, READ);
	int rc;

	io_uring_prep_nop(sqe);
	tag_sqe(sqe, READ);
	rc = await(u, READ, false);
	return rc ? rc : u->op[READ].res;
}

/*
 * Past a sandbox's filter a ring is a second way into the kernel: from the start it is good for
 * reading and waiting alone.
 */
static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t ops[] = { IORING_OP_NOP, IORING_OP_READV, IORING_OP_READ,
				       IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
	struct io_uring_restriction r[sizeof(ops)] = { 0 };
	int rc;

	for (size_t i = 0; i < sizeof(ops); i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = ops[i];
	}
	/* liburing 2.3 does not export the calls of its own for this. */
	rc = io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, r,
			       sizeof(ops));
	if (!rc)
		rc = io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS,
				       NULL, 0);
	return rc;
}

int xr_io_uring_open(void **io, int fd, const int stop[2])
{
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	u->fd = fd;
	u->stop[0] = stop[0];
	u->stop[1] = stop[1];
	rc = io_uring_queue_init(ENTRIES, &u->ring, IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED);
	if (rc)
		goto fail;
	rc = restrict_ring(&u->ring);
	if (!rc)
		rc = probe(u);
	if (rc) {
		io_uring_queue_exit(&u->ring);
		goto fail;
	}
	*io = u;
	return 0;
fail:
	free(u);
	return rc;
}

const struct xr_io_ops xr_io_uring = {
	.readv = uring_readv,
	.wait = uring_wait,
	.begin = uring_begin,
	.flush = uring_flush,
	.finish = uring_finish,
	.settle = uring_settle,
	.waited = uring_waited,
	.close = uring_close,
};
