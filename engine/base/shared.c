/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/shared.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void *map(int fd, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

void *xr_shared_create(const char *name, size_t bytes, int *fd)
{
	void *at = NULL;

	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0)
		return NULL;
	if (!ftruncate(*fd, (off_t)bytes))
		at = map(*fd, bytes);
	if (!at)
		close(*fd);
	return at;
}

void *xr_shared_attach(int fd, size_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return NULL;
	*bytes = (size_t)st.st_size;
	return map(fd, *bytes);
}

void xr_shared_destroy(void *at, size_t bytes, int fd)
{
	munmap(at, bytes);
	close(fd);
}
