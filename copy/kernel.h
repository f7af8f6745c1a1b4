/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How page contents get from their source into mapped frames, or are compared with them. The one
 * place to choose a copy kernel.
 */
#ifndef XR_COPY_KERNEL_H
#define XR_COPY_KERNEL_H

#include "base/error.h"

#include <stdbool.h>

#define XR_SCRATCH_PAGES 64u

/*
 * Contents for n frames mapped in one stretch at `to`. Page i of them lies at page
 * p = page ? page[i] : i of the source: of `from` in memory, or, if from is NULL, of the file fd
 * from `offset` on. pfns[i] and where are for error texts.
 */
struct xr_contents {
	unsigned char *to;
	size_t n;
	const uint32_t *page;
	const unsigned char *from;
	int fd;
	bool ours; /* the file is not the stream: what fails there is no fault of the stream's */
	uint64_t offset;
	bool looked_at; /* once written, the frames are read: then not by the kernel's hand */
	unsigned char *scratch; /* XR_SCRATCH_PAGES pages, for that and for compare */
	const uint64_t *pfns;
	const struct xr_where *where;
};

struct xr_differing {
	uint64_t n;
	uint64_t lowest; /* pfn; XR_NO_PFN: none */
};

/* 0, -ENODATA (the file ends too early) or what read said. */
int xr_contents_write(const struct xr_contents *c, struct xr_error *err);

/* The same errors; *found grows by the frames that hold something else. */
int xr_contents_compare(const struct xr_contents *c, struct xr_differing *found,
			struct xr_error *err);

#endif
