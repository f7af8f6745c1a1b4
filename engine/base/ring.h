/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded single-producer single-consumer queue of u64 (ck_ring) for one address space or shared
 * memory: indices and values only, no pointers of its own. Visibility: what the producer wrote
 * before xr_ring_push() is seen by the consumer after xr_ring_pop() returned the value.
 */
#ifndef XR_RING_H
#define XR_RING_H

#include <ck_ring.h>
#include <stdbool.h>
#include <stdint.h>

struct xr_ring {
	struct ck_ring ck;
	uint64_t slot[]; /* size: a power of two; one stays free */
};

/* Bytes that a ring with room for at least `room` values takes; *size is what init wants. */
size_t xr_ring_bytes(unsigned int room, unsigned int *size);
void xr_ring_init(struct xr_ring *r, unsigned int size);
bool xr_ring_push(struct xr_ring *r, uint64_t value); /* false: full */
bool xr_ring_pop(struct xr_ring *r, uint64_t *value); /* false: empty */
unsigned int xr_ring_used(const struct xr_ring *r);

#endif
