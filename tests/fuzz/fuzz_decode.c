/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes through the layers and the decoder: no crash, no read too far, and a refusal that says
 * what is wrong.
 */
#include "fuzz/fuzz.h"
#include "stream/walk.h"

#include <errno.h>

static void one(const uint8_t *data, size_t size, bool checkpointed)
{
	struct xr_error err;
	struct walk w;
	int rc;

	xr_error_clear(&err);
	rc = walk_stream(&w, data, size, checkpointed, &err);
	fuzz_claim(rc || (!err.code && w.end <= size), "the end lies behind the bytes");
	fuzz_claim(rc != -ENODATA || !err.code, "an error where there is none");
	fuzz_claim(!rc || rc == -ENODATA || (rc == err.code && err.text[0]), "%d: says nothing",
		   rc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(data, size, false);
	one(data, size, true);
	return 0;
}
