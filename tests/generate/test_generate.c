/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generator: its oracle, its summary and its stream say the same, for any options. */
#include "generate/generate.h"
#include "lib/builder.h"
#include "lib/refmodel.h"
#include "lib/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct made {
	int fd;
	size_t size;
	unsigned char *bytes;
	struct xr_gen_summary sum;
};

static struct made make(const struct xr_gen_options *o)
{
	struct made g = { .fd = memfd_create("generated", MFD_CLOEXEC) };
	struct stat st;

	cr_assert_null(xr_gen_check(o));
	cr_assert_eq(xr_generate(g.fd, o, &g.sum), 0);
	cr_assert_eq(fstat(g.fd, &st), 0);
	g.size = (size_t)st.st_size;
	g.bytes = mmap(NULL, g.size, PROT_READ, MAP_PRIVATE, g.fd, 0);
	cr_assert_neq((void *)g.bytes, MAP_FAILED);
	return g;
}

static void drop(struct made *g)
{
	munmap(g->bytes, g->size);
	close(g->fd);
}

static struct xr_gen_options random_options(uint64_t seed)
{
	struct rng r = rng_seed(seed);
	struct xr_gen_options o;

	xr_gen_options_default(&o);
	o.seed = rng_next(&r);
	o.size_bytes = rng_below(&r, 5000) * 4096;
	o.holes_permille = (unsigned int)(rng_chance(&r, 1, 3) ? 0 : rng_below(&r, 400));
	o.hole_run = (unsigned int)(rng_chance(&r, 1, 2) ? 1 : 1 + rng_below(&r, 700));
	o.zero_permille = (unsigned int)rng_below(&r, 300);
	o.passes = (unsigned int)(1 + rng_below(&r, 5));
	o.dirty_permille = (unsigned int)rng_below(&r, 300);
	o.balloon_out_permille = (unsigned int)(rng_chance(&r, 1, 2) ? 0 : rng_below(&r, 200));
	o.balloon_in_permille = (unsigned int)(rng_chance(&r, 1, 2) ? 0 : rng_below(&r, 500));
	o.batch = (unsigned int)(rng_chance(&r, 1, 2) ? 1024 : 1 + rng_below(&r, 5000));
	o.version = rng_chance(&r, 1, 3) ? 2 : 3;
	o.types_only = rng_chance(&r, 1, 6);
	o.compact = rng_chance(&r, 9, 10);
	o.layer = (enum xr_emit_layer)rng_below(&r, 4);
	o.trailing = rng_below(&r, 100);
	return o;
}

static void compare(const struct xr_gen_options *o, const struct made *g, uint64_t seed)
{
	unsigned char page[4096];
	struct refmodel ref;
	uint64_t n = 0;

	refmodel_init(&ref);
	cr_assert_eq(refmodel_stream(&ref, g->bytes, g->size, g->sum.libxc_offset),
		     g->sum.end_offset, "seed %lu: %s", seed, ref.broken);
	for (uint64_t pfn = 0; pfn < xr_gen_pfns(o); pfn++) {
		if (!xr_gen_expect_page(o, pfn, page))
			continue;
		cr_assert_eq(ref.pfns[n++], pfn, "seed %lu", seed);
		if (!refmodel_page(&ref, pfn))
			cr_assert(o->types_only, "seed %lu pfn %lu", seed, pfn);
		else
			cr_assert_arr_eq(refmodel_page(&ref, pfn), page, 4096, "seed %lu pfn %lu",
					 seed, pfn);
	}
	cr_assert_eq(n, ref.backed, "seed %lu", seed);
	cr_assert_eq(g->sum.populated, ref.backed, "seed %lu", seed);
	cr_assert_eq(g->sum.whole_2m, ref.whole_2m, "seed %lu", seed);
	cr_assert_eq(g->sum.records, ref.records, "seed %lu", seed);
	cr_assert_eq(g->sum.pages, ref.pages, "seed %lu", seed);
	cr_assert_eq(g->sum.highest_pfn, ref.highest, "seed %lu", seed);
	cr_assert_eq(g->sum.store_gfn, ref.params[1], "seed %lu", seed);
	cr_assert_eq(g->sum.console_gfn, ref.params[17], "seed %lu", seed);
	cr_assert_eq(g->sum.bytes, g->size, "seed %lu", seed);
	cr_assert_eq(g->size - g->sum.end_offset, o->trailing + (o->layer ? 8 : 0), "seed %lu",
		     seed);
	refmodel_free(&ref);
}

Test(generate, oracle_and_summary_agree_with_the_stream)
{
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct xr_gen_options o = random_options(seed);
		struct made g = make(&o);

		compare(&o, &g, seed);
		drop(&g);
	}
}

Test(generate, memory_goes_on_above_4g)
{
	struct xr_gen_options o;
	struct made g;

	xr_gen_options_default(&o);
	o.size_bytes = (3840ull << 20) + 5 * 4096;
	o.types_only = true;
	o.holes_permille = 3;
	g = make(&o);
	compare(&o, &g, 0);
	cr_assert(xr_gen_expect_page(&o, 0x100004, NULL) || xr_gen_expect_page(&o, 0x100003, NULL));
	cr_assert_not(xr_gen_expect_page(&o, 0xf0000, NULL));
	cr_assert_not(xr_gen_expect_page(&o, 0x100005, NULL));
	drop(&g);
}

/* What readers may rely on: the first pass names all pfns, once, in order, in full records. */
Test(generate, the_first_pass_names_every_pfn)
{
	struct xr_gen_options o = random_options(7);
	struct made g;
	size_t at;
	uint64_t next = 0;

	o.version = 3;
	o.batch = 1000;
	g = make(&o);
	at = g.sum.libxc_offset + 40;
	while (next < xr_gen_pfns(&o)) {
		uint32_t head[4];
		uint64_t entry;

		cr_assert_lt(at + 16, g.sum.end_offset);
		memcpy(head, g.bytes + at, 16);
		if (head[0] == XR_EMIT_PAGE_DATA) {
			cr_assert(head[2] == 1000 || next + head[2] == xr_gen_pfns(&o));
			for (uint32_t i = 0; i < head[2]; i++) {
				memcpy(&entry, g.bytes + at + 16 + 8ul * i, 8);
				cr_assert_eq(XR_EMIT_PFN(entry), next++);
			}
		}
		at += 8 + ((head[1] + 7u) & ~7u);
	}
	drop(&g);
}

Test(generate, equal_options_give_equal_bytes_and_seeds_differ)
{
	struct xr_gen_options o = random_options(3);
	struct made a, b, c;

	o.size_bytes = 2 << 20;
	o.zero_permille = o.holes_permille = 0;
	o.types_only = false;
	a = make(&o);
	b = make(&o);
	o.seed++;
	c = make(&o);
	cr_assert_eq(a.size, b.size);
	cr_assert_arr_eq(a.bytes, b.bytes, a.size);
	cr_assert(c.size != a.size || memcmp(c.bytes, a.bytes, a.size));
	drop(&a);
	drop(&b);
	drop(&c);
}

Test(generate, shares_are_about_what_was_asked_for)
{
	struct xr_gen_options o;
	struct made g;
	double there;

	xr_gen_options_default(&o);
	o.size_bytes = 1ull << 30;
	o.types_only = true;
	o.holes_permille = 250;
	g = make(&o);
	there = (double)(g.sum.populated - XR_GEN_SPECIAL) / (double)(o.size_bytes / 4096);
	cr_assert(there > 0.74 && there < 0.76, "%f", there);
	drop(&g);
}

Test(generate, wrong_options_are_named)
{
	struct xr_gen_options good, bad;

	xr_gen_options_default(&good);
	cr_assert_null(xr_gen_check(&good));
#define CHECK_BAD(field, value)                                                                    \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.field = value;                                                                 \
		cr_assert_not_null(xr_gen_check(&bad));                                            \
		cr_assert_eq(xr_generate(1, &bad, NULL), -EINVAL);                                 \
	} while (0)
	CHECK_BAD(size_bytes, 4095);
	CHECK_BAD(size_bytes, (64ull << 40) + 4096);
	CHECK_BAD(holes_permille, 1001);
	CHECK_BAD(balloon_in_permille, 1001);
	CHECK_BAD(hole_run, 0);
	CHECK_BAD(passes, 0);
	CHECK_BAD(passes, 1001);
	CHECK_BAD(batch, 0);
	CHECK_BAD(batch, XR_GEN_BATCH_MAX + 1);
	CHECK_BAD(version, 1);
	CHECK_BAD(layer, XR_EMIT_LIBVIRT + 1);
}

Test(generate, a_full_disk_is_an_error)
{
	struct xr_gen_options o;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	xr_gen_options_default(&o);
	cr_assert_geq(fd, 0);
	cr_assert_eq(xr_generate(fd, &o, NULL), -ENOSPC);
	close(fd);
}

Test(generate, the_command_writes_what_the_library_does)
{
	char path[] = "/tmp/xr-generate-XXXXXX";
	const char *argv[] = { "generate", "-q",       "--size=3M", "--seed=9", "--compact",
			       "-lxl",	   "--passes", "2",	    path,	NULL };
	const char *wrong[] = { "generate", "--size=3Q", path, NULL };
	struct xr_gen_options o;
	unsigned char *bytes;
	struct made g;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	xr_gen_options_default(&o);
	o.size_bytes = 3 << 20;
	o.seed = 9;
	o.compact = true;
	o.layer = XR_EMIT_XL;
	o.passes = 2;
	g = make(&o);
	bytes = malloc(g.size + 1);
	cr_assert_eq(xr_command_generate.run(9, (char **)argv), 0);
	cr_assert_eq(pread(fd, bytes, g.size + 1, 0), (ssize_t)g.size);
	cr_assert_arr_eq(bytes, g.bytes, g.size);
	cr_assert_eq(xr_command_generate.run(3, (char **)wrong), 2);
	unlink(path);
	close(fd);
	free(bytes);
	drop(&g);
}
