/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_FUZZ_RECIPE_OPS_H
#define XR_FUZZ_RECIPE_OPS_H

#include "fuzz/recipe.h"

/* Carry out the operations: fills r->b, sets r->sound and r->bare. */
void recipe_cook(struct recipe *r, struct fuzz_input *in);

#endif
