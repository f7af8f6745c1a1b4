/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the headers and pfn arrays of a regular file tell before any page content is read: the final
 * set of frames, and which contents a later pass replaces. It serves plain streams in which all
 * pages stand together: no VERIFY, nothing that touches memory (HVM_PARAMS) before a page, at most
 * XR_INDEX_PASSES passes, no pfn twice in one record. Other streams are restored without.
 */
#ifndef XR_INDEX_H
#define XR_INDEX_H

#include "base/pfnset.h"

#define XR_INDEX_PASSES 65536u

/* A pass: a stretch of records whose pfns ascend strictly. */
struct xr_index_pass {
	uint64_t begin, end; /* file offsets */
	uint64_t record;     /* number of its first record */
};

struct xr_index {
	struct xr_pfnset *want;	 /* RAM at the end */
	struct xr_pfnset *later; /* contents to be taken from the second or a later pass */
	struct xr_index_pass *passes;
	unsigned int npasses;
	uint64_t records;
	uint64_t pages;	      /* contents in the stream */
	uint64_t live_pages;  /* contents that are not replaced by later ones */
	uint64_t end_offset;  /* behind END */
};

void xr_index_free(struct xr_index *x);

#endif
