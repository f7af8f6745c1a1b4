/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The digest of a guest: SHA-256 over, for each frame in ascending order, its pfn as a
 * little-endian u64 and its 4096 bytes. Manifests of streams state it. */
#ifndef XR_TEST_DIGEST_H
#define XR_TEST_DIGEST_H

#include "host/model.h"

#include <stdint.h>

/* Yields the next frame in ascending order: 1, 0 at the end, or a negative errno. */
typedef int (*digest_next)(void *opaque, uint64_t *pfn, void *page);

/* 0 or the negative errno of next; hex gets 64 lower-case digits and a NUL. */
int digest_pages(digest_next next, void *opaque, char hex[65]);

/* Of the guest of a model host. */
int digest_model(struct xr_model *m, char hex[65]);

#endif
