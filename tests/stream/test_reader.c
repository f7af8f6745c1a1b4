/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader: short reads, signals, errors and ends at every byte; reads ahead of a file. */
#include "stream/fake_io.h"
#include "stream/player.h"
#include "stream/samples.h"

#include "lib/rng.h"
#include "lib/sanitizer.h"
#include "stream/stage.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The whole stage over a fake pipe. */
static void play_fake(struct play *p, struct fake_io *io)
{
	struct xr_bufpool *pool = xr_bufpool_create(3, 8192);
	const struct xr_stream_config cfg = { .fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
					      .max_pfn = 100000,
					      .pool = pool };
	struct xr_stream *s;
	int rc;

	memset(p, 0, sizeof(*p));
	rc = xr_stream_open_io(&s, &cfg, -1, &fake_ops, io, &p->error);
	if (!rc)
		play_stream(p, s, cfg.fd, pool, NULL, NULL, NULL);
	cr_assert_eq(rc, rc ? p->error.code : 0);
	xr_stream_close(&s);
	cr_assert_eq(xr_bufpool_in_use(pool), 0);
	cr_assert_not(io->open, "closed");
	xr_bufpool_destroy(pool);
	close(cfg.fd);
}

static struct fake_io fake_for(const struct builder *b)
{
	return (struct fake_io){ .bytes = builder_data(b),
				 .n = builder_size(b),
				 .limit = b->end_offset,
				 .step = 1 << 20,
				 .fail_at = UINT64_MAX,
				 .open = true };
}

Test(reader, short_reads_of_every_size)
{
	for (unsigned int layer = XR_EMIT_BARE; layer <= XR_EMIT_LIBVIRT; layer++) {
		uint64_t log = 0;
		struct builder b;

		sample_make(&b, SAMPLE_HVM3, layer, 100);
		for (size_t step = 1; step < 5000; step += step < 70 ? 1 : 97) {
			struct fake_io io = fake_for(&b);
			struct play p;

			io.step = step;
			play_fake(&p, &io);
			cr_assert_eq(p.error.code, 0, "step %zu: %s", step, p.error.text);
			cr_assert_eq(io.pos, b.end_offset, "step %zu", step);
			cr_assert(!log || p.log == log, "step %zu", step);
			log = p.log;
			play_free(&p);
		}
		builder_free(&b);
	}
}

/* One thread: nothing for TSan to find, only to make slow. */
static size_t stride(size_t n)
{
	return TSAN ? 50 * n : ASAN ? 4 * n : n;
}

Test(reader, a_split_at_every_byte)
{
	uint64_t log = 0;
	struct builder b;

	sample_make(&b, SAMPLE_HVM2, XR_EMIT_XL, 9);
	for (size_t at = 1; at < b.end_offset; at += stride(at < 700 ? 1 : 13)) {
		struct fake_io io = fake_for(&b);
		struct play p;

		io.split = at;
		play_fake(&p, &io);
		cr_assert_eq(p.error.code, 0, "split %zu: %s", at, p.error.text);
		cr_assert(!log || p.log == log, "split %zu", at);
		log = p.log;
		play_free(&p);
	}
	builder_free(&b);
}

Test(reader, every_errno_at_every_byte)
{
	static const int codes[] = { -EINTR, -EAGAIN, -EIO, -ECONNRESET, -ECANCELED, 0 };
	struct builder b;
	uint64_t log = 0;

	sample_make(&b, SAMPLE_HVM3, XR_EMIT_LIBXL, 9);
	for (size_t at = 0; at < b.end_offset; at += stride(at < 600 ? 1 : 97)) {
		for (size_t c = 0; c < sizeof(codes) / sizeof(codes[0]); c++) {
			const bool passes = codes[c] == -EINTR || codes[c] == -EAGAIN;
			struct fake_io io = fake_for(&b);
			struct play p;

			io.fail_at = at;
			io.fail = codes[c];
			play_fake(&p, &io);
			if (passes) {
				cr_assert_eq(p.error.code, 0, "%zu: %s", at, p.error.text);
				cr_assert(!log || p.log == log);
				log = p.log;
			} else {
				const int want = codes[c] ? codes[c] : -ENODATA;
				char where[32];

				snprintf(where, sizeof(where), "at byte %zu", at);
				cr_assert_eq(p.error.code, want, "%zu: %s", at, p.error.text);
				cr_assert_eq(p.error.stage, XR_STAGE_STREAM);
				cr_assert(p.error.offset <= at);
				cr_assert(want == -ECANCELED || strstr(p.error.text, where),
					  "%s: %s", where, p.error.text);
			}
			play_free(&p);
		}
	}
	builder_free(&b);
}

static void one_random_walk(uint64_t seed, const unsigned char *bytes, size_t n)
{
	struct rng r = rng_seed(seed);
	struct fake_io io = { .bytes = bytes,
			      .n = n,
			      .limit = UINT64_MAX,
			      .fail_at = UINT64_MAX,
			      .open = true,
			      .file = true,
			      .random = seed };
	unsigned char got[9000];
	struct xr_reader rd;

	io.step = 1 + rng_below(&r, 10000);
	cr_assert_eq(xr_reader_init(&rd, &fake_ops, &io, true, 0), 0);
	if (rng_below(&r, 2))
		rd.size = n;
	for (unsigned int i = 0; i < 200; i++) {
		const uint64_t at = rd.pos;
		const size_t want = rng_below(&r, sizeof(got));

		switch (rng_below(&r, 5)) {
		case 0:
			xr_reader_seek(&rd, rng_below(&r, n));
			break;
		case 1:
			xr_reader_expect(&rd, at + rng_below(&r, 20000), rng_below(&r, 300000),
					 1 + rng_below(&r, 90000));
			break;
		case 2:
			xr_reader_skip(&rd, rng_below(&r, 3) ? 100 : 0);
			break;
		default:
			if (at + want > n) {
				cr_assert_eq(xr_reader_get(&rd, got, want, 0), -ENODATA);
				cr_assert_eq(rd.failed_at, at > n ? at : n);
				xr_reader_seek(&rd, 0);
				break;
			}
			cr_assert_eq(xr_reader_get(&rd, got, want, rng_below(&r, 90000)), 0);
			cr_assert_eq(memcmp(got, bytes + at, want), 0, "XR_SEED=%lu", seed);
			cr_assert_eq(rd.pos, at + want);
		}
	}
	xr_reader_close(&rd);
	cr_assert_not(io.open);
}

Test(reader, reads_ahead_of_a_file_change_nothing)
{
	const size_t n = 3 << 20;
	unsigned char *bytes = malloc(n);
	uint64_t seed = sample_seed(0);
	struct rng r = rng_seed(7);

	for (size_t i = 0; i + 8 <= n; i += 8)
		memcpy(bytes + i, (uint64_t[]){ rng_next(&r) }, 8);
	if (seed)
		one_random_walk(seed, bytes, n);
	for (seed = 1; seed < 150; seed++)
		one_random_walk(seed, bytes, n);
	free(bytes);
}

/* Both real ways, on a pipe that has nothing to give. */
static void check_stop(enum xr_io kind)
{
	const int cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const int stop[2] = { -1, cancel };
	const bool uring = kind == XR_IO_URING;
	const struct xr_io_ops *ops = uring ? &xr_io_uring : &xr_io_plain;
	struct xr_reader rd;
	char byte[2];
	int fds[2];
	void *io;
	int rc;

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	rc = uring ? xr_io_uring_open(&io, fds[0], stop) : xr_io_plain_open(&io, fds[0], stop);
	if (rc && uring)
		return; /* this kernel has none: tested as such elsewhere */
	cr_assert_eq(rc, 0);
	cr_assert_eq(xr_reader_init(&rd, ops, io, false, 0), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(xr_reader_get(&rd, byte, 1, 0), 0);
	cr_assert_eq(write(cancel, (uint64_t[]){ 1 }, 8), 8);
	cr_assert_eq(xr_reader_get(&rd, byte, 1, 0), -ECANCELED);
	cr_assert_eq(xr_reader_get(&rd, byte, 1, 0), -ECANCELED, "it stays stopped");
	cr_assert_eq(write(fds[1], "y", 1), 1);
	cr_assert_eq(xr_reader_get(&rd, byte, 1, 0), -ECANCELED, "also with bytes there");
	xr_reader_settle(&rd);
	xr_reader_close(&rd);
	cr_assert_eq(read(fds[0], byte, 2), 1, "and has not taken them");
	close(fds[0]);
	close(fds[1]);
	close(cancel);
}

Test(reader, a_stop_fd_ends_a_read_that_waits)
{
	check_stop(XR_IO_PLAIN);
	check_stop(XR_IO_URING);
}
