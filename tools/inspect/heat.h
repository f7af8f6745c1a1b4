/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How often contents were sent for which part of a guest, pass by pass, in memory that does not
 * grow with the guest: where the pfns outgrow the cells, two cells become one.
 */
#ifndef XR_INSPECT_HEAT_H
#define XR_INSPECT_HEAT_H

#include <stdint.h>

#define HEAT_CELLS 65536u
#define HEAT_PASSES 6u /* the first pass is not counted; the last holds all from there on */

struct heat {
	unsigned int order;	      /* a cell is 2^order pfns */
	uint32_t *count[HEAT_PASSES]; /* of passes 2, 3, ...; NULL until there is one */
};

/* n contents from pfn on, sent in a pass (from 1). 0 or -ENOMEM. */
int heat_add(struct heat *h, unsigned int pass, uint64_t pfn, uint64_t n);

/* Contents sent in [pfn, pfn + n), of column i; n is a multiple of the cell, or less than one. */
uint64_t heat_sum(const struct heat *h, unsigned int i, uint64_t pfn, uint64_t n);
void heat_free(struct heat *h);

#endif
