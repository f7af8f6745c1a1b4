/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hand a stream on, with a copy for the checks; or cut it at a place that no timing decides, as a
 * network that fails does.
 */
#include "stream.h"
#include "xr-lab.h"

#include <fcntl.h>
#include <stdio.h>
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

/* Looks at each header once: a fault is dear in an emulated PV dom0. */
struct walk {
	size_t at;		   /* of the next header; 0: the first is not known yet */
	bool libxl;		   /* whose that is */
	unsigned long checkpoints; /* complete ones */
	size_t end;		   /* behind the last of them */
};

static size_t first_record(const char *path)
{
	struct stream s;
	size_t start = 0;

	if (stream_open(&s, path, false)) {
		start = s.start;
		munmap(s.data, s.size);
	}
	return start;
}

static bool step(struct walk *w, int fd, size_t size)
{
	uint32_t head[2];

	if (w->at + sizeof(head) > size || pread(fd, head, sizeof(head), (off_t)w->at) != 8)
		return false;
	w->at += 8 + (((size_t)head[1] + 7) & ~(size_t)7);
	if (!w->libxl) {
		w->libxl = head[0] == REC_CHECKPOINT;
	} else if (head[0] == LIBXL_CHECKPOINT_END) {
		w->libxl = false;
		w->checkpoints++;
		w->end = w->at;
	}
	return true;
}

/* Where the stream is to be cut; 0 if that has not come yet. */
static size_t place(struct walk *w, int fd, size_t size, unsigned long checkpoint, size_t bytes)
{
	while (w->at && w->checkpoints < checkpoint)
		if (!step(w, fd, size))
			return 0;
	return w->at ? w->end + bytes : 0;
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

int stream_tee_cut(const char *path, unsigned long checkpoint, size_t bytes)
{
	int fd = copy_to(path);
	struct walk w = { 0 };
	size_t size = 0, cut = 0;
	ssize_t n;

	if (fd < 0)
		return 1;
	while (!cut || size < cut) {
		n = read(STDIN_FILENO, buf, 1 << 16);
		if (n <= 0 || !put(fd, buf, (size_t)n))
			return 1;
		if (!w.at)
			w.at = w.end = first_record(path);
		if (!cut)
			cut = place(&w, fd, size + (size_t)n, checkpoint, bytes);
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
