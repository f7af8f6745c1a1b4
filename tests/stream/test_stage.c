/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stage on real fds: the same items from each kind, nothing taken that is not its own, an end
 * in every situation. */
#include "stream/player.h"
#include "stream/samples.h"

#include "lib/feed.h"
#include "lib/random.h"
#include "lib/rng.h"
#include "stream/stage.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const enum xr_io ways[] = { XR_IO_AUTO, XR_IO_PLAIN };

static void same_guest(struct play *p, const struct refmodel *ref, uint64_t seed, const char *how)
{
	char a[65], b[65];

	cr_assert_eq(p->error.code, 0, "XR_SEED=%lu %s: %s", seed, how, p->error.text);
	refmodel_digest(&p->m, a);
	refmodel_digest(ref, b);
	cr_assert_eq(p->m.backed, ref->backed, "XR_SEED=%lu %s: %lu frames, not %lu", seed, how,
		     p->m.backed, ref->backed);
	cr_assert_str_eq(a, b, "XR_SEED=%lu %s", seed, how);
}

/* What is behind END is all there, and the next to be read. */
static void check_rest(struct feed *f, const struct builder *b, uint64_t seed)
{
	const size_t n = builder_size(b) - b->end_offset;
	unsigned char *rest = malloc(n + 1);

	cr_assert_eq(feed_rest(f, rest, n + 1), (ssize_t)n, "XR_SEED=%lu", seed);
	cr_assert_eq(memcmp(rest, builder_data(b) + b->end_offset, n), 0);
	free(rest);
}

static void one_seed(uint64_t seed)
{
	struct random_options o;
	struct random_stream r;
	uint64_t log = 0;

	random_options_default(&o, seed);
	o.max_data = 150;
	random_stream_make(&r, &o);
	for (unsigned int kind = 0; kind < FEED_KINDS; kind++) {
		const enum xr_io way = ways[(seed + kind) % 2];
		const size_t buffer = 4096 * (1 + seed * 37 % 70);
		struct feed f;
		struct play p;

		cr_assert_eq(feed_open(&f, kind, builder_data(&r.b), builder_size(&r.b), seed), 0);
		cr_assert_eq(play_fd(&p, f.fd, way, false, buffer, NULL), 0, "XR_SEED=%lu: %s",
			     seed, p.error.text);
		same_guest(&p, &r.ref, seed, feed_kind_name(kind));
		cr_assert_eq(p.end_offset, r.b.end_offset + (uint64_t)f.start);
		cr_assert(!log || log == p.log, "XR_SEED=%lu: %s differs", seed,
			  feed_kind_name(kind));
		log = p.log;
		check_rest(&f, &r.b, seed);
		feed_close(&f);
		play_free(&p);
	}
	random_stream_free(&r);
}

Test(stage, all_kinds_of_fd_give_the_same_items)
{
	const uint64_t given = sample_seed(0);

	for (uint64_t seed = given ? given : 1; seed < (given ? given + 1 : 40); seed++)
		one_seed(seed);
}

/* Damaged streams: an error or a guest, but always an end, and no buffer lost. */
Test(stage, damage_always_ends_in_one_item)
{
	const uint64_t given = sample_seed(0);

	for (uint64_t seed = given ? given : 1; seed < (given ? given + 1 : 60); seed++) {
		struct rng g = rng_seed(seed);
		struct random_options o;
		struct random_stream r;
		struct feed f;
		struct play p;
		size_t n;

		random_options_default(&o, seed);
		o.max_data = 60;
		random_stream_make(&r, &o);
		n = builder_size(&r.b);
		if (rng_below(&g, 2))
			n = rng_below(&g, n);
		for (uint64_t hits = rng_below(&g, 4); hits; hits--)
			r.b.sink.data[rng_below(&g, builder_size(&r.b))] ^=
				(unsigned char)(1u << rng_below(&g, 8));
		cr_assert_eq(feed_open(&f, seed % 3, builder_data(&r.b), n, seed), 0);
		play_fd(&p, f.fd, ways[seed % 2], false, 16384, NULL);
		cr_assert(p.error.code <= 0);
		cr_assert(n >= r.b.end_offset || p.error.code < 0, "XR_SEED=%lu", seed);
		feed_close(&f);
		play_free(&p);
		random_stream_free(&r);
	}
}

static int memory_file(const struct builder *b)
{
	const int fd = memfd_create("stream", MFD_CLOEXEC);

	cr_assert_eq(write(fd, builder_data(b), builder_size(b)), (ssize_t)builder_size(b));
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* 70000 entries: more than are looked at together. */
static void huge_record(struct builder *b, bool twisted)
{
	const uint32_t n = 70000;
	uint64_t *e = malloc(n * 8);

	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, false, false);
	for (uint32_t i = 0; i < n; i++)
		e[i] = XR_EMIT_ENTRY(i % 100 ? XR_EMIT_XTAB : 0, i);
	for (uint32_t i = 300; twisted && i < n; i += 900) {
		e[i] = e[i - 200];				 /* contents again */
		e[i + 3] = XR_EMIT_ENTRY(XR_EMIT_XTAB, i - 100); /* taken away */
		e[i + 4] = i % 1800 ? e[i + 3] : XR_EMIT_ENTRY(XR_EMIT_XALLOC, i - 100);
	}
	builder_page_data(b, e, n, NULL);
	builder_end(b, false, 3);
	free(e);
}

Test(stage, records_of_any_length_in_bounded_memory)
{
	for (unsigned int twisted = 0; twisted < 2; twisted++) {
		struct builder b;
		uint64_t log = 0;
		struct refmodel ref;

		huge_record(&b, twisted);
		refmodel_init(&ref);
		cr_assert_neq(refmodel_stream(&ref, builder_data(&b), builder_size(&b), 0), 0);
		for (unsigned int kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
			struct feed f;
			struct play p;

			feed_open(&f, kind, builder_data(&b), builder_size(&b), 2);
			cr_assert_eq(play_fd(&p, f.fd, XR_IO_AUTO, false, 65536, NULL), 0);
			same_guest(&p, &ref, twisted, feed_kind_name(kind));
			cr_assert(!log || log == p.log);
			log = p.log;
			feed_close(&f);
			play_free(&p);
		}
		refmodel_free(&ref);
		builder_free(&b);
	}
}

/* Contexts of 6 MiB, more than 8 MiB together: the second is not read while the first is held. */
Test(stage, control_bodies_that_wait_are_bounded_together)
{
	const uint32_t length = 6 << 20;
	struct xr_stream_config cfg = { .max_pfn = 1000, .layer = XR_LAYER_AUTO };
	void *body = calloc(1, length);
	struct xr_stream *s;
	struct xr_item *it;
	struct builder b;
	struct feed f;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, false, false);
	for (int i = 0; i < 3; i++)
		builder_record(&b, XR_EMIT_HVM_CONTEXT, body, length);
	builder_end(&b, false, 0);
	cr_assert_eq(feed_open(&f, FEED_FILE, builder_data(&b), builder_size(&b), 1), 0);
	cfg.fd = f.fd;
	cr_assert_eq(xr_stream_open(&s, &cfg, -1, NULL), 0);
	cr_assert_eq(xr_stream_start(s, NULL, NULL), 0);
	it = xr_stream_next(s, 10000);
	cr_assert_eq(it->where.type, XR_EMIT_STATIC_DATA_END);
	xr_stream_release(s, it);
	for (int i = 0; i < 3; i++) {
		it = xr_stream_next(s, 10000);
		cr_assert_eq(it->where.type, XR_EMIT_HVM_CONTEXT);
		cr_expect(i == 2 || !xr_stream_next(s, 100));
		xr_stream_release(s, it);
	}
	it = xr_stream_next(s, 10000);
	cr_expect_eq(it->kind, XR_ITEM_END);
	xr_stream_release(s, it);
	xr_stream_close(&s);
	feed_close(&f);
	builder_free(&b);
	free(body);
}

Test(stage, version_2_has_its_static_end_inferred)
{
	static const char *const orders[] = { "P", "tP", "" };

	for (unsigned int i = 0; i < 3; i++) {
		unsigned int seen = 0, controls = 0;
		struct xr_error e;
		struct xr_stream *s;
		struct xr_item *item;
		struct builder b;
		int fd;

		builder_begin(&b, XR_EMIT_BARE, 2, false);
		for (const char *c = orders[i]; *c; c++)
			*c == 'P' ? builder_page_data(&b, (uint64_t[]){ 9 }, 1, NULL)
				  : builder_tsc(&b);
		builder_end(&b, false, 0);
		fd = memory_file(&b);
		cr_assert_eq(xr_stream_open(&s,
					    &(struct xr_stream_config){ .fd = fd, .max_pfn = 99 },
					    -1, &e),
			     0);
		cr_assert_eq(xr_stream_start(s, NULL, &e), 0);
		do {
			item = xr_stream_next(s, 60000);
			cr_assert_not_null(item);
			cr_assert_neq(item->kind, XR_ITEM_ERROR);
			if (item->kind == XR_ITEM_TYPES || item->kind == XR_ITEM_END)
				cr_assert_eq(seen, 1);
			controls += item->kind == XR_ITEM_CONTROL;
			seen += item->kind == XR_ITEM_CONTROL && !item->length &&
				item->where.type == XR_REC_STATIC_DATA_END;
			xr_stream_release(s, item);
		} while (item->kind != XR_ITEM_END);
		cr_assert_eq(controls, strlen(orders[i]) < 2 ? 1 : 2);
		xr_stream_close(&s);
		close(fd);
		builder_free(&b);
	}
}

static const char between[] = "libxl's own records";

static void read_between(void *ctx, int fd)
{
	char got[sizeof(between)];

	cr_assert_eq(read(fd, got, sizeof(got)), (ssize_t)sizeof(got));
	cr_assert_str_eq(got, between);
	++*(unsigned int *)ctx;
}

Test(stage, at_a_checkpoint_the_fd_is_lent)
{
	struct builder b;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, true, false);
	for (unsigned int i = 0; i < 5; i++) {
		builder_page_data(&b, (uint64_t[]){ 3, 4 + i, 9000 }, 3, NULL);
		builder_tsc(&b);
		builder_record(&b, XR_REC_CHECKPOINT, NULL, 0);
		builder_raw(&b, between, sizeof(between));
	}
	builder_page_data(&b, (uint64_t[]){ 3 }, 1, NULL);
	builder_end(&b, false, 8);
	for (unsigned int kind = 0; kind < FEED_KINDS; kind++) {
		struct xr_bufpool *pool = xr_bufpool_create(2, 8192);
		unsigned int checkpoints = 0;
		struct xr_stream *s;
		struct xr_error e;
		struct play p;
		struct feed f;

		cr_assert_eq(feed_open(&f, kind, builder_data(&b), builder_size(&b), kind), 0);
		cr_assert_eq(xr_stream_open(&s,
					    &(struct xr_stream_config){ .fd = f.fd,
									.checkpointed = true,
									.io = ways[kind % 2],
									.max_pfn = 9000,
									.pool = pool },
					    -1, &e),
			     0);
		play_stream(&p, s, f.fd, pool, NULL, read_between, &checkpoints);
		cr_assert_eq(p.error.code, 0, "%s: %s", feed_kind_name(kind), p.error.text);
		cr_assert_eq(checkpoints, 5);
		cr_assert_eq(p.passes, 6);
		cr_assert_eq(p.m.backed, 7);
		xr_stream_close(&s);
		check_rest(&f, &b, 0);
		feed_close(&f);
		play_free(&p);
		xr_bufpool_destroy(pool);
	}
	builder_free(&b);
}

Test(stage, the_offset_is_put_right_behind_what_was_consumed)
{
	struct xr_stream *s;
	struct xr_error e;
	struct play p;
	struct builder b;
	size_t bad;
	int fd;

	builder_begin(&b, XR_EMIT_LIBXL, 3, false);
	builder_static(&b, false, false);
	builder_page_data(&b, (uint64_t[]){ 3 }, 1, NULL);
	bad = builder_size(&b);
	sample_blob(&b, 0x77, 8);
	fd = memory_file(&b);
	cr_assert_eq(play_fd(&p, fd, XR_IO_AUTO, false, 4096, NULL), 0);
	cr_assert_eq(p.error.code, -EBADMSG);
	cr_assert_eq(p.error.offset, bad);
	cr_assert_eq(p.error.record, 2);
	cr_assert_eq(p.error.type, 0x77);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), (off_t)bad);
	play_free(&p);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	cr_assert_eq(
		xr_stream_open(&s, &(struct xr_stream_config){ .fd = fd, .max_pfn = 99 }, -1, &e),
		0);
	xr_stream_close(&s);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0, "never started: never moved");
	close(fd);
	builder_free(&b);
}

/* A pipe whose writer stays silent after n bytes, and everything that may be cancelled there. */
static void cancel_after(size_t n, const struct builder *b, enum xr_io way)
{
	const int cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct xr_bufpool *pool = xr_bufpool_create(1, 4096);
	struct xr_item *item, *held[XR_STAGE_ITEMS];
	unsigned int holds = 0;
	struct xr_stream *s;
	struct xr_error e;
	int fds[2], rc;

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	cr_assert_eq(write(fds[1], builder_data(b), n), (ssize_t)n);
	if (n < b->libxc_offset + 40)
		cr_assert_eq(write(cancel, (uint64_t[]){ 1 }, 8), 8);
	rc = xr_stream_open(&s,
			    &(struct xr_stream_config){
				    .fd = fds[0], .io = way, .max_pfn = 10000, .pool = pool },
			    cancel, &e);
	if (n < b->libxc_offset + 40) {
		cr_assert_eq(rc, -ECANCELED);
		cr_assert_null(s);
		goto out;
	}
	cr_assert_eq(rc, 0, "%s", e.text);
	cr_assert_eq(xr_stream_start(s, NULL, &e), 0);
	/* The only buffer is never given back: the stage sticks there, or at the pipe. */
	while ((item = xr_stream_next(s, 5)) && item->kind != XR_ITEM_DATA)
		held[holds++] = item;
	cr_assert_eq(write(cancel, (uint64_t[]){ 1 }, 8), 8);
	for (struct xr_item *last = item; !last || last->kind != XR_ITEM_ERROR;) {
		last = xr_stream_next(s, 60000);
		cr_assert_not_null(last);
		if (last->kind == XR_ITEM_ERROR)
			cr_assert_eq(last->error.code, -ECANCELED, "%s", last->error.text);
		else if (last->kind != XR_ITEM_DATA)
			held[holds++] = last;
	}
	if (item) {
		xr_bufpool_drop(pool, (unsigned int)item->buffer);
		xr_stream_release(s, item);
	}
	while (holds)
		xr_stream_release(s, held[--holds]);
	xr_stream_close(&s);
out:
	close(fds[0]);
	close(fds[1]);
	close(cancel);
	xr_bufpool_destroy(pool);
}

Test(stage, a_cancel_ends_every_wait)
{
	struct builder b;

	sample_make(&b, SAMPLE_HVM3, XR_EMIT_LIBXL, 0);
	for (unsigned int way = 0; way < 2; way++)
		for (size_t n = 0; n <= b.end_offset - 8; n += n < 300 ? 17 : 1500)
			cancel_after(n, &b, ways[way]);
	builder_free(&b);
}

/* Close with items untaken, at any moment of the stage. */
Test(stage, close_at_any_time)
{
	struct builder b;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	builder_static(&b, true, true);
	for (unsigned int i = 0; i < 80; i++) {
		builder_page_data(&b, (uint64_t[]){ i, i + 1000 }, 2, NULL);
		builder_tsc(&b);
	}
	builder_end(&b, false, 0);
	for (unsigned int i = 0; i < 60; i++) {
		struct xr_bufpool *pool = xr_bufpool_create(1 + i % 5, 4096);
		struct xr_stream *s;
		struct xr_error e;
		struct feed f;

		feed_open(&f, i % 3, builder_data(&b), builder_size(&b), i);
		cr_assert_eq(xr_stream_open(&s,
					    &(struct xr_stream_config){ .fd = f.fd,
									.io = ways[i % 2],
									.max_pfn = 10000,
									.pool = pool },
					    -1, &e),
			     0);
		cr_assert_eq(xr_stream_start(s, NULL, &e), 0);
		for (unsigned int k = 0; k < i / 3; k++) {
			struct xr_item *item = xr_stream_next(s, i % 7 ? 1000 : 0);

			if (!item)
				break;
			if (item->kind == XR_ITEM_DATA && item->buffer >= 0)
				xr_bufpool_drop(pool, (unsigned int)item->buffer);
			xr_stream_release(s, item);
		}
		xr_stream_close(&s);
		cr_assert_eq(xr_bufpool_in_use(pool), 0);
		feed_close(&f);
		xr_bufpool_destroy(pool);
	}
	builder_free(&b);
}

Test(stage, a_fd_that_does_not_block_is_waited_for)
{
	for (unsigned int way = 0; way < 2; way++) {
		for (unsigned int kind = FEED_PIPE; kind < FEED_KINDS; kind++) {
			struct random_options o;
			struct random_stream r;
			struct feed f;
			struct play p;

			random_options_default(&o, 11 + kind);
			random_stream_make(&r, &o);
			feed_open(&f, kind, builder_data(&r.b), builder_size(&r.b), kind);
			fcntl(f.fd, F_SETFL, fcntl(f.fd, F_GETFL) | O_NONBLOCK);
			cr_assert_eq(play_fd(&p, f.fd, ways[way], false, 16384, NULL), 0);
			same_guest(&p, &r.ref, 11 + kind, feed_kind_name(kind));
			fcntl(f.fd, F_SETFL, fcntl(f.fd, F_GETFL) & ~O_NONBLOCK);
			check_rest(&f, &r.b, 0);
			feed_close(&f);
			play_free(&p);
			random_stream_free(&r);
		}
	}
}

/* From here on this process has this system call fail. */
static void forbid(unsigned int nr, unsigned int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

static void without_uring(unsigned int nr, unsigned int error)
{
	struct random_options o;
	struct random_stream r;

	forbid(nr, error);
	random_options_default(&o, 5);
	random_stream_make(&r, &o);
	for (unsigned int kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct xr_stream_info info;
		struct feed f;
		struct play p;

		feed_open(&f, kind, builder_data(&r.b), builder_size(&r.b), 5);
		cr_assert_eq(play_fd(&p, f.fd, XR_IO_URING, false, 8192, NULL), -(int)error);
		cr_assert_eq(p.error.stage, XR_STAGE_SETUP);
		cr_assert(strstr(p.error.text, "io_uring"));
		cr_assert_eq(play_fd(&p, f.fd, XR_IO_AUTO, false, 8192, &info), 0);
		cr_assert_not(info.uring);
		same_guest(&p, &r.ref, 5, feed_kind_name(kind));
		feed_close(&f);
		play_free(&p);
	}
	random_stream_free(&r);
}

/* Each test is a process of its own: the filter ends with it. */
Test(stage, does_without_io_uring_where_it_is_forbidden)
{
	without_uring(SYS_io_uring_setup, EPERM);
}

Test(stage, does_without_io_uring_where_it_is_unknown)
{
	without_uring(SYS_io_uring_setup, ENOSYS);
}

Test(stage, does_without_io_uring_where_only_its_use_is_forbidden)
{
	without_uring(SYS_io_uring_enter, EPERM);
}

Test(stage, settings_that_cannot_work_are_refused)
{
	struct xr_stream *s;
	struct xr_error e;
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	cr_assert_eq(xr_stream_open(&s, &(struct xr_stream_config){ .fd = fds[0], .max_pfn = 9 },
				    -1, &e),
		     -EINVAL);
	cr_assert_null(s);
	cr_assert_eq(
		xr_stream_open(&s, &(struct xr_stream_config){ .fd = -1, .max_pfn = 9 }, -1, &e),
		-EBADF);
	cr_assert_eq(
		xr_stream_open(&s,
			       &(struct xr_stream_config){ .fd = fds[0], .max_pfn = XR_PFN_LIMIT },
			       -1, &e),
		-EINVAL);
	cr_assert_eq(e.stage, XR_STAGE_SETUP);
	cr_assert_eq(xr_stream_open(&s, &(struct xr_stream_config){ .fd = fds[1], .max_pfn = 9 },
				    -1, &e),
		     -EBADF);
	cr_assert_not(e.host_failed, "%s", e.text);
	close(fds[0]);
	close(fds[1]);
}
