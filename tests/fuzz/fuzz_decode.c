/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes through the layers and the decoder: no crash, no read too far, and a refusal that says
 * what is wrong. With -Dfuzz=true and clang a libFuzzer target; else a program that plays back the
 * files it is given.
 */
#include "stream/walk.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(const uint8_t *data, size_t size, bool checkpointed)
{
	struct xr_error err;
	struct walk w;
	int rc;

	xr_error_clear(&err);
	rc = walk_stream(&w, data, size, checkpointed, &err);
	if (rc == 0 && (err.code || w.end > size))
		abort();
	if (rc == -ENODATA && err.code)
		abort();
	if (rc && rc != -ENODATA && (rc != err.code || !err.text[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(data, size, false);
	one(data, size, true);
	return 0;
}
