/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ring.h"
#include "base/delay.h"
#include "base/tsan.h"

struct ring_value {
	uint64_t v;
};
CK_RING_PROTOTYPE(value, ring_value)

size_t xr_ring_bytes(unsigned int room, unsigned int *size)
{
	unsigned int n = 4;

	while (n < room + 1)
		n <<= 1;
	*size = n;
	return sizeof(struct xr_ring) + n * sizeof(uint64_t);
}

void xr_ring_init(struct xr_ring *r, unsigned int size)
{
	ck_ring_init(&r->ck, size);
}

bool xr_ring_push(struct xr_ring *r, uint64_t value)
{
	struct ring_value v = { value };
	bool done;

	xr_delay();
	xr_tsan_hand_over(r);
	xr_tsan_ignore();
	done = ck_ring_enqueue_spsc_value(&r->ck, (struct ring_value *)r->slot, &v);
	xr_tsan_heed();
	xr_delay();
	return done;
}

bool xr_ring_pop(struct xr_ring *r, uint64_t *value)
{
	struct ring_value v;
	bool done;

	xr_delay();
	xr_tsan_ignore();
	done = ck_ring_dequeue_spsc_value(&r->ck, (struct ring_value *)r->slot, &v);
	xr_tsan_heed();
	xr_delay();
	if (!done)
		return false;
	xr_tsan_take_over(r);
	*value = v.v;
	return true;
}

unsigned int xr_ring_used(const struct xr_ring *r)
{
	return ck_ring_size(&r->ck);
}
