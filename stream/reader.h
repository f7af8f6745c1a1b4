/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The byte source. It hands out exactly what is asked for, in order, and reads no further than the
 * caller allows: that is how nothing behind END is taken from a pipe. A regular file is read by
 * position, its offset is never moved, and reads ahead may be under way at expected places.
 *
 * Offsets are those of struct xr_error: in a regular file from its start, else from where the fd
 * stood at open. One thread at a time; call xr_reader_settle() before another takes over.
 */
#ifndef XR_READER_H
#define XR_READER_H

#include "stream/io.h"

#include <stdbool.h>

#define XR_READER_AHEAD (64u << 10) /* the most that `extra` and a read ahead may be */

struct xr_slot {
	unsigned char *buf; /* XR_READER_AHEAD bytes; NULL until first used */
	uint64_t offset;
	size_t n; /* bytes asked for; once it is there, bytes got */
	bool busy, valid;
};

struct xr_reader {
	const struct xr_io_ops *ops;
	void *io;
	bool file;
	uint64_t pos;	      /* of the next byte to be handed out */
	uint64_t failed_at;   /* where the last failing read stood: at -ENODATA, the end */
	unsigned char *stash; /* bytes from pos on that were read ahead */
	size_t stash_at, stash_n;
	struct xr_slot slot[XR_IO_SLOTS]; /* file */
	uint64_t size; /* file: nothing is read ahead behind it; may be set after init */
	uint64_t stride;
	unsigned int depth;
};

/* Takes over io, which close() gives back to ops, also on failure. 0 or a negative errno. */
int xr_reader_init(struct xr_reader *r, const struct xr_io_ops *ops, void *io, bool file,
		   uint64_t start);
void xr_reader_close(struct xr_reader *r);

/* The next n bytes to dst. Up to extra more may be read ahead. 0; -ENODATA: the end came first;
 * -ECANCELED; or what the kernel said. */
int xr_reader_get(struct xr_reader *r, void *dst, size_t n, size_t extra);

/* Pass over n bytes; on a pipe by reading them. */
int xr_reader_skip(struct xr_reader *r, uint64_t n);

/* File: go to an offset, forwards or back. */
void xr_reader_seek(struct xr_reader *r, uint64_t offset);

/* File: `len` bytes will be wanted at `next`, and the same again every `stride` bytes, as far as
 * can be told. A wrong guess costs a read, a right one a wait less. No-op for others. */
void xr_reader_expect(struct xr_reader *r, uint64_t next, uint64_t stride, size_t len);

/* No read is under way, nothing that was read ahead of a file is kept. */
void xr_reader_settle(struct xr_reader *r);

uint64_t xr_reader_waited(const struct xr_reader *r); /* ns */

#endif
