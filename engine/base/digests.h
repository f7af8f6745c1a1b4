/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The digests of what was written into a guest, one for each pfn, shared by the engine and the copy
 * workers. A worker takes a page's digest from the frame itself once it has written it, so that the
 * newest version of a page replaces the older one as the contents do, and nothing is read twice.
 * Memory is taken only where frames are: a page for each 2M region.
 *
 * Any thread or process may set an entry; one pfn is set by one of them at a time, by the order
 * that holds for its contents.
 */
#ifndef XR_DIGESTS_H
#define XR_DIGESTS_H

#include "xenrestore.h"

/* Entries other than the digest of a page, which is none of these. */
#define XR_DIGEST_NONE 0u /* nothing was written, or the frame was taken away since */
#define XR_DIGEST_OWN 1u  /* the restore made these contents itself */

#define XR_REGION_PAGES 512u

struct xr_digests;

struct xr_digests *xr_digests_create(void); /* NULL with errno */
struct xr_digests *xr_digests_attach(int fd);
void xr_digests_destroy(struct xr_digests *d);
int xr_digests_fd(const struct xr_digests *d);

/* pfn < XR_PFN_LIMIT */
void xr_digests_set(struct xr_digests *d, uint64_t pfn, uint64_t entry);

/* Of 4096 bytes at this pfn: the same bytes elsewhere give another one. */
uint64_t xr_digest_page(uint64_t pfn, const void *page);

/* The lowest region, from that of this pfn on, with an entry other than NONE. False: there is none.
 * What was set before by others is seen once they have told that they did. */
bool xr_digests_region(const struct xr_digests *d, uint64_t from, struct xr_region *out);

/* How many regions were ever touched. */
uint64_t xr_digests_regions(const struct xr_digests *d);

/* Over the XR_REGION_PAGES entries of a region. */
uint64_t xr_digest_region(const uint64_t *entries);

/* Over regions in ascending order, beginning with 0: their digests and which of their pages count.
 */
uint64_t xr_digest_add_region(uint64_t so_far, const struct xr_region *region);

/* Over records in the order of the stream, beginning with 0. */
uint64_t xr_digest_add_record(uint64_t so_far, uint32_t type, const void *body, uint32_t length);

#endif
