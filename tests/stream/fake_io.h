/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader's input out of memory, that is as unhelpful as a kernel may be. */
#ifndef XR_TEST_FAKE_IO_H
#define XR_TEST_FAKE_IO_H

#include "stream/io.h"

#include <stdbool.h>
#include <stddef.h>

struct fake_io {
	const unsigned char *bytes;
	size_t n;
	uint64_t limit;	  /* a read that asks for a byte from here on fails the test */
	size_t step;	  /* the most that one read gives */
	size_t split;	  /* no read goes over this offset; 0: none */
	uint64_t fail_at; /* no read goes over this offset, and once one begins there it gives */
	int fail;	  /* this; 0: the end */
	uint64_t failed;  /* reads that were told so */
	uint64_t reads;	  /* behind the first of them, that were not */
	bool file;
	uint64_t random; /* file: vary step, and let reads ahead fail at times */
	bool open;

	uint64_t pos; /* of a pipe */
	struct {
		unsigned char *buf;
		size_t n;
		uint64_t offset;
		bool busy;
	} slot[XR_IO_SLOTS];
};

extern const struct xr_io_ops fake_ops;

#endif
