/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How Xen maps a domain's memory, from its trace. No hypercall of a release build of Xen tells the
 * size of a p2m entry; but Xen traces every write to a p2m with gfn, type and order, so the p2m can
 * be followed from the domain's birth. What is found must add up to tot_pages: the caller compares.
 */
#include "xr-lab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <xen/trace.h>
#include <xen/xen.h>

#define MAX_GFN (1ul << 24)
#define NO_MFN (~0ull)

/* p2m types that are memory of the guest: ram_rw, ram_logdirty, ram_ro (stable for many years) */
static bool is_ram(uint32_t type)
{
	return type == 0 || type == 2 || type == 3;
}

struct p2m {
	uint8_t *order; /* per gfn: 1 + order of the entry that maps it, 0: none */
	unsigned long writes, lost, splits;
};

/* TRC_MEM_SET_P2M_ENTRY */
struct p2m_write {
	uint64_t gfn, mfn;
	uint32_t type;
	uint16_t domid, order;
};

static void shatter(struct p2m *p, uint64_t gfn, unsigned int to)
{
	unsigned int from = p->order[gfn] ? p->order[gfn] - 1u : 0;
	uint64_t base = gfn & ~((1ull << from) - 1);

	if (from <= to)
		return;
	p->splits++;
	for (uint64_t i = base; i < base + (1ull << from); i++)
		p->order[i] = 1;
}

static void apply(struct p2m *p, const struct p2m_write *w)
{
	uint64_t n = 1ull << (w->order < 20 ? w->order : 20);
	uint8_t value = 0;

	if (is_ram(w->type) && w->mfn != NO_MFN)
		value = (uint8_t)(1 + w->order);
	p->writes++;
	for (uint64_t i = 0; i < n && w->gfn + i < MAX_GFN; i++) {
		shatter(p, w->gfn + i, w->order);
		p->order[w->gfn + i] = value;
	}
}

/* Read one record's payload into words[7]; returns how many, -1 at the end. */
static int next(FILE *f, uint32_t *event, uint32_t words[7])
{
	uint32_t head, skipped[2];
	unsigned int n;

	if (fread(&head, 4, 1, f) != 1)
		return -1;
	*event = head & 0x0fffffff;
	n = head >> 28 & 7;
	if (head >> 31 && fread(skipped, 4, 2, f) != 2)
		return -1;
	return fread(words, 4, n, f) == n ? (int)n : -1;
}

static void print(const struct p2m *p)
{
	unsigned long pages[21] = { 0 };

	for (unsigned long g = 0; g < MAX_GFN; g++)
		if (p->order[g] && p->order[g] <= 21)
			pages[p->order[g] - 1]++;
	printf("p2m=%lu 1g=%lu 2m=%lu 4k=%lu splits=%lu lost=%lu\n",
	       pages[18] + pages[9] + pages[0], pages[18] >> 18, pages[9] >> 9, pages[0], p->splits,
	       p->lost);
}

int p2m_print(const char *path, unsigned int domid)
{
	struct p2m p = { .order = calloc(MAX_GFN, 1) };
	union {
		uint32_t words[7];
		struct p2m_write write;
	} u;
	FILE *f = fopen(path, "re");
	uint32_t event;
	int n;

	if (!f || !p.order)
		return 1;
	while ((n = next(f, &event, u.words)) >= 0) {
		if (event == TRC_LOST_RECORDS)
			p.lost += u.words[0];
		else if (event == TRC_MEM_SET_P2M_ENTRY && n == 6 && u.write.domid == domid)
			apply(&p, &u.write);
	}
	fclose(f);
	print(&p);
	free(p.order);
	return p.writes ? 0 : 1;
}
