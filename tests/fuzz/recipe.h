/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fuzz input as a recipe: how to restore (its first RECIPE_HEAD bytes, at fixed places, so that a
 * mutation of the rest leaves them alone), then operations that make a stream record by record. Any
 * bytes are a recipe, few of them make a stream with thousands of frames, and most are well-formed.
 */
#ifndef XR_FUZZ_RECIPE_H
#define XR_FUZZ_RECIPE_H

#include "failures/trap.h"
#include "fuzz/fuzz.h"
#include "host/model.h"
#include "lib/checkpoints.h"
#include "xenrestore.h"

#define RECIPE_HEAD 40u
#define RECIPE_FAULTS 3u
#define RECIPE_BYTES (900u << 10) /* of the stream, at most: a pipe holds it */

struct recipe_fault {
	enum xr_model_call call;
	uint64_t nth; /* 0: none */
	int order, arg;
};

struct recipe {
	/* the restore */
	bool pipe, uring, bare;
	enum xr_policy policy;
	unsigned int max_order, ahead_mib;
	unsigned int start; /* of the stream in the file */

	/* what it is of; with checkpoints, what the toolstack answers to a question (from 1; 0:
	 * to none), to all others that it goes on */
	bool checkpointed, pv;
	unsigned int width; /* of the PV guest */
	unsigned int buffer_mib, answer_at;
	enum xr_answer answer;

	/* its domain; room: pages beyond what the guest needs, < 0: fewer */
	bool memory;
	int room;
	unsigned int start_pages, fail_from;

	/* what fails, where the build lets things fail */
	struct recipe_fault fault[RECIPE_FAULTS];
	bool traps, reads;
	enum trap_call trap;
	enum trap_read read;
	uint64_t trap_at; /* nth call, or byte */

	/* the stream */
	struct builder b;
	unsigned char *bytes;
	size_t size;
	size_t end;	       /* behind END, where nothing was damaged */
	size_t libxc;	       /* where the image header is, after damage */
	bool sound;	       /* nothing is wrong with it: it must be restored */
	bool cut;	       /* sound, but it ends before END */
	struct checkpoints cp; /* before any damage */
	unsigned int good;     /* of these the first so many are in the stream and must be good */
	uint64_t pfns;	       /* of a PV guest */
};

void recipe_read(struct recipe *r, const uint8_t *data, size_t size);
void recipe_free(struct recipe *r);

#endif
