/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hand a stream on, with a copy for the checks; or cut it at a place that no timing decides, as a
 * network that fails does.
 */
#include "stream.h"
#include "xr-lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char buf[1 << 20];

static bool put(int fd, const char *p, size_t n)
{
	while (n) {
		const ssize_t done = write(fd, p, n);

		if (done < 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

static int copy_to(const char *path)
{
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, sizeof(buf));
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* busybox's tee copies a KiB at a time: minutes for a migration under emulation. */
int stream_tee(const char *path)
{
	int fd = copy_to(path);
	ssize_t n = 0;

	if (fd < 0)
		return 1;
	do
		n = read(STDIN_FILENO, buf, sizeof(buf));
	while (n > 0 && put(STDOUT_FILENO, buf, (size_t)n) && put(fd, buf, (size_t)n));
	return close(fd) || n ? 1 : 0;
}

/* Where the stream is to be cut; 0 if that has not come yet. */
static size_t place(const char *path, unsigned long checkpoint, const char *where)
{
	size_t record, end;
	struct stream s;

	if (!stream_open(&s, path, false))
		return 0;
	s.end = s.size;
	record = stream_checkpoint(&s, checkpoint, &end);
	munmap(s.data, s.size);
	if (!strcmp(where, "libxl"))
		return record;
	return end ? end + strtoul(where, NULL, 0) : 0;
}

/* Both sides hear of the cut when somebody has removed the file that tells of it. */
static int wait_at_cut(const char *path)
{
	char mark[256];
	int fd;

	snprintf(mark, sizeof(mark), "%s.cut", path);
	fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || close(fd))
		return 1;
	while (!access(mark, F_OK))
		usleep(50000);
	return 0;
}

int stream_tee_cut(const char *path, unsigned long checkpoint, const char *where)
{
	int fd = copy_to(path);
	size_t size = 0, cut = 0;
	ssize_t n;

	if (fd < 0)
		return 1;
	while (!cut || size < cut) {
		n = read(STDIN_FILENO, buf, 1 << 16);
		if (n <= 0 || !put(fd, buf, (size_t)n))
			return 1;
		cut = place(path, checkpoint, where);
		if (cut && cut < size + (size_t)n) {
			n = (ssize_t)(cut - size);
			if (ftruncate(fd, (off_t)cut))
				return 1;
		}
		size += (size_t)n;
		if (!put(STDOUT_FILENO, buf, (size_t)n))
			return 1;
	}
	return wait_at_cut(path) || close(fd);
}
