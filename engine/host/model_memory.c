/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model's machine memory: two files in private tmpfs mounts, one that gets huge pages and one
 * that never does.
 *
 * Pages are made through the descriptor, never through a mapping, so that making them holds no
 * process's mmap lock. A first fallocate() allocates without clearing, a second one finds the page
 * not up to date and clears it: together they cost one clear and one look-up, which is what a
 * populate costs Xen.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_SIZE ((size_t)REGION_PAGES * XR_PAGE_SIZE)
#define SOME_PAGES 16u /* looked at, or filled, at a time */

static int tmpfs_file(const char *huge)
{
	int mnt = -1, fd = -1;
	int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0)
		return -1;
	if (fsconfig(fs, FSCONFIG_SET_STRING, "huge", huge, 0) < 0)
		goto out;
	/* 0: no limit but the machine's memory */
	if (fsconfig(fs, FSCONFIG_SET_STRING, "size", "0", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		goto out;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mnt >= 0)
		fd = openat(mnt, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
out:
	if (mnt >= 0)
		close(mnt);
	close(fs);
	if (fd >= 0 && ftruncate(fd, (off_t)(MFN_LIMIT << XR_PAGE_SHIFT)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int plain_file(void)
{
	int fd = memfd_create("xr-model-memory", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)(MFN_LIMIT << XR_PAGE_SHIFT)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Bytes that huge entries map, of the mapping in which this address lies. */
static uint64_t mapped_huge(const void *addr)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long kb = 0, from, to;
	bool here = false, found = false;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)addr && (uintptr_t)addr < to;
		else if (here && sscanf(line, "ShmemPmdMapped: %lu kB", &kb) == 1)
			found = true;
	}
	if (f)
		fclose(f);
	return found ? (uint64_t)kb << 10 : 0;
}

/* Address space for so many bytes behind an aligned address; *base is what to unmap. */
static char *reserve(size_t bytes, char **base)
{
	*base = mmap(NULL, bytes + HUGE_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*base == MAP_FAILED)
		return NULL;
	return *base + (HUGE_SIZE - (uintptr_t)*base % HUGE_SIZE) % HUGE_SIZE;
}

/* Does an allocation of 2M out of this file come as one page? Only trying tells. */
static bool gives_huge(int fd)
{
	char *base, *at = reserve(HUGE_SIZE, &base);
	bool huge = false;

	if (!at)
		return false;
	if (fallocate(fd, 0, 0, HUGE_SIZE) == 0 &&
	    mmap(at, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at) {
		*(volatile char *)at = 0;
		huge = mapped_huge(at) >= HUGE_SIZE;
	}
	munmap(base, 2 * HUGE_SIZE);
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE_SIZE);
	return huge;
}

/* Read a word of each whole entry's every 2M through a mapping of the file. */
static void touch_whole_locked(struct xr_model *m, const char *file)
{
	uint64_t gfn = model_p2m_next_locked(m, 0);

	while (gfn != NO_FRAME) {
		int order;
		uint64_t mfn = model_p2m_get_locked(m, gfn, &order);

		if (order >= (int)XR_ORDER_2M && mfn & MFN_HUGE)
			(void)*(const volatile char *)(file + (mfn_index(mfn) << XR_PAGE_SHIFT));
		gfn = model_p2m_next_locked(m, (gfn | (REGION_PAGES - 1)) + 1);
	}
}

uint64_t xr_model_huge_frames(struct xr_model *m)
{
	char *base, *at;
	uint64_t frames = 0;
	size_t bytes;

	model_lock(m);
	bytes = m->s->huge ? (size_t)m->s->next_mfn[1] << XR_PAGE_SHIFT : 0;
	at = bytes ? reserve(bytes, &base) : NULL;
	if (at && mmap(at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, m->file[1], 0) == at) {
		touch_whole_locked(m, at);
		frames = mapped_huge(at) >> XR_PAGE_SHIFT;
	}
	model_unlock(m);
	if (at)
		munmap(base, bytes + HUGE_SIZE);
	return frames;
}

static int huge_file(void)
{
	static const char *const ways[] = { "always", "within_size" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int fd = tmpfs_file(ways[i]);

		if (fd >= 0 && gives_huge(fd))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

int model_files_open(struct xr_model *m)
{
	struct stat st;

	if (!m->s->set.no_huge)
		m->file[1] = huge_file();
	m->s->huge = m->file[1] >= 0;
	m->file[0] = tmpfs_file("never");
	for (int i = 0; i < 2; i++) {
		if (m->file[i] < 0)
			m->file[i] = plain_file();
		if (m->file[i] < 0 || fstat(m->file[i], &st) < 0)
			return -errno;
		m->s->file[i] = (struct model_file){ m->file[i], st.st_dev, st.st_ino };
	}
	return 0;
}

static int allocate(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	int rc;

	do {
		rc = fallocate(mfn_file(m, mfn), 0, (off_t)(mfn_index(mfn) << XR_PAGE_SHIFT),
			       (off_t)(count << XR_PAGE_SHIFT));
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int fill(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	uint64_t words[SOME_PAGES * XR_PAGE_SIZE / 8];
	size_t size = (count < SOME_PAGES ? count : SOME_PAGES) << XR_PAGE_SHIFT;
	uint64_t at = mfn_index(mfn) << XR_PAGE_SHIFT, end = at + (count << XR_PAGE_SHIFT);

	for (size_t i = 0; i < size / 8; i++)
		words[i] = m->s->set.fill;
	while (at < end) {
		ssize_t done = pwrite(mfn_file(m, mfn), words, end - at < size ? end - at : size,
				      (off_t)at);

		if (done < 0 && errno != EINTR)
			return -errno;
		at += done > 0 ? (uint64_t)done : 0;
	}
	return 0;
}

int model_pages_make(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	int rc;

	if (m->s->set.without_memory)
		return 0;
	rc = allocate(m, mfn, count);
	if (!rc)
		rc = m->s->set.fill ? fill(m, mfn, count) : allocate(m, mfn, count);
	if (rc)
		model_pages_free(m, mfn, count);
	return rc;
}

void model_pages_free(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	int rc;

	if (m->s->set.without_memory)
		return;
	do {
		rc = fallocate(mfn_file(m, mfn), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)(mfn_index(mfn) << XR_PAGE_SHIFT),
			       (off_t)(count << XR_PAGE_SHIFT));
	} while (rc < 0 && errno == EINTR);
}

static bool is_clean(const struct xr_model *m, const unsigned char *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return (first == 0 || first == m->s->set.fill) &&
	       memcmp(page, page + sizeof(first), XR_PAGE_SIZE - sizeof(first)) == 0;
}

uint64_t model_pages_dirty(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	unsigned char buf[SOME_PAGES * XR_PAGE_SIZE];
	uint64_t dirty = 0;

	while (count) {
		uint64_t n = count < SOME_PAGES ? count : SOME_PAGES;
		ssize_t got = pread(mfn_file(m, mfn), buf, n << XR_PAGE_SHIFT,
				    (off_t)(mfn_index(mfn) << XR_PAGE_SHIFT));

		if (got != (ssize_t)(n << XR_PAGE_SHIFT))
			return dirty + count;
		for (uint64_t i = 0; i < n; i++)
			dirty += !is_clean(m, buf + (i << XR_PAGE_SHIFT));
		mfn += n;
		count -= n;
	}
	return dirty;
}

static int page_io(struct xr_model *m, uint64_t gfn, void *page, bool write)
{
	uint64_t mfn;
	ssize_t done;
	off_t at;
	int order, rc = 0;

	model_lock(m);
	mfn = model_p2m_get_locked(m, gfn, &order);
	if (mfn == NO_FRAME) {
		rc = -ENOENT;
		goto out;
	}
	if (m->s->set.without_memory) {
		rc = -ENOSYS;
		goto out;
	}
	at = (off_t)(mfn_index(mfn) << XR_PAGE_SHIFT);
	if (write)
		done = pwrite(mfn_file(m, mfn), page, XR_PAGE_SIZE, at);
	else
		done = pread(mfn_file(m, mfn), page, XR_PAGE_SIZE, at);
	if (done != XR_PAGE_SIZE)
		rc = done < 0 ? -errno : -EIO;
	else if (write)
		*model_ref(m, mfn) |= REF_TOUCHED;
out:
	model_unlock(m);
	return rc;
}

int xr_model_peek(struct xr_model *m, uint64_t gfn, void *page)
{
	return page_io(m, gfn, page, false);
}

int xr_model_poke(struct xr_model *m, uint64_t gfn, const void *page)
{
	return page_io(m, gfn, (void *)(uintptr_t)page, true);
}
