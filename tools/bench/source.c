/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITE_BYTES (1u << 20)

const char *const bench_source_names[SOURCE_COUNT] = { "file", "pipe", "unix", "tcp" };

/* Writes from mapped memory, as a saver does from mapped guest frames. */
static int write_all(int file, int to)
{
	struct stat st;
	char *p;

	if (fstat(file, &st))
		return 1;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
	if (p == MAP_FAILED)
		return 1;
	for (off_t at = 0; at < st.st_size;) {
		size_t n = (size_t)(st.st_size - at);
		ssize_t done = write(to, p + at, n < WRITE_BYTES ? n : WRITE_BYTES);

		if (done < 0 && errno != EINTR)
			return errno == EPIPE || errno == ECONNRESET ? 0 : 1;
		if (done > 0)
			at += done;
	}
	return 0;
}

static int tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = -1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd[0] = fd[1] = -1;
	if (l < 0 || bind(l, (struct sockaddr *)&a, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&a, &len))
		goto out;
	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd[1] < 0 || connect(fd[1], (struct sockaddr *)&a, len))
		goto out;
	fd[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	rc = fd[0] < 0 ? -1 : 0;
out:
	if (l >= 0)
		close(l);
	return rc;
}

static int make_pair(enum bench_source kind, int fd[2])
{
	switch (kind) {
	case SOURCE_PIPE:
		return pipe2(fd, O_CLOEXEC);
	case SOURCE_UNIX:
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd);
	default:
		return tcp_pair(fd);
	}
}

int bench_source_open(enum bench_source kind, const char *path, pid_t *writer)
{
	int file = open(path, O_RDONLY | O_CLOEXEC), fd[2], rc;

	*writer = -1;
	if (file < 0 || kind == SOURCE_FILE)
		return file < 0 ? -errno : file;
	if (make_pair(kind, fd)) {
		rc = -errno;
		close(file);
		return rc;
	}
	*writer = fork();
	if (*writer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		close(fd[0]);
		_exit(write_all(file, fd[1]));
	}
	rc = *writer < 0 ? -errno : fd[0];
	close(file);
	close(fd[1]);
	if (rc < 0)
		close(fd[0]);
	return rc;
}

void bench_source_end(pid_t writer)
{
	if (writer > 0)
		while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
			;
}
