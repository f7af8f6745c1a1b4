/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bufpool.h"
#include "base/delay.h"
#include "base/shared.h"

#include <errno.h>
#include <string.h>

#define HEADER 4096u

struct xr_bufpool *xr_bufpool_create(unsigned int count, size_t size)
{
	struct xr_bufpool *p;
	int fd;

	if (!count || count > XR_BUFPOOL_MAX || !size || size % HEADER || size > UINT32_MAX) {
		errno = EINVAL;
		return NULL;
	}
	_Static_assert(sizeof(*p) <= HEADER, "the header fits in its page");
	p = xr_shared_create("xr-buffers", HEADER + count * size, &fd);
	if (!p)
		return NULL;
	xr_event_init(&p->freed);
	p->count = count;
	p->size = (uint32_t)size;
	p->fd = fd;
	return p;
}

struct xr_bufpool *xr_bufpool_attach(int fd)
{
	size_t size;

	return xr_shared_attach(fd, &size);
}

void xr_bufpool_destroy(struct xr_bufpool *p)
{
	if (p)
		xr_shared_destroy(p, HEADER + (size_t)p->count * p->size, p->fd);
}

int xr_bufpool_take(struct xr_bufpool *p)
{
	xr_delay();
	for (unsigned int i = 0; i < p->count; i++) {
		if (__atomic_load_n(&p->users[i], __ATOMIC_ACQUIRE) == 0) {
			__atomic_store_n(&p->users[i], 1, __ATOMIC_RELAXED);
			return (int)i;
		}
	}
	return -1;
}

void xr_bufpool_hold(struct xr_bufpool *p, unsigned int buffer, uint32_t more)
{
	xr_delay();
	__atomic_fetch_add(&p->users[buffer], more, __ATOMIC_RELAXED);
}

void xr_bufpool_drop(struct xr_bufpool *p, unsigned int buffer)
{
	xr_delay();
	if (__atomic_sub_fetch(&p->users[buffer], 1, __ATOMIC_ACQ_REL) == 0)
		xr_event_signal(&p->freed);
}

unsigned char *xr_bufpool_data(const struct xr_bufpool *p, unsigned int buffer)
{
	return (unsigned char *)(uintptr_t)p + HEADER + (size_t)buffer * p->size;
}

unsigned int xr_bufpool_in_use(const struct xr_bufpool *p)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->count; i++)
		n += __atomic_load_n(&p->users[i], __ATOMIC_RELAXED) != 0;
	return n;
}
