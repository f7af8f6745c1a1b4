/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/arena.h"

#include "base/shared.h"

#include <errno.h>

static size_t align64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

int xr_arena_create(struct xr_arena **out, unsigned int nlanes)
{
	unsigned int size;
	size_t ring = align64(xr_ring_bytes(XR_LANE_ITEMS, &size));
	size_t head = align64(sizeof(struct xr_arena) + nlanes * sizeof(struct xr_lane));
	size_t bytes = head + nlanes * ring;
	struct xr_arena *a;
	int fd;

	a = xr_shared_create("xr-arena", bytes, &fd);
	if (!a)
		return -ENOMEM;
	a->bytes = bytes;
	a->fd = fd;
	a->nlanes = nlanes;
	xr_event_init(&a->progress);
	for (unsigned int i = 0; i < nlanes; i++) {
		struct xr_lane *l = &a->lane[i];

		xr_event_init(&l->work);
		l->stats.lowest_differing = XR_NO_PFN;
		l->ring_at = (size_t)((char *)a + head + i * ring - (char *)l);
		xr_ring_init(xr_lane_ring(l), size);
	}
	*out = a;
	return 0;
}

void xr_arena_destroy(struct xr_arena *a)
{
	if (a)
		xr_shared_destroy(a, a->bytes, a->fd);
}

int xr_arena_attach(struct xr_arena **out, int fd)
{
	size_t bytes;

	*out = xr_shared_attach(fd, &bytes);
	return *out ? 0 : -errno;
}

struct xr_error *xr_arena_error(struct xr_arena *a, unsigned int reporter)
{
	return reporter == XR_NURSERY_LANE ? &a->nursery_error : &a->lane[reporter].error;
}

void xr_arena_report(struct xr_arena *a, unsigned int reporter)
{
	uint32_t none = 0;

	__atomic_compare_exchange_n(&a->first, &none, reporter + 1, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_ACQUIRE);
	xr_event_signal(&a->progress);
}

int xr_arena_check(struct xr_arena *a, struct xr_error *err)
{
	uint32_t first = __atomic_load_n(&a->first, __ATOMIC_ACQUIRE);
	const struct xr_error *e;

	if (!first)
		return 0;
	e = xr_arena_error(a, first - 1);
	if (err && !err->code)
		*err = *e;
	return e->code;
}

void xr_arena_stop(struct xr_arena *a)
{
	__atomic_store_n(&a->stop, 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < a->nlanes; i++)
		xr_event_signal(&a->lane[i].work);
}

void xr_item_drop(struct xr_copy_item *item, struct xr_bufpool *pool)
{
	int32_t buffer = __atomic_exchange_n(&item->buffer, -1, __ATOMIC_ACQ_REL);

	if (buffer >= 0)
		xr_bufpool_drop(pool, (unsigned int)buffer);
}

void xr_lane_discard(struct xr_lane *l, uint64_t pushed, struct xr_bufpool *pool)
{
	for (uint64_t seq = xr_read(&l->done); seq < pushed; seq++)
		xr_item_drop(&l->items[seq % XR_LANE_ITEMS], pool);
}
