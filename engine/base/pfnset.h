/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sparse set of pfns (36 bits): full and empty 2M regions cost one word, a mixed one 64 bytes
 * more, a wholly empty stretch of 128 MiB one pointer that is not even touched. Not thread-safe.
 */
#ifndef XR_PFNSET_H
#define XR_PFNSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XR_PFN_BITS 36
#define XR_PFN_LIMIT ((uint64_t)1 << XR_PFN_BITS)

struct xr_pfnset;

enum xr_fill { XR_EMPTY, XR_MIXED, XR_FULL };

struct xr_pfnset *xr_pfnset_new(void); /* NULL: no memory */
void xr_pfnset_free(struct xr_pfnset *s);

bool xr_pfnset_has(const struct xr_pfnset *s, uint64_t pfn);

/* Add or remove n pfns from first on; all below XR_PFN_LIMIT. 0 or -ENOMEM, then unchanged in
 * part. Removing can need memory, too (a full region becomes a mixed one). */
int xr_pfnset_add(struct xr_pfnset *s, uint64_t first, uint64_t n);
int xr_pfnset_del(struct xr_pfnset *s, uint64_t first, uint64_t n);

/* How the aligned region of 2^order pfns (order >= 9) around pfn is filled. */
enum xr_fill xr_pfnset_fill(const struct xr_pfnset *s, uint64_t pfn, unsigned int order);

/* The 512 bits of the 2M region around pfn. */
void xr_pfnset_region(const struct xr_pfnset *s, uint64_t pfn, uint64_t bits[8]);

/* The lowest member (or, with `absent`, non-member) >= from; XR_PFN_LIMIT if there is none. */
uint64_t xr_pfnset_next(const struct xr_pfnset *s, uint64_t from, bool absent);

uint64_t xr_pfnset_count(const struct xr_pfnset *s);
size_t xr_pfnset_bytes(const struct xr_pfnset *s); /* memory it takes */

#endif
