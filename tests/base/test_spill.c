/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/spill.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 10000u

static void fill(unsigned char *bytes, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)((at + i) * 31 >> 2);
}

static uint64_t blocks(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

Test(spill, bytes_come_back_wherever_they_lie)
{
	static const size_t sizes[] = { 1, 7, 4096, 9000, 30000 };
	unsigned char out[30000], in[30000];
	struct xr_spill s;
	uint64_t at = 0;

	cr_assert_eq(xr_spill_open(&s, LIMIT), 0);
	for (unsigned int i = 0; i < 5; i++) {
		fill(out, sizes[i], at);
		cr_assert_eq(xr_spill_write(&s, at, out, sizes[i]), 0);
		at += sizes[i];
	}
	at = 0;
	for (unsigned int i = 0; i < 5; i++) {
		fill(out, sizes[i], at);
		cr_assert_eq(xr_spill_read(&s, at, in, sizes[i]), 0);
		cr_expect(!memcmp(in, out, sizes[i]), "at %lu", at);
		at += sizes[i];
	}
	cr_expect_eq(xr_spill_read(&s, at, in, 1), -ENODATA);
	xr_spill_close(&s);
}

/* What is beyond the limit is not in memory, and the disk gets it back. */
Test(spill, the_limit_in_memory_holds)
{
	static unsigned char bytes[1u << 20];
	struct xr_spill s;
	struct stat st;

	cr_assert_eq(xr_spill_open(&s, LIMIT), 0);
	cr_assert_eq(xr_spill_write(&s, 0, bytes, sizeof(bytes)), 0);
	cr_assert_eq(fstat(s.fd[0], &st), 0);
	cr_expect_eq(st.st_size, LIMIT);
	cr_assert_eq(fstat(s.fd[1], &st), 0);
	cr_expect_eq(st.st_size, (off_t)(sizeof(bytes) - LIMIT));
	cr_expect_eq(st.st_nlink, 0, "the file has a name");
	xr_spill_empty(&s);
	cr_expect_lt(blocks(s.fd[1]), 64);
	xr_spill_close(&s);
}

Test(spill, a_stretch_is_found_in_one_file)
{
	static const struct {
		uint64_t at, n, want;
	} cases[] = {
		{ 0, 4096, 0 },	      { 1, 4096, 4096 },
		{ 4096, 4096, 4096 }, { 4097, 4096, LIMIT },
		{ 8193, 8, LIMIT },   { LIMIT, 4096, LIMIT },
		{ 0, 20000, LIMIT },  { LIMIT + 1, 4096, LIMIT + 4096 },
	};
	struct xr_spill s = { .in_memory = LIMIT };
	uint64_t offset;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint64_t at = xr_spill_fit(&s, cases[i].at, cases[i].n, 4096);

		cr_expect_eq(at, cases[i].want, "case %zu: %lu", i, at);
		cr_expect_eq(xr_spill_file(&s, at, &offset), at >= LIMIT);
		cr_expect_eq(offset % 4096, 0);
	}
}

Test(spill, without_a_disk_there_is_only_memory)
{
	unsigned char bytes[LIMIT + 1] = { 0 };
	struct xr_spill s;

	setenv("TMPDIR", "/nowhere/at/all", 1);
	cr_assert_eq(xr_spill_open(&s, LIMIT), 0);
	cr_expect_eq(xr_spill_write(&s, 0, bytes, LIMIT), 0);
	cr_expect_eq(xr_spill_write(&s, 0, bytes, LIMIT + 1), -ENOENT);
	xr_spill_empty(&s);
	xr_spill_close(&s);
}
