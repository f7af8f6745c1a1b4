/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Good streams of every kind, and mutants of them: every field of every header and the beginnings
 * and ends of all bodies changed in one bit or to a value at a border, cuts, and records left out,
 * doubled and exchanged. What is chosen at random a seed chooses.
 */
#ifndef XR_TEST_MUTANTS_H
#define XR_TEST_MUTANTS_H

#include "inspect/verifier.h"

#include <stdint.h>

#define MUTANTS_STREAMS 600u

struct mutants {
	struct {
		unsigned char *bytes;
		size_t size, start; /* start: of what Xen's verifier can read */
		const char *name, *form;
	} stream[MUTANTS_STREAMS];
	unsigned int streams;
	struct variant *all;
	size_t n, room;
};

void mutants_make(struct mutants *m, uint64_t seed);
void mutants_free(struct mutants *m);

#endif
