/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams in memory, inspected and restored. */
#ifndef XR_TEST_LOOK_H
#define XR_TEST_LOOK_H

#include "inspect/inspect.h"
#include "lib/feed.h"
#include "lib/random.h"

/* Inspect bytes as a source of this kind; the findings are the caller's to free with unlook(). */
struct inspect *look(enum feed_kind kind, const void *bytes, size_t n, uint64_t seed);
struct inspect *look_with(enum feed_kind kind, const void *bytes, size_t n, uint64_t seed,
			  bool contents, bool map);
void unlook(struct inspect *in);

/* Restore them as a file on a model. Returns xr_run()'s result. */
int restore(const void *bytes, size_t n, uint64_t seed, struct xr_result *res,
	    struct xr_error *err);

/* The first problem of this severity whose text has the word in it, or NULL. */
const struct inspect_problem *problem(const struct inspect *in, enum inspect_severity severity,
				      const char *word);

uint64_t seeds(uint64_t otherwise); /* XR_SEEDS, or a share of it */

#endif
