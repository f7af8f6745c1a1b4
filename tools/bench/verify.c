/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is the guest that a restorer left the right one? */
#include "bench/bench.h"

#include "cli/guest_digest.h"
#include "host/model.h"

#include <errno.h>
#include <string.h>

#define SAMPLES 256u

/* One of each stretch of pfns, another in each run. */
static uint64_t sample(uint64_t pfns, uint64_t i, uint64_t run)
{
	const uint64_t stretch = (pfns + SAMPLES - 1) / SAMPLES;
	const uint64_t pfn = i * stretch + (i + 1) * (run + 1) * 0x9e3779b97f4a7c15 % stretch;

	return pfn < pfns ? pfn : pfns - 1;
}

/* Some frames against the generator's oracle; the tests check them all. */
static int sample_contents(const struct xr_gen_options *o, struct xr_model *m, uint64_t run,
			   uint64_t *wrong)
{
	const uint64_t pfns = xr_gen_pfns(o);
	unsigned char want[4096], got[4096];

	for (uint64_t i = 0; i < SAMPLES; i++) {
		const uint64_t pfn = *wrong = sample(pfns, i, run);
		const bool there = xr_gen_expect_page(o, pfn, want);
		const int rc = xr_model_peek(m, pfn, got);

		if (there ? rc || memcmp(want, got, sizeof(want)) : rc != -ENOENT)
			return -EBADMSG;
	}
	return 0;
}

/* Of a given stream nobody knows what it holds: all restorers must come to the same. */
static int compare_contents(struct bench_stream *s, struct xr_model *m, char *text, size_t size)
{
	char digest[sizeof(s->digest)];
	int rc = xr_guest_digest(m, digest);

	if (rc)
		snprintf(text, size, "left a guest that cannot be read: %s", strerror(-rc));
	else if (!*s->digest)
		memcpy(s->digest, digest, sizeof(digest));
	else if (strcmp(s->digest, digest) != 0) {
		snprintf(text, size,
			 "restored other contents (SHA-256 %.16s...) than the run before it "
			 "(%.16s...)",
			 digest, s->digest);
		rc = -EBADMSG;
	}
	return rc;
}

int bench_verify(const struct bench_cell *c, struct xr_model *m, const struct bench_run *run,
		 char *text, size_t size)
{
	struct bench_stream *s = c->stream;
	struct xr_model_stats st;
	uint64_t pfn;

	if (!s->populated)
		s->populated = run->populated;
	if (run->populated != s->populated) {
		snprintf(text, size, "restored %llu frames where %llu are due",
			 (unsigned long long)run->populated, (unsigned long long)s->populated);
		return -EBADMSG;
	}
	if (!m)
		return 0;
	xr_model_stats(m, &st);
	if (st.leaked) {
		snprintf(text, size, "leaked %llu frames", (unsigned long long)st.leaked);
		return -EBADMSG;
	}
	if (!s->generated)
		return compare_contents(s, m, text, size);
	if (sample_contents(&s->gen, m, c->done, &pfn)) {
		snprintf(text, size, "restored pfn %#llx wrongly", (unsigned long long)pfn);
		return -EBADMSG;
	}
	return 0;
}
