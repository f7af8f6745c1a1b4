/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes in memory through the layers' parser and the decoder alone: what tests and fuzzers share.
 */
#ifndef XR_TEST_WALK_H
#define XR_TEST_WALK_H

#include "stream/decode.h"

#include <stddef.h>

struct walk {
	struct xr_decoder dec;
	uint64_t records, pages, entries;
	uint64_t end;	 /* offset behind END */
	uint64_t digest; /* of all that was decoded: types, bodies, entries, contents */
};

/* 0 at END (or CHECKPOINT, if legal), -ENODATA where bytes are missing, or the decoder's error. */
int walk_stream(struct walk *w, const unsigned char *bytes, size_t n, bool checkpointed,
		struct xr_error *err);

#endif
