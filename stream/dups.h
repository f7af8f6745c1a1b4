/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which entries of a record name the same pfn. By radix sort: the time does not depend on what the
 * stream says, as it would with a hash.
 */
#ifndef XR_DUPS_H
#define XR_DUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XR_DUPS_MAX 65536u

struct xr_dups {
	uint64_t sort[2][XR_DUPS_MAX];
	uint32_t before[XR_DUPS_MAX]; /* the entry before that names the same pfn, plus one */
	bool replaced[XR_DUPS_MAX];   /* its contents are void: see below */
};

/*
 * Fills before[] and replaced[] for n <= XR_DUPS_MAX entries with pfns below 2^36. An entry's
 * contents are void if a later entry names the same pfn with contents, or takes the frame away;
 * XALLOC alone leaves them. Returns whether any pfn is named twice.
 */
bool xr_dups_find(struct xr_dups *d, const uint64_t *entries, size_t n);

#endif
