/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader's ring is no way around the filter. */
#include "stream/io.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

static struct io_uring *ring; /* a reader's handle begins with it */
static void *io;
static int fd;

static void setup(void)
{
	const int stop[2] = { -1, -1 };

	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	if (xr_io_uring_open(&io, fd, stop))
		cr_skip_test("no io_uring here");
	ring = io;
}

static void teardown(void)
{
	if (io)
		xr_io_uring.close(io);
	close(fd);
}

TestSuite(ring, .init = setup, .fini = teardown);

static int result_of(struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe;
	int res;

	(void)sqe;
	cr_assert_eq(io_uring_submit_and_wait(ring, 1), 1);
	cr_assert_eq(io_uring_peek_cqe(ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

#define RESULT_OF(prep, ...)                                                                       \
	({                                                                                         \
		struct io_uring_sqe *sqe_ = io_uring_get_sqe(ring);                                \
                                                                                                   \
		prep(sqe_, ##__VA_ARGS__);                                                         \
		result_of(sqe_);                                                                   \
	})

Test(ring, reads)
{
	char byte = 1;

	cr_expect_eq(RESULT_OF(io_uring_prep_read, fd, &byte, 1, 0), 1);
	cr_expect_eq(byte, 0);
}

Test(ring, does_nothing_else)
{
	struct open_how how = { .flags = O_RDONLY };
	struct iovec v = { (void *)"x", 1 };
	struct sockaddr a = { .sa_family = AF_UNIX };
	int fds[1] = { fd };

	cr_expect_eq(RESULT_OF(io_uring_prep_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_openat2, AT_FDCWD, "/dev/null", &how), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_write, fd, "x", 1, 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_writev, fd, &v, 1, 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_socket, AF_UNIX, SOCK_STREAM, 0, 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_connect, fd, &a, sizeof(a)), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_accept, fd, NULL, NULL, 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_unlinkat, AT_FDCWD, "/nonexistent", 0), -EACCES);
	cr_expect_eq(RESULT_OF(io_uring_prep_files_update, fds, 1, 0), -EACCES);
	cr_expect_eq(io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_FILES, fds, 1),
		     -EACCES);
}
