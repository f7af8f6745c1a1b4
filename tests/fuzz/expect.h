/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a recipe's stream must restore to: where its bytes, damaged or not, have checkpoints, which
 * of them the toolstack makes complete, and the guest as the reference models read it up to there.
 */
#ifndef XR_FUZZ_EXPECT_H
#define XR_FUZZ_EXPECT_H

#include "fuzz/recipe.h"
#include "lib/pvref.h"
#include "lib/refmodel.h"

#define EXPECT_CHECKPOINTS 64u /* nobody asks for more; then the toolstack fails over */

struct expect {
	const struct recipe *r;

	/* CHECKPOINT records in these bytes: offsets behind each, and behind what follows it of the
	 * toolstack's */
	unsigned int n;
	size_t end[EXPECT_CHECKPOINTS], resume[EXPECT_CHECKPOINTS];
	unsigned int complete; /* at most so many become complete */
	bool fails;	       /* a restore that finds nothing wrong fails for all that */

	/* The guest after `upto` of them, or at END: */
	unsigned int upto;
	unsigned char *bytes; /* what it was read from */
	size_t ref_end;	      /* 0: the reference model cannot read it */
	struct refmodel ref;
	struct pvref pv;
};

void expect_read(struct expect *x, const struct recipe *r);
void expect_free(struct expect *x);

/* Read the guest anew, after the nth checkpoint. */
void expect_upto(struct expect *x, unsigned int n);

/* The toolstack of a checkpointed stream: what it is asked and finds must be as expected. */
struct counterpart {
	const struct expect *x;
	int fd;
	unsigned int asked;
};
int counterpart_checkpoint(void *opaque);

#endif
