/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Room for bytes that must wait: so many of them in memory, what is more in a file without a name
 * on disk. It is one space of addresses from 0 on; both halves are files, so that whoever holds
 * their descriptors reads by position from them. One thread writes.
 */
#ifndef XR_SPILL_H
#define XR_SPILL_H

#include <stddef.h>
#include <stdint.h>

#define XR_SPILL_FILES 2u

struct xr_spill {
	int fd[XR_SPILL_FILES]; /* memory, disk; -1: none */
	uint64_t in_memory;	/* addresses from here on are on disk */
	int no_disk;		/* errno: why there is no file on disk */
	uint64_t disk_used; /* bytes from the file's begin that were written since it was emptied */
};

/* The file lies in $TMPDIR, else /var/tmp; where it cannot be made there is only memory. 0 or a
 * negative errno. */
int xr_spill_open(struct xr_spill *s, uint64_t in_memory);
void xr_spill_close(struct xr_spill *s);

/* All n bytes, or a negative errno. */
int xr_spill_write(struct xr_spill *s, uint64_t at, const void *bytes, size_t n);
int xr_spill_read(const struct xr_spill *s, uint64_t at, void *to, size_t n);

/* The lowest address >= at from which n bytes lie in one file, at a multiple of align. */
uint64_t xr_spill_fit(const struct xr_spill *s, uint64_t at, uint64_t n, uint64_t align);

/* In which file an address is, and where there. */
unsigned int xr_spill_file(const struct xr_spill *s, uint64_t at, uint64_t *offset);

/* Nothing is needed any more: the disk gets its blocks back. */
void xr_spill_empty(struct xr_spill *s);

#endif
