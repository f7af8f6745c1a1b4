/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One restore of one stream through the public interface into a model host, and all that must be
 * true of it afterwards. */
#ifndef XR_TEST_RUN_H
#define XR_TEST_RUN_H

#include "lib/random.h"
#include "props/combo.h"

struct run {
	struct combo combo;
	enum damage damage;
	uint64_t seed;	/* of the damage, the write sizes, the pages owned from the start */
	char why[1024]; /* what is wrong; empty: nothing */
};

/* Restore the stream as r says. False, and r->why, if anything is not as it must be. */
bool run_stream(struct run *r, const struct random_stream *s);

/*
 * Restore the stream of this seed: with RANDOM_ALL features and a random combination, or as the
 * environment says (XR_COMBO, XR_FEATURES, XR_MAX_DATA, XR_MAX_PFNS, XR_MAX_PASSES). On failure it
 * looks for a smaller stream that fails too and says how to replay it.
 */
bool run_seed(uint64_t seed, enum damage damage, char *why, size_t room);

/* The stream of this seed in one way; on failure it is not made smaller. */
bool run_seed_as(uint64_t seed, const struct combo *combo, enum damage damage, char *why,
		 size_t room);

#endif
