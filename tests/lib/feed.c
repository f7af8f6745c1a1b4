/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/feed.h"

#include "lib/rng.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILL_MAX ((size_t)1 << 20) /* without privileges */

const char *feed_kind_name(enum feed_kind kind)
{
	static const char *const names[] = {
		[FEED_FILE] = "file",
		[FEED_PIPE] = "pipe",
		[FEED_SOCKET] = "socket",
		[FEED_TCP] = "tcp",
	};

	return names[kind];
}

static int write_all(int fd, const void *bytes, size_t n)
{
	const char *from = bytes;

	while (n) {
		ssize_t done = write(fd, from, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

/* From whole buffers to single bytes; few of the latter, they are slow. */
static size_t piece_size(struct rng *r)
{
	static const size_t most[] = { 16, 300, 4100, 70000, 1 << 20, 1 << 20, 1 << 20, 1 << 20 };

	return 1 + rng_below(r, most[rng_below(r, 8)]);
}

static void write_pieces(int fd, const void *bytes, size_t n, uint64_t seed)
{
	const char *from = bytes;
	struct rng r = rng_seed(seed);

	while (n) {
		size_t piece = piece_size(&r);

		if (piece > n)
			piece = n;
		if (write_all(fd, from, piece))
			return;
		from += piece;
		n -= piece;
	}
}

static int open_file(struct feed *f, const void *bytes, size_t n, uint64_t seed)
{
	static const char junk[8192] = "not part of the stream";
	struct rng r = rng_seed(seed);
	int rc;

	f->fd = memfd_create("feed", MFD_CLOEXEC);
	if (f->fd < 0)
		return -errno;
	f->start = (off_t)(rng_below(&r, 2) ? rng_below(&r, sizeof(junk)) : 0);
	rc = write_all(f->fd, junk, (size_t)f->start);
	if (!rc)
		rc = write_all(f->fd, bytes, n);
	if (!rc && lseek(f->fd, f->start, SEEK_SET) < 0)
		rc = -errno;
	return rc;
}

static int tcp_pair(int fds[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = -1;

	fds[0] = -1;
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || fds[1] < 0)
		goto out;
	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &size) ||
	    connect(fds[1], (struct sockaddr *)&at, size))
		goto out;
	fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	rc = fds[0] < 0 ? -1 : 0;
out:
	if (rc && fds[1] >= 0)
		close(fds[1]);
	if (listener >= 0)
		close(listener);
	return rc;
}

static int open_pair(enum feed_kind kind, int fds[2])
{
	if (kind == FEED_PIPE)
		return pipe2(fds, O_CLOEXEC);
	if (kind == FEED_SOCKET)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
	return tcp_pair(fds);
}

static int open_stream(struct feed *f, const void *bytes, size_t n, uint64_t seed)
{
	int fds[2];

	if (open_pair(f->kind, fds))
		return -errno;
	f->writer = fork();
	if (f->writer == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(fds[0]);
		write_pieces(fds[1], bytes, n, seed);
		close(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	f->fd = fds[0];
	return f->writer < 0 ? -EAGAIN : 0;
}

int feed_open(struct feed *f, enum feed_kind kind, const void *bytes, size_t n, uint64_t seed)
{
	int rc;

	*f = (struct feed){ .fd = -1, .kind = kind, .writer = -1 };
	rc = kind == FEED_FILE ? open_file(f, bytes, n, seed) : open_stream(f, bytes, n, seed);
	if (rc)
		feed_close(f);
	return rc;
}

int feed_fill(struct feed *f, const void *bytes, size_t n)
{
	int fds[2], rc = 0;

	*f = (struct feed){ .fd = -1, .kind = FEED_PIPE, .writer = -1 };
	if (n > FILL_MAX)
		return -EFBIG;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	f->fd = fds[0];
	if (fcntl(fds[1], F_SETPIPE_SZ, FILL_MAX) < 0)
		rc = -errno;
	if (!rc)
		rc = write_all(fds[1], bytes, n);
	close(fds[1]);
	if (rc)
		feed_close(f);
	return rc;
}

ssize_t feed_rest(struct feed *f, void *rest, size_t max)
{
	size_t have = 0;

	while (have < max) {
		ssize_t n = read(f->fd, (char *)rest + have, max - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

void feed_close(struct feed *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->writer > 0)
		waitpid(f->writer, NULL, 0);
	f->writer = -1;
}
