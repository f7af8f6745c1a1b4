/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* COLO: the guest runs here, too, between checkpoints, and the pfns that it wrote go back. */
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 4096u /* pfns sent at a time */

/* A guest's gfns may reach so far beyond what memory it may have: the bitmap of them is bounded. */
#define GFNS_BEYOND ((uint64_t)1 << 28)

struct sender {
	int fd, cancel_fd;
	size_t n;
	uint64_t pfn[PIECE];
};

/* A pipe whose other side is gone is an error, not a signal. At most PIPE_BUF: that never blocks
 * where poll() says that there is room. */
static ssize_t write_quietly(int fd, const void *bytes, size_t n)
{
	const struct timespec now = { 0, 0 };
	sigset_t sigpipe, before, pending;
	ssize_t done;
	int error;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
	done = write(fd, bytes, n < PIPE_BUF ? n : PIPE_BUF);
	error = errno;
	if (done < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&sigpipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return done;
}

static ssize_t send_some(int fd, const void *bytes, size_t n)
{
	ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	return done < 0 && errno == ENOTSOCK ? write_quietly(fd, bytes, n) : done;
}

/* The other side may take its time; a cancel ends the wait. */
static int send_all(const struct sender *s, const void *bytes, size_t n)
{
	struct pollfd p[] = { { .fd = s->fd, .events = POLLOUT },
			      { .fd = s->cancel_fd, .events = POLLIN } };
	const char *from = bytes;

	while (n) {
		ssize_t done;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -ECANCELED;
		if (!p[0].revents)
			continue;
		done = send_some(s->fd, from, n);
		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done < 0)
			return -errno;
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

static int flush(struct sender *s)
{
	const int rc = send_all(s, s->pfn, s->n * sizeof(s->pfn[0]));

	s->n = 0;
	return rc;
}

static int send_list(const struct xr_restore *r, const uint64_t *bitmap, uint64_t words,
		     uint64_t count)
{
	const struct xr_wire_record head = { XR_REC_DIRTY_PFN_LIST,
					     (uint32_t)(count * sizeof(uint64_t)) };
	struct sender s = { .fd = r->set.send_back_fd, .cancel_fd = r->cancel_fd };
	int rc = send_all(&s, &head, sizeof(head));

	for (uint64_t i = 0; i < words; i++)
		for (uint64_t bits = bitmap[i]; !rc && bits; bits &= bits - 1) {
			s.pfn[s.n++] = i * 64 + (unsigned int)__builtin_ctzll(bits);
			if (s.n == PIECE)
				rc = flush(&s);
		}
	return rc ? rc : flush(&s);
}

static int dirty_failed(int rc, const struct xr_where *where, struct xr_error *err)
{
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN,
			    "cannot tell which pages the guest wrote: %s", strerror(-rc));
}

static int sent(struct xr_restore *r, int rc, const struct xr_where *where, struct xr_error *err)
{
	if (rc == -ECANCELED)
		return xr_check_cancel(r, err);
	if (xr_peer_gone(rc))
		return xr_fail_over(r, "nobody takes the list of dirty pages any more");
	return rc ? xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN,
				 "cannot send back the list of dirty pages: %s", strerror(-rc))
		  : 0;
}

int xr_colo_has_ram(void *restore, const struct xr_where *where, const uint64_t *pfns, size_t n,
		    bool *ram, struct xr_error *err)
{
	struct xr_restore *r = restore;
	int rc;

	r->other_calls++;
	rc = r->host->ops->has_ram(r->host, n, pfns, ram);
	return rc ? xr_fail_host(err, rc, XR_STAGE_ENGINE, where, pfns[0],
				 "cannot tell which frames the guest has: %s", strerror(-rc))
		  : 0;
}

/* Of the guest as it is now: when the restore began it had no page. */
static int send_dirty(struct xr_restore *r, const struct xr_where *where, struct xr_error *err)
{
	const struct xr_host_ops *ops = r->host->ops;
	uint64_t n, words, count = 0, *bitmap;
	int rc;

	r->other_calls += 2;
	rc = ops->nr_gfns(r->host, &n);
	if (rc)
		return dirty_failed(rc, where, err);
	if (n > r->max_pages + GFNS_BEYOND)
		return xr_fail(err, -EOPNOTSUPP, XR_STAGE_ENGINE, where, n - 1,
			       "the guest has a frame at gfn %#" PRIx64
			       ", too far out for a list of dirty pages",
			       n - 1);
	words = (n + 63) / 64;
	bitmap = calloc(words + 1, sizeof(*bitmap));
	rc = bitmap ? ops->take_dirty(r->host, n, bitmap) : -ENOMEM;
	for (uint64_t i = 0; !rc && i < words; i++)
		count += (unsigned int)__builtin_popcountll(bitmap[i]);
	if (!rc && count > XR_WIRE_BODY_MAX / sizeof(uint64_t))
		rc = -E2BIG;
	if (rc)
		rc = dirty_failed(rc, where, err);
	else
		rc = sent(r, send_list(r, bitmap, words, count), where, err);
	free(bitmap);
	return rc;
}

static int complete(struct xr_restore *r, struct xr_error *err)
{
	int rc = xr_finish_memory(r, err);

	if (!rc)
		rc = r->guest.ops->complete(r, err);
	if (!rc)
		xr_physmap_runs(r->pm);
	r->check.completed |= !rc;
	return rc;
}

int xr_colo_run(struct xr_restore *r, const struct xr_where *where, struct xr_error *err)
{
	const struct xr_callbacks *cb = &r->set.callbacks;
	void *opaque = r->set.opaque;
	int rc = complete(r, err);

	if (rc)
		return rc;
	cb->restore_results(r->guest.store_gfn, r->guest.console_gfn, opaque);
	rc = xr_checkpoint_answer(r, "postcopy", cb->postcopy(opaque), where, err);
	if (!rc)
		rc = xr_checkpoint_answer(r, "wait_checkpoint", cb->wait_checkpoint(opaque), where,
					  err);
	if (!rc)
		rc = xr_checkpoint_answer(r, "suspend", cb->suspend(opaque), where, err);
	return rc ? rc : send_dirty(r, where, err);
}
