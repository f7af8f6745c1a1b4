/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small PV guest, 64-bit or 32-bit, and streams of it: page tables that map all its memory
 * (themselves and the GDT read-only), a hole, frames without contents, two vcpus of which the
 * second is offline. Every part can be changed before it is emitted.
 */
#ifndef XR_TEST_PVGUEST_H
#define XR_TEST_PVGUEST_H

#include "lib/builder.h"

#define PVG_PFNS 2600u
#define PVG_PAGE 4096u
/* Where things are. L1 tables are from PVG_L1 on. */
enum {
	PVG_START = 8,
	PVG_STORE = 9,
	PVG_CONSOLE = 10,
	PVG_GDT = 11,
	PVG_P2M = 20,
	PVG_ROOT = 40, /* L4, or L3 of a 32-bit guest */
	PVG_USER = 41, /* the root of user mode, 64-bit */
	PVG_L3 = 42,   /* 64-bit */
	PVG_L2 = 43,
	PVG_L1 = 44, /* to 49 */
	PVG_HOLE = 1500,
	PVG_HOLE_END = 1540,
	PVG_XALLOC = 1541,
	PVG_BROKEN = 1542,
	PVG_DATA = 1000, /* some page */
};

struct pvguest {
	unsigned int width;
	unsigned char type[PVG_PFNS];
	unsigned char (*page)[PVG_PAGE]; /* by pfn, as they stand in the stream */
	unsigned char context[5168];
	uint32_t context_size;
};

void pvguest_init(struct pvguest *g, unsigned int width);
void pvguest_free(struct pvguest *g);

/* Entry i of the table at pfn. */
void pvguest_pte(struct pvguest *g, uint64_t pfn, unsigned int i, uint64_t to, uint64_t flags);

/* A word of the guest's width. */
void pvguest_put(const struct pvguest *g, unsigned char *base, unsigned int at, uint64_t value);

/* Up to the first page; PAGE_DATA of pfns [first, end) as they are now; all behind the last page,
 * END included. */
void pvguest_head(const struct pvguest *g, struct builder *b);
void pvguest_pages(const struct pvguest *g, struct builder *b, uint64_t first, uint64_t end);
void pvguest_tail(const struct pvguest *g, struct builder *b);

/* Of the tail: registers of vcpu 0, its other state, END. */
void pvguest_registers(const struct pvguest *g, struct builder *b);
void pvguest_state(struct builder *b);

/* One of them as a whole. */
void pvguest_stream(const struct pvguest *g, struct builder *b);

#endif
