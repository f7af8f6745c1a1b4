/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small but complete libxc stream of an HVM guest, and what it must restore to. */
#ifndef TINY_STREAM_H
#define TINY_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct tiny {
	uint64_t populated;
	char sha256[65];
};

/* Write prefix bytes of something else and then the stream. */
void tiny_stream_write(FILE *f, uint64_t seed, size_t prefix, struct tiny *want);

#endif
