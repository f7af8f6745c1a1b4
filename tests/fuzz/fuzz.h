/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fuzz targets share: their entry, and how they say what is wrong. */
#ifndef XR_FUZZ_H
#define XR_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* 0 always: what is wrong ends the program. Called from one thread, again and again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim about the library, in every build. */
#define fuzz_claim(holds, ...)                                                                     \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* An input, taken from the front. Behind its end everything is zero. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && in->left; i++, in->left--)
		value |= (uint64_t)*in->at++ << (8 * i);
	return value;
}

static inline void fuzz_skip(struct fuzz_input *in, size_t bytes)
{
	if (bytes > in->left)
		bytes = in->left;
	in->at += bytes;
	in->left -= bytes;
}

#endif
