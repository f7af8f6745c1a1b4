/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ring.h"

/*
 * ck orders by inline assembly, which TSan does not see: under it the ring itself is left out and
 * the hand-over is told by hand.
 */
#if defined(__SANITIZE_THREAD__)
#define XR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define XR_TSAN 1
#endif
#endif

#ifdef XR_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define hand_over(r) __tsan_release(r)
#define take_over(r) __tsan_acquire(r)
#else
#define hand_over(r) ((void)(r))
#define take_over(r) ((void)(r))
#endif

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

__attribute__((no_sanitize("thread"))) static bool enqueue(struct xr_ring *r, uint64_t value)
{
	struct ring_value v = { value };

	return ck_ring_enqueue_spsc_value(&r->ck, (struct ring_value *)r->slot, &v);
}

__attribute__((no_sanitize("thread"))) static bool dequeue(struct xr_ring *r, uint64_t *value)
{
	struct ring_value v;

	if (!ck_ring_dequeue_spsc_value(&r->ck, (struct ring_value *)r->slot, &v))
		return false;
	*value = v.v;
	return true;
}

bool xr_ring_push(struct xr_ring *r, uint64_t value)
{
	hand_over(r);
	return enqueue(r, value);
}

bool xr_ring_pop(struct xr_ring *r, uint64_t *value)
{
	if (!dequeue(r, value))
		return false;
	take_over(r);
	return true;
}

__attribute__((no_sanitize("thread"))) unsigned int xr_ring_used(const struct xr_ring *r)
{
	return ck_ring_size(&r->ck);
}
