/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect/look.h"

#include "host/model.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct inspect *look_with(enum feed_kind kind, const void *bytes, size_t n, uint64_t seed,
			  bool contents, bool map)
{
	struct inspect *in = calloc(1, sizeof(*in));
	struct xr_error err;
	struct feed f;

	cr_assert_not_null(in);
	cr_assert_eq(feed_open(&f, kind, bytes, n, seed), 0);
	in->fd = f.fd;
	in->max_order = 9;
	in->contents = contents;
	in->map = map;
	cr_assert_eq(inspect_run(in, &err), 0, "seed %lu: %s", seed, err.text);
	feed_close(&f);
	return in;
}

struct inspect *look(enum feed_kind kind, const void *bytes, size_t n, uint64_t seed)
{
	return look_with(kind, bytes, n, seed, false, false);
}

void unlook(struct inspect *in)
{
	inspect_free(in);
	free(in);
}

int restore(const void *bytes, size_t n, uint64_t seed, struct xr_result *res, struct xr_error *err)
{
	struct xr_restore *r = NULL;
	struct xr_settings set;
	struct feed f;
	int rc;

	cr_assert_eq(feed_open(&f, FEED_FILE, bytes, n, seed), 0);
	xr_settings_default(&set);
	set.fd = f.fd;
	set.host = XR_HOST_MODEL;
	set.workers = 1;
	set.worker_kind = XR_WORKER_THREAD;
	rc = xr_open(&r, &set, err);
	if (!rc)
		rc = xr_run(r, res, err);
	xr_close(&r);
	feed_close(&f);
	return rc;
}

const struct inspect_problem *problem(const struct inspect *in, enum inspect_severity severity,
				      const char *word)
{
	for (unsigned int i = 0; i < in->nproblems; i++)
		if (in->problems[i].severity == severity && strstr(in->problems[i].what.text, word))
			return &in->problems[i];
	return NULL;
}

uint64_t seeds(uint64_t otherwise)
{
	const char *text = getenv("XR_SEEDS");
	const uint64_t asked = text ? strtoull(text, NULL, 0) : 800;

	return asked < 800 ? otherwise * asked / 800 + 1 : otherwise;
}
