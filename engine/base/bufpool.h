/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page-content buffers in shared memory: the stream stage fills them, copy workers (threads or
 * processes) empty them. A buffer is free, or held by a count of users; the last user frees it.
 */
#ifndef XR_BUFPOOL_H
#define XR_BUFPOOL_H

#include "base/event.h"

#include <stddef.h>
#include <stdint.h>

#define XR_BUFPOOL_MAX 64u

struct xr_bufpool {
	struct xr_event freed; /* signalled whenever a buffer becomes free */
	uint32_t count;
	uint32_t size;			/* bytes each, a multiple of the page size */
	uint32_t users[XR_BUFPOOL_MAX]; /* atomically accessed */
	int fd; /* of the memory, in the creator and whoever inherits it from there */
};

/* Shared memory for count buffers of size bytes each. NULL with errno. */
struct xr_bufpool *xr_bufpool_create(unsigned int count, size_t size);
/* The same pool in another program, by its fd, which is not needed afterwards. NULL with errno. */
struct xr_bufpool *xr_bufpool_attach(int fd);
/* By the creator. */
void xr_bufpool_destroy(struct xr_bufpool *p);

/* Take a free buffer with one user; its number, or -1 if none is free. Single taker. */
int xr_bufpool_take(struct xr_bufpool *p);
void xr_bufpool_hold(struct xr_bufpool *p, unsigned int buffer, uint32_t more);
void xr_bufpool_drop(struct xr_bufpool *p, unsigned int buffer);
unsigned char *xr_bufpool_data(const struct xr_bufpool *p, unsigned int buffer);
unsigned int xr_bufpool_in_use(const struct xr_bufpool *p);

#endif
