/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checkpoints of a stream made by hand: where they are, what stands behind each that is the
 * toolstack's, and the toolstack, which reads that, and nothing else, off the fd.
 */
#ifndef XR_TEST_CHECKPOINTS_H
#define XR_TEST_CHECKPOINTS_H

#include "lib/builder.h"
#include "lib/refmodel.h"
#include "xenrestore.h"

#define CHECKPOINTS_MAX 16u

struct checkpoints {
	unsigned int n;
	size_t end[CHECKPOINTS_MAX];	/* behind the CHECKPOINT record */
	size_t resume[CHECKPOINTS_MAX]; /* behind what is the toolstack's */
};

/* A CHECKPOINT record, and so many bytes that are not the stream's. */
void checkpoints_put(struct checkpoints *c, struct builder *b, size_t others);

/* How many are complete in the first `size` bytes of the stream: of what is behind the record
 * nothing is missing. */
unsigned int checkpoints_in(const struct checkpoints *c, size_t size);

/* What the records before the nth (from 1) make of a guest; ref is finished. */
void checkpoints_ref(const struct checkpoints *c, const struct builder *b, unsigned int n,
		     struct refmodel *ref);

/* The callbacks of a restore of such a stream; they log what they are asked in one letter each. */
struct toolstack {
	const struct checkpoints *c;
	const struct builder *b;
	int fd;
	unsigned int seen; /* checkpoints asked for */
	unsigned int at;   /* the question, from 1, that gets `answer`; 0: none */
	int answer;
	unsigned int questions;
	char asked[64]; /* c: checkpoint, r: results, p: postcopy, w: wait, s: suspend */
	uint64_t store_gfn, console_gfn;
	const char *wrong; /* what was not as it must be; NULL */
	void (*before_suspend)(void *arg);
	void *arg;
};

void toolstack_install(struct toolstack *t, struct xr_settings *set);

#endif
