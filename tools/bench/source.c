/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/source.h"

#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITE_BYTES (256u << 10)

const char *const bench_source_names[SOURCE_COUNT + 1] = { "file", "pipe", "unix", "tcp" };

struct writer {
	int file;
	int (*make)(int fd, void *arg);
	void *arg;
	int to, ready;
};

static void say_ready(const struct writer *w)
{
	if (write(w->ready, "", 1) != 1)
		_exit(1);
	close(w->ready);
}

static int write_bytes(int to, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(to, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/*
 * From a buffer that stays in the cache, as what a network or a decompressor delivers. A mapping of
 * the file would meet each page for the first time while the time is taken.
 */
static int write_file(const struct writer *w)
{
	static char buf[WRITE_BYTES];
	ssize_t got;
	int rc = 0;

	say_ready(w);
	for (off_t at = 0; !rc && (got = pread(w->file, buf, sizeof(buf), at)) > 0; at += got)
		rc = write_bytes(w->to, buf, (size_t)got);
	return rc ? rc : got < 0 ? -errno : 0;
}

static int write_all(const struct writer *w)
{
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (w->make) {
		say_ready(w);
		rc = w->make(w->to, w->arg);
	} else {
		rc = write_file(w);
	}
	return rc && rc != -EPIPE && rc != -ECONNRESET;
}

static void close_pair(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static int tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l < 0 || bind(l, (struct sockaddr *)&a, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&a, &len))
		goto fail;
	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd[1] < 0 || connect(fd[1], (struct sockaddr *)&a, len))
		goto fail;
	fd[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (fd[0] >= 0)
		goto out;
fail:
	rc = -errno;
out:
	if (l >= 0)
		close(l);
	return rc;
}

/* fd[0] is read from, fd[1] written to. */
static int make_pair(enum bench_source kind, unsigned int pipe_bytes, int fd[2])
{
	int rc;

	fd[0] = fd[1] = -1;
	if (kind == SOURCE_TCP)
		rc = tcp_pair(fd);
	else if (kind == SOURCE_UNIX)
		rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) ? -errno : 0;
	else
		rc = pipe2(fd, O_CLOEXEC) ? -errno : 0;
	if (!rc && kind == SOURCE_PIPE && pipe_bytes &&
	    fcntl(fd[1], F_SETPIPE_SZ, (int)pipe_bytes) < 0)
		rc = -errno;
	if (rc)
		close_pair(fd);
	return rc;
}

static int await_ready(int fd)
{
	ssize_t n;
	char c;

	do {
		n = read(fd, &c, 1);
	} while (n < 0 && errno == EINTR && !bench_signalled());
	return n == 1 ? 0 : -EIO;
}

static int start_writer(struct writer *w, enum bench_source kind, unsigned int pipe_bytes,
			struct bench_feed *feed)
{
	int pair[2], ready[2] = { -1, -1 };
	int rc = make_pair(kind, pipe_bytes, pair);

	if (rc)
		return rc;
	if (pipe2(ready, O_CLOEXEC)) {
		rc = -errno;
		goto out;
	}
	w->to = pair[1];
	w->ready = ready[1];
	feed->writer = bench_fork();
	if (feed->writer == 0) {
		close(pair[0]);
		close(ready[0]);
		_exit(write_all(w));
	}
	rc = feed->writer < 0 ? -errno : 0;
	close(ready[1]);
	ready[1] = -1;
	if (!rc)
		rc = await_ready(ready[0]);
	feed->fd = pair[0];
	pair[0] = -1;
	if (rc)
		bench_source_close(feed);
out:
	close_pair(pair);
	close_pair(ready);
	return rc;
}

static int reopen(int file)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int bench_source_open(enum bench_source kind, int file, unsigned int pipe_bytes,
		      struct bench_feed *feed)
{
	struct writer w = { .file = file };

	*feed = (struct bench_feed){ -1, -1 };
	if (kind != SOURCE_FILE)
		return start_writer(&w, kind, pipe_bytes, feed);
	feed->fd = reopen(file);
	return feed->fd < 0 ? feed->fd : 0;
}

int bench_source_make(enum bench_source kind, int (*make)(int fd, void *arg), void *arg,
		      unsigned int pipe_bytes, struct bench_feed *feed)
{
	struct writer w = { .file = -1, .make = make, .arg = arg };

	*feed = (struct bench_feed){ -1, -1 };
	return kind == SOURCE_FILE ? -EINVAL : start_writer(&w, kind, pipe_bytes, feed);
}

int bench_source_close(struct bench_feed *feed)
{
	int status = 0;

	if (feed->fd >= 0)
		close(feed->fd);
	feed->fd = -1;
	if (feed->writer > 0)
		while (waitpid(feed->writer, &status, 0) < 0 && errno == EINTR)
			;
	feed->writer = -1;
	return status ? -EIO : 0;
}
