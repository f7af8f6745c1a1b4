/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen's own verify-stream-v2, asked about many streams in one run of it. It is there where Debian's
 * xen-utils are installed, or lie unpacked in the cache of tests/inspect/fetch-verifier or of
 * tests/xen; XR_XEN_PYTHON names another place.
 */
#ifndef XR_TEST_VERIFIER_H
#define XR_TEST_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What is asked about: a stream that was put, cut after size bytes, n of them from `at` replaced.
 */
struct variant {
	unsigned int stream;
	size_t size, at;
	unsigned int n;
	unsigned char bytes[8];
};

struct verifier {
	char dir[32], python[512];
	FILE *list, *answers;
	unsigned int streams;
};

bool verifier_open(struct verifier *v); /* false: it is not here */
void verifier_close(struct verifier *v);

/* Returns the stream's number, counted from 0. */
unsigned int verifier_put(struct verifier *v, const void *bytes, size_t n);

/* form: "xl", "libxl" or "libxc", which begins at byte `start`. All are asked before the first
 * answer. */
void verifier_ask(struct verifier *v, const char *form, size_t start, const struct variant *what);

/* The next answer: does Xen take it, else why not. */
bool verifier_answer(struct verifier *v, char *why, size_t room);

#endif
