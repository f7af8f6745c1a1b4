/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect/heat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void halve(struct heat *h)
{
	for (unsigned int i = 0; i < HEAT_PASSES; i++) {
		uint32_t *c = h->count[i];

		if (!c)
			continue;
		for (unsigned int k = 0; k < HEAT_CELLS / 2; k++)
			c[k] = c[2 * k] + c[2 * k + 1];
		memset(c + HEAT_CELLS / 2, 0, HEAT_CELLS / 2 * sizeof(*c));
	}
	h->order++;
}

int heat_add(struct heat *h, unsigned int pass, uint64_t pfn, uint64_t n)
{
	unsigned int i = pass - 2;

	while ((pfn + n - 1) >> h->order >= HEAT_CELLS)
		halve(h);
	if (pass < 2)
		return 0;
	i = i < HEAT_PASSES ? i : HEAT_PASSES - 1;
	if (!h->count[i])
		h->count[i] = calloc(HEAT_CELLS, sizeof(uint32_t));
	if (!h->count[i])
		return -ENOMEM;
	while (n) {
		const uint64_t cell = pfn >> h->order, left = ((cell + 1) << h->order) - pfn;
		const uint64_t part = n < left ? n : left;

		h->count[i][cell] += (uint32_t)part;
		pfn += part;
		n -= part;
	}
	return 0;
}

uint64_t heat_sum(const struct heat *h, unsigned int i, uint64_t pfn, uint64_t n)
{
	uint64_t sum = 0;

	if (!h->count[i])
		return 0;
	for (uint64_t cell = pfn >> h->order; cell <= (pfn + n - 1) >> h->order; cell++)
		sum += cell < HEAT_CELLS ? h->count[i][cell] : 0;
	return sum;
}

void heat_free(struct heat *h)
{
	for (unsigned int i = 0; i < HEAT_PASSES; i++)
		free(h->count[i]);
	memset(h, 0, sizeof(*h));
}
