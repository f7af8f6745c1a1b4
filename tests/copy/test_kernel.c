/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contents from a file: straight into the frames, or by way of scratch where they are looked at. */
#include "copy/kernel.h"

#include "lib/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES 300u
#define START 77u /* of the contents in the file */

static unsigned char to[PAGES][PAGE], scratch[XR_SCRATCH_PAGES][PAGE];
static uint64_t pfns[PAGES];
static uint32_t list[PAGES];

static unsigned char byte_of(uint32_t page)
{
	return (unsigned char)(page * 7 + 1);
}

static int make_file(unsigned int pages)
{
	const int fd = memfd_create("contents", MFD_CLOEXEC);
	unsigned char page[PAGE];

	cr_assert(fd >= 0);
	for (uint32_t i = 0; i < pages; i++) {
		memset(page, byte_of(i), sizeof(page));
		cr_assert_eq(pwrite(fd, page, PAGE, START + (off_t)i * PAGE), PAGE);
	}
	return fd;
}

static struct xr_contents contents(int fd, size_t n, bool listed, bool looked_at)
{
	static const struct xr_where where = { 1, 2, 1 };

	memset(to, 0, sizeof(to));
	memset(scratch, 0, sizeof(scratch));
	for (size_t i = 0; i < PAGES; i++)
		pfns[i] = 1000 + i;
	return (struct xr_contents){ .to = to[0],
				     .n = n,
				     .page = listed ? list : NULL,
				     .fd = fd,
				     .offset = START,
				     .looked_at = looked_at,
				     .scratch = scratch[0],
				     .pfns = pfns,
				     .where = &where };
}

TestSuite(kernel, .timeout = 60);

Test(kernel, the_way_of_the_contents_changes_nothing)
{
	const int fd = make_file(PAGES);

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct rng r = rng_seed(seed);
		const size_t n = 1 + rng_below(&r, PAGES);
		const bool listed = rng_chance(&r, 1, 2), looked_at = seed % 2;
		struct xr_contents c = contents(fd, n, listed, looked_at);
		struct xr_error err = { 0 };

		for (size_t i = 0; i < PAGES; i++)
			list[i] = i && rng_chance(&r, 9, 10) && list[i - 1] + 1 < PAGES
					  ? list[i - 1] + 1
					  : (uint32_t)rng_below(&r, PAGES);
		cr_assert_eq(xr_contents_write(&c, &err), 0, "seed %lu: %s", seed, err.text);
		for (size_t i = 0; i < PAGES; i++) {
			const unsigned char want =
				i < n ? byte_of(listed ? list[i] : (uint32_t)i) : 0;

			cr_assert(to[i][0] == want && to[i][PAGE - 1] == want, "seed %lu, page %zu",
				  seed, i);
		}
		cr_expect_eq(scratch[0][0] != 0, looked_at, "seed %lu: by way of scratch?", seed);
	}
	close(fd);
}

Test(kernel, a_file_that_ends_too_early_is_told_by_its_page)
{
	const int fd = make_file(150);

	for (unsigned int looked_at = 0; looked_at < 2; looked_at++) {
		struct xr_contents c = contents(fd, 200, false, looked_at);
		struct xr_error err = { 0 };

		cr_expect_eq(xr_contents_write(&c, &err), -ENODATA);
		cr_expect_eq(err.pfn, 1150, "%lu", err.pfn);
	}
	close(fd);
}
