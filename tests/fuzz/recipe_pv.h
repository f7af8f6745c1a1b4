/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recipes of PV guests. Each begins with the same small guest: page tables that map all of it, the
 * frames that its state names, and ordinary memory; operations then change words of it, before or
 * after it is sent.
 */
#ifndef XR_FUZZ_RECIPE_PV_H
#define XR_FUZZ_RECIPE_PV_H

#include "fuzz/recipe_ops.h"

#define PV_OWN 64u   /* pfns below have a part in the guest's state, or might */
#define PV_PFNS 600u /* of the guest as it begins */

/* Up to the first page; bare: without all that, to be made by operations or to be missing. */
void recipe_pv_begin(struct cook *c, bool bare);

/* Pages of pfns [first, end) as they are now. */
void recipe_pv_image(struct cook *c, uint64_t first, uint64_t end);

/* What comes behind the pages. */
void recipe_pv_state(struct cook *c);

/* Does an entry leave the guest sound? */
bool recipe_pv_fits(const struct cook *c, uint64_t pfn, unsigned int type);

/* Contents of the guest's own pages. False: it is none. */
bool recipe_pv_contents(const struct cook *c, uint64_t pfn, unsigned char *page);

uint64_t recipe_pv_place(struct cook *c, unsigned int base);

/* Operations. */
void recipe_pv_some_image(struct cook *c); /* all of it again, or some of it */
void recipe_pv_entry(struct cook *c);	   /* an entry of a page table */
void recipe_pv_word(struct cook *c);	   /* of start info, registers or shared info */
void recipe_pv_frames(struct cook *c);	   /* more P2M_FRAMES */
void recipe_pv_vcpu(struct cook *c);	   /* some state of some vcpu */

#endif
