/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the operations of a recipe share (recipe_ops.c); those of PV guests are in recipe_pv.c. */
#ifndef XR_FUZZ_RECIPE_OPS_H
#define XR_FUZZ_RECIPE_OPS_H

#include "fuzz/recipe.h"

#define PAGE 4096u
#define ENTRIES 2600u /* to a record, at most */
#define ALL_ENTRIES 6000u
#define ALL_PAGES 160u

struct cook {
	struct recipe *r;
	struct builder *b;
	struct fuzz_input *in;
	uint64_t entry[ENTRIES];
	uint32_t n, data; /* of the record at hand */
	uint32_t all, pages;
	uint64_t pfn, first;
	bool begun, static_due, verify;
	uint32_t once; /* parameters that can be set once and were, a bit each */

	/* of a PV guest */
	bool image; /* all of it was sent */
	uint64_t max_pfn;
};

/* Carry out the operations: fills r->b and r->cp, sets r->sound, r->good and r->bare. */
void recipe_cook(struct recipe *r, struct fuzz_input *in);

static inline unsigned int byte(struct cook *c)
{
	return (unsigned int)fuzz_take(c->in, 1);
}

static inline void unsound(struct cook *c)
{
	c->r->sound = false;
}

/* An entry for the record at hand; end that record. */
void recipe_add(struct cook *c, uint64_t pfn, unsigned int type);
void recipe_flush(struct cook *c);

/* A pfn, a number of pages, as the input says. */
uint64_t recipe_place(struct cook *c);
unsigned int recipe_length(struct cook *c);

#endif
