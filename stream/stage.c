/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stream stage as its consumer sees it: open, items, close. */
#include "stream/stage.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

static int setup_fail(struct xr_error *err, int code, const char *what)
{
	return xr_fail_host(err, code, XR_STAGE_SETUP, NULL, XR_NO_PFN, "%s: %s", what,
			    strerrordesc_np(-code) ?: "unknown error");
}

static struct xr_ring *new_ring(void)
{
	unsigned int size;
	struct xr_ring *r = malloc(xr_ring_bytes(XR_STAGE_ITEMS + 1, &size));

	if (r)
		xr_ring_init(r, size);
	return r;
}

static int make_queues(struct xr_stream *s, struct xr_error *err)
{
	s->items = calloc(XR_STAGE_ITEMS + 1, sizeof(*s->items));
	s->work = malloc(sizeof(*s->work));
	s->ready = new_ring();
	s->idle = new_ring();
	if (!s->items || !s->work || !s->ready || !s->idle)
		return xr_fail_host(err, -ENOMEM, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no memory for the stream stage");
	xr_event_init(&s->pushed);
	xr_event_init(&s->released);
	xr_event_init(&s->resumed);
	for (unsigned int i = 0; i < XR_STAGE_ITEMS; i++)
		xr_ring_push(s->idle, i);
	return 0;
}

/* What kind of fd it is, and where it stands. */
static int look_at_fd(struct xr_stream *s, struct stat *st, struct xr_error *err)
{
	off_t at;
	int flags;

	if (fstat(s->cfg.fd, st))
		return setup_fail(err, -errno, "cannot use the stream's fd");
	flags = fcntl(s->cfg.fd, F_GETFL);
	if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY)
		return xr_fail(err, -EBADF, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "the stream's fd is not open for reading: %s",
			       strerrordesc_np(EBADF));
	s->info.seekable = S_ISREG(st->st_mode);
	if (!s->info.seekable) {
		if (!s->cfg.pool || s->cfg.pool->size < XR_WIRE_PAGE)
			return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				       "a stream that is not a regular file needs buffers");
		if (S_ISFIFO(st->st_mode) && fcntl(s->cfg.fd, F_GETPIPE_SZ) < PIPE_BYTES)
			fcntl(s->cfg.fd, F_SETPIPE_SZ, PIPE_BYTES);
		return 0;
	}
	at = lseek(s->cfg.fd, 0, SEEK_CUR);
	if (at < 0)
		return setup_fail(err, -errno, "cannot tell the stream file's offset");
	s->info.start_offset = (uint64_t)at;
	return 0;
}

static int open_io(struct xr_stream *s, const struct xr_io_ops **ops, void **io,
		   struct xr_error *err)
{
	int rc = -ENOSYS;

	if (s->cfg.io != XR_IO_PLAIN)
		rc = xr_io_uring_open(io, s->cfg.fd, s->stop);
	if (rc && s->cfg.io == XR_IO_URING)
		return setup_fail(err, rc, "io_uring is asked for and cannot be had");
	s->info.uring = !rc;
	if (rc)
		rc = xr_io_plain_open(io, s->cfg.fd, s->stop);
	if (rc)
		return setup_fail(err, rc, "cannot set up the reader");
	*ops = s->info.uring ? &xr_io_uring : &xr_io_plain;
	return 0;
}

static int open_stream(struct xr_stream *s, int cancel_fd, const struct xr_io_ops *ops, void *io,
		       struct xr_error *err)
{
	struct stat st;
	int rc;

	if (s->cfg.max_pfn >= XR_PFN_LIMIT) {
		rc = xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			     "the highest pfn may be %#" PRIx64 " at most", XR_PFN_LIMIT - 1);
		goto out;
	}
	s->stop[0] = cancel_fd;
	s->stop[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = s->stop[1] < 0 ? setup_fail(err, -errno, "cannot make an eventfd") : 0;
	if (!rc)
		rc = make_queues(s, err);
	if (!rc)
		rc = look_at_fd(s, &st, err);
	if (!rc && !ops)
		rc = open_io(s, &ops, &io, err);
	if (!rc && s->cfg.opened)
		rc = s->cfg.opened(s->cfg.ctx, err);
	if (rc)
		goto out;
	rc = xr_reader_init(&s->frame.rd, ops, io, s->info.seekable, s->info.start_offset);
	if (rc)
		return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no memory for the reader");
	if (s->info.seekable)
		s->frame.rd.size = (uint64_t)st.st_size;
	xr_decoder_init(&s->frame.dec, s->cfg.checkpointed, s->cfg.max_pfn);
	s->frame.err = err;
	rc = xr_frame_headers(&s->frame, s->cfg.layer, &s->info);
	xr_reader_settle(&s->frame.rd);
	s->fresh = s->frame.dec;
	s->first = s->frame.end;
	return rc;
out:
	if (ops)
		ops->close(io);
	return rc;
}

int xr_stream_open_io(struct xr_stream **out, const struct xr_stream_config *cfg, int cancel_fd,
		      const struct xr_io_ops *ops, void *io, struct xr_error *err)
{
	struct xr_error own;
	struct xr_stream *s;
	int rc;

	*out = NULL;
	if (!err)
		err = &own;
	xr_error_clear(err);
	s = calloc(1, sizeof(*s));
	if (!s) {
		if (ops)
			ops->close(io);
		return xr_fail_host(err, -ENOMEM, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no memory for the stream stage");
	}
	s->cfg = *cfg;
	s->stop[0] = s->stop[1] = -1;
	s->consumed = XR_NO_OFFSET;
	xr_error_clear(&s->error);
	rc = open_stream(s, cancel_fd, ops, io, err);
	if (rc)
		xr_stream_close(&s);
	*out = s;
	return rc;
}

int xr_stream_open(struct xr_stream **out, const struct xr_stream_config *cfg, int cancel_fd,
		   struct xr_error *err)
{
	return xr_stream_open_io(out, cfg, cancel_fd, NULL, NULL, err);
}

const struct xr_stream_info *xr_stream_info(const struct xr_stream *s)
{
	return &s->info;
}

void xr_stage_rewind(struct xr_stream *s, uint64_t offset, uint64_t record)
{
	xr_reader_seek(&s->frame.rd, offset);
	s->frame.end = offset;
	s->frame.dec.records = record;
}

/* The thread takes no signals: they are the program's. */
int xr_stream_start(struct xr_stream *s, const struct xr_index *index, struct xr_error *err)
{
	sigset_t all, old;
	int rc;

	s->index = index;
	s->frame.err = &s->error;
	s->started = xr_now();
	if (s->info.seekable)
		s->consumed = s->first;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&s->thread, NULL, xr_stage_run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return setup_fail(err, rc, "cannot start the stream thread");
	s->running = true;
	return 0;
}

struct xr_item *xr_stream_next(struct xr_stream *s, unsigned int ms)
{
	uint64_t i;

	if (s->last)
		return s->last;
	for (;;) {
		const uint32_t seen = xr_event_value(&s->pushed);

		if (xr_ring_pop(s->ready, &i)) {
			if (i == XR_STAGE_ITEMS)
				s->last = &s->items[i];
			return &s->items[i];
		}
		if (!ms || !xr_event_wait(&s->pushed, seen, ms))
			return NULL;
	}
}

void xr_stream_release(struct xr_stream *s, struct xr_item *item)
{
	free(item->body);
	item->body = NULL;
	if (item->kind == XR_ITEM_CONTROL)
		__atomic_fetch_sub(&s->control_bytes, item->length, __ATOMIC_RELEASE);
	if (item == &s->items[XR_STAGE_ITEMS])
		return;
	xr_ring_push(s->idle, (uint64_t)(item - s->items));
	xr_event_signal(&s->released);
}

void xr_stream_resume(struct xr_stream *s)
{
	__atomic_fetch_add(&s->resumes, 1, __ATOMIC_RELEASE);
	xr_event_signal(&s->resumed);
}

void xr_stream_times(const struct xr_stream *s, struct xr_stage_times *t)
{
	const uint64_t ended = __atomic_load_n(&s->ended, __ATOMIC_RELAXED);
	uint64_t idle;

	memset(t, 0, sizeof(*t));
	if (!s->running)
		return;
	t->starved = __atomic_load_n(&s->starved, __ATOMIC_RELAXED);
	t->blocked = __atomic_load_n(&s->blocked, __ATOMIC_RELAXED);
	idle = t->starved + t->blocked;
	t->busy = (ended ? ended : xr_now()) - s->started;
	t->busy = t->busy > idle ? t->busy - idle : 0;
}

static void stop_thread(struct xr_stream *s)
{
	const uint64_t one = 1;
	ssize_t n;

	__atomic_store_n(&s->stopping, 1, __ATOMIC_RELEASE);
	n = write(s->stop[1], &one, sizeof(one));
	(void)n; /* cannot fail: the counter is far from its end */
	xr_event_signal(&s->released);
	xr_event_signal(&s->resumed);
	if (s->cfg.pool)
		xr_event_signal(&s->cfg.pool->freed);
	pthread_join(s->thread, NULL);
}

/* What the consumer never took. */
static void drop_ready(struct xr_stream *s)
{
	uint64_t i;

	while (xr_ring_pop(s->ready, &i)) {
		struct xr_item *item = &s->items[i];

		if (item->kind == XR_ITEM_DATA && item->buffer >= 0)
			xr_bufpool_drop(s->cfg.pool, (unsigned int)item->buffer);
		free(item->body);
	}
}

int xr_stream_close(struct xr_stream **stream)
{
	struct xr_stream *s = *stream;
	int rc = 0;

	if (!s)
		return 0;
	if (s->running) {
		stop_thread(s);
		drop_ready(s);
	}
	if (s->consumed != XR_NO_OFFSET && lseek(s->cfg.fd, (off_t)s->consumed, SEEK_SET) < 0)
		rc = -errno;
	xr_reader_close(&s->frame.rd);
	if (s->stop[1] >= 0)
		close(s->stop[1]);
	free(s->items);
	free(s->work);
	free(s->ready);
	free(s->idle);
	free(s);
	*stream = NULL;
	return rc;
}
