/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/spill.h"

#include "base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEMORY, DISK };

static int make_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	char path[4096];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (snprintf(path, sizeof(path), "%s/xenrestore-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

int xr_spill_open(struct xr_spill *s, uint64_t in_memory)
{
	const char *dir = secure_getenv("TMPDIR");

	*s = (struct xr_spill){ .fd = { -1, -1 }, .in_memory = in_memory };
	s->fd[MEMORY] = xr_shared_file("xr-spill");
	if (s->fd[MEMORY] < 0)
		return -errno;
	s->fd[DISK] = make_file(dir && *dir ? dir : "/var/tmp");
	s->no_disk = s->fd[DISK] < 0 ? errno : 0;
	return 0;
}

void xr_spill_close(struct xr_spill *s)
{
	for (unsigned int i = 0; i < XR_SPILL_FILES; i++) {
		if (s->fd[i] >= 0)
			close(s->fd[i]);
		s->fd[i] = -1;
	}
}

unsigned int xr_spill_file(const struct xr_spill *s, uint64_t at, uint64_t *offset)
{
	const bool disk = at >= s->in_memory;

	*offset = disk ? at - s->in_memory : at;
	return disk ? DISK : MEMORY;
}

uint64_t xr_spill_fit(const struct xr_spill *s, uint64_t at, uint64_t n, uint64_t align)
{
	uint64_t offset, end;
	const unsigned int file = xr_spill_file(s, at, &offset);

	end = (offset + align - 1) / align * align;
	at += end - offset;
	return file == MEMORY && at + n > s->in_memory ? s->in_memory : at;
}

/* How many of n bytes from `at` on are in one file. */
static size_t stretch(const struct xr_spill *s, uint64_t at, size_t n)
{
	const uint64_t left = s->in_memory - at;

	return at < s->in_memory && left < n ? (size_t)left : n;
}

int xr_spill_write(struct xr_spill *s, uint64_t at, const void *bytes, size_t n)
{
	const char *from = bytes;

	while (n) {
		uint64_t offset;
		const unsigned int file = xr_spill_file(s, at, &offset);
		ssize_t done;

		if (s->fd[file] < 0)
			return -s->no_disk;
		done = pwrite(s->fd[file], from, stretch(s, at, n), (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -ENOSPC;
		if (file == DISK && offset + (uint64_t)done > s->disk_used)
			s->disk_used = offset + (uint64_t)done;
		from += done;
		at += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

int xr_spill_read(const struct xr_spill *s, uint64_t at, void *to, size_t n)
{
	char *dst = to;

	while (n) {
		uint64_t offset;
		const unsigned int file = xr_spill_file(s, at, &offset);
		const ssize_t done = pread(s->fd[file], dst, stretch(s, at, n), (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -ENODATA;
		dst += done;
		at += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

/* What is written next takes the same places: a file system without holes does no harm. */
void xr_spill_empty(struct xr_spill *s)
{
	if (s->disk_used)
		fallocate(s->fd[DISK], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)s->disk_used);
	s->disk_used = 0;
}
