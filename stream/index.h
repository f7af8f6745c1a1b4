/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the headers and pfn arrays of a regular file tell before any page content is read: the final
 * set of frames, and which contents a later pass replaces. It serves plain HVM streams in which all
 * pages stand together (between them at most records that are skipped): no VERIFY, no HVM_PARAMS
 * before a page, at most XR_INDEX_PASSES passes, ascending pfns in every record, and frames not so
 * scattered that the sets take more than XR_INDEX_BYTES. Other streams are restored without.
 *
 * How it is used: contents of the first pass count iff their pfn is in `want` and not in `later`.
 * Contents of a later pass count iff their pfn is in both; the user then takes it out of `later`
 * (the passes come last to second, so the newest wins). `later` may hold more: pfns that are not in
 * `want`, and pfns whose frame a later pass took away and gave anew without contents, so that those
 * of the first pass must not come back; it need not be empty at the end.
 */
#ifndef XR_INDEX_H
#define XR_INDEX_H

#include "base/pfnset.h"

#define XR_INDEX_PASSES 65536u
#define XR_INDEX_BYTES ((size_t)24 << 20) /* of the sets, while they are made */

/* A pass: a stretch of records whose pfns ascend strictly. */
struct xr_index_pass {
	uint64_t begin, end; /* file offsets */
	uint64_t record;     /* number of its first record */
};

/* Some records of the first pass, evenly spread, so that one is found again without much reading.
 */
#define XR_INDEX_MARKS 2048u

struct xr_index_mark {
	uint64_t pfn; /* the first it names */
	uint64_t offset, record;
};

struct xr_index {
	struct xr_pfnset *want;	 /* RAM at the end */
	struct xr_pfnset *later; /* contents are not to be taken from the first pass */
	struct xr_index_pass *passes;
	unsigned int npasses;
	struct xr_index_mark mark[XR_INDEX_MARKS];
	unsigned int nmarks;
	uint64_t records;
	uint64_t pages;	     /* contents in the stream */
	uint64_t live_pages; /* contents that are not replaced by later ones */
	uint64_t end_offset; /* behind END */
};

void xr_index_free(struct xr_index *x);

/* How many of the n > 0 entries, from the first on, are of one type at consecutive pfns. */
size_t xr_index_run(const uint64_t *entries, size_t n);

#endif
