/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of what was written. */
#include "base/digests.h"
#include "base/pfnset.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static struct xr_digests *table(void)
{
	struct xr_digests *d = xr_digests_create();

	cr_assert_not_null(d);
	return d;
}

Test(digests, a_page_s_digest_is_what_is_promised)
{
	unsigned char page[4096];

	for (unsigned int i = 0; i < sizeof(page); i++)
		page[i] = (unsigned char)(i * 7 + i / 256);
	for (uint64_t pfn = 0; pfn < 5; pfn++)
		cr_expect_eq(xr_digest_page(pfn, page),
			     XXH3_64bits_withSeed(page, sizeof(page), pfn));
	cr_expect_neq(xr_digest_page(1, page), xr_digest_page(2, page), "pages may not be swapped");
	page[4095] ^= 1;
	cr_expect_neq(xr_digest_page(0, page), XR_DIGEST_NONE);
}

Test(digests, regions_are_found_in_order)
{
	static const uint64_t pfns[] = { XR_PFN_LIMIT - 1, 511, 512, 40000000, 0 };
	static const uint64_t firsts[] = { 0, 512, 39999488 + 512, XR_PFN_LIMIT - 512 };
	uint64_t entry[XR_REGION_PAGES] = { 0 }, from = 0;
	struct xr_digests *d = table();
	struct xr_region r;

	cr_expect(!xr_digests_region(d, 0, &r));
	for (unsigned int i = 0; i < 5; i++)
		xr_digests_set(d, pfns[i], 1000 + i);
	xr_digests_set(d, 513, XR_DIGEST_OWN);
	for (unsigned int i = 0; i < 4; i++) {
		cr_assert(xr_digests_region(d, from, &r));
		cr_expect_eq(r.first, firsts[i] & ~511ull, "%u: %lu", i, r.first);
		from = r.first + 512;
		if (i == 0) {
			entry[0] = 1004, entry[511] = 1001;
			cr_expect_eq(r.digest, XXH3_64bits(entry, sizeof(entry)));
			cr_expect(r.written[0] == 1 && r.written[7] == 1ull << 63 && !r.own[0]);
		}
		if (i == 1)
			cr_expect(r.written[0] == 1 && r.own[0] == 2);
	}
	cr_expect(!xr_digests_region(d, XR_PFN_LIMIT - 1 + 512, &r));
	xr_digests_destroy(d);
}

Test(digests, what_is_taken_away_is_gone)
{
	struct xr_digests *d = table();
	struct xr_region r;

	xr_digests_set(d, 70, 9);
	xr_digests_set(d, 70, XR_DIGEST_NONE);
	cr_expect(!xr_digests_region(d, 0, &r));
	xr_digests_set(d, 70, 10);
	cr_expect(xr_digests_region(d, 0, &r));
	xr_digests_destroy(d);
}

Test(digests, memory_is_taken_where_frames_are)
{
	struct xr_digests *d = table();
	struct xr_region r;
	struct stat st;

	for (uint64_t pfn = 0; pfn < XR_PFN_LIMIT; pfn += XR_PFN_LIMIT / 4096)
		xr_digests_set(d, pfn, XR_DIGEST_NONE);
	xr_digests_set(d, 5, 7);
	xr_digests_set(d, XR_PFN_LIMIT - 1, 7);
	cr_expect(xr_digests_region(d, 512, &r));
	cr_assert_eq(fstat(xr_digests_fd(d), &st), 0);
	/* Two regions, the head, and what bits of regions were looked at: 16 MiB at most. */
	cr_expect_leq(st.st_blocks * 512, (16 << 20) + 5 * 4096);
	xr_digests_destroy(d);
}

Test(digests, processes_share_it)
{
	struct xr_digests *d = table(), *again;
	struct xr_region r;
	pid_t child = fork();
	int status;

	if (!child) {
		again = xr_digests_attach(xr_digests_fd(d));
		xr_digests_set(again, 1234567, 42);
		_exit(0);
	}
	cr_assert(waitpid(child, &status, 0) == child && status == 0);
	cr_assert(xr_digests_region(d, 0, &r));
	cr_expect_eq(r.first, 1234567 & ~511ull);
	xr_digests_destroy(d);
}
