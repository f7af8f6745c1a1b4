/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Not only right but well laid out: what ends up whole is one large page. */
#include "generate/generate.h"
#include "lib/feed.h"
#include "lib/refmodel.h"
#include "props/check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct restored {
	struct xr_model *model;
	struct xr_gen_summary sum;
	struct xr_result res;
};

static int generated(const struct xr_gen_options *o, struct xr_gen_summary *sum)
{
	int fd = memfd_create("generated", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(xr_generate(fd, o, sum), 0);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A pipe whose writer is a child, filled from the file. */
static struct feed fed(int file, uint64_t size, enum feed_kind kind)
{
	void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
	struct feed f;

	cr_assert_neq(bytes, MAP_FAILED);
	cr_assert_eq(feed_open(&f, kind, bytes, size, 1), 0);
	munmap(bytes, size);
	close(file);
	return f;
}

static struct restored restore(const struct xr_gen_options *o, enum feed_kind kind,
			       enum xr_policy policy, unsigned int max_order, uint64_t spare)
{
	struct xr_model_settings set;
	struct xr_restore *handle;
	struct xr_settings s;
	struct xr_error err;
	struct restored r;
	int file = generated(o, &r.sum), rc;
	struct feed f = fed(file, r.sum.bytes, kind);

	xr_model_settings_default(&set);
	set.max_pages = r.sum.populated + spare;
	set.no_huge = true;
	set.fill = REF_FILL;
	cr_assert_eq(xr_model_create(&r.model, &set), 0);
	xr_settings_default(&s);
	s.fd = f.fd;
	s.host = XR_HOST_MODEL;
	s.model = r.model;
	s.policy = policy;
	s.max_order = max_order;
	s.workers = 2;
	rc = xr_open(&handle, &s, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	rc = xr_run(handle, &r.res, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	xr_close(&handle);
	feed_close(&f);
	return r;
}

static void check(const struct xr_gen_options *o, const struct restored *r)
{
	unsigned char want[4096], have[4096];
	char text[512] = "";
	uint64_t n = 0;

	for (uint64_t pfn = 0; pfn < xr_gen_pfns(o); pfn++) {
		if (!xr_gen_expect_page(o, pfn, want)) {
			cr_assert_eq(xr_model_order(r->model, pfn), -1, "pfn %#lx", pfn);
			continue;
		}
		n++;
		cr_assert_eq(xr_model_peek(r->model, pfn, have), 0, "pfn %#lx", pfn);
		cr_assert_eq(memcmp(have, want, sizeof(want)), 0, "pfn %#lx", pfn);
	}
	cr_assert_eq(r->res.pages_populated, n);
	cr_assert_eq(r->res.store_gfn, r->sum.store_gfn);
	cr_assert(check_habits(&(struct why){ text, sizeof(text) }, r->model), "%s", text);
}

static struct xr_gen_options guest(uint64_t mib)
{
	struct xr_gen_options o;

	xr_gen_options_default(&o);
	o.size_bytes = mib << 20;
	o.compact = true;
	o.seed = mib;
	return o;
}

/* A saver's regular first pass, from any source. Of the region with the VGA hole nothing is asked.
 */
Test(superpages, a_plain_guest_has_them_all)
{
	for (enum feed_kind kind = 0; kind < FEED_TCP; kind++) {
		struct xr_gen_options o = guest(24);
		struct restored r = restore(&o, kind, XR_POLICY_EXACT, XR_ORDER_2M, 0);
		struct xr_model_stats st;

		check(&o, &r);
		xr_model_stats(r.model, &st);
		cr_assert_geq(st.whole_2m, 11, "%s: %lu", feed_kind_name(kind), st.whole_2m);
		cr_assert_eq(st.pages_released, 0);
		cr_assert_eq(r.res.extents_2m, st.whole_2m);
		xr_model_destroy(&r.model);
	}
}

/* Regions that end up whole are whole; where all is known nothing is given to be taken back. */
Test(superpages, holes_cost_only_their_regions)
{
	for (enum feed_kind kind = 0; kind < FEED_TCP; kind++) {
		struct xr_gen_options o = guest(32);
		struct xr_model_stats st;
		struct restored r;

		o.holes_permille = 150;
		o.hole_run = 300;
		o.passes = 3;
		r = restore(&o, kind, XR_POLICY_EXACT, XR_ORDER_2M, 0);
		check(&o, &r);
		xr_model_stats(r.model, &st);
		cr_assert_gt(r.sum.whole_2m, 3);
		cr_assert_geq(st.whole_2m + 1, r.sum.whole_2m, "%s", feed_kind_name(kind));
		if (kind == FEED_FILE)
			cr_assert_eq(st.pages_released, 0);
		xr_model_destroy(&r.model);
	}
}

/* The second gibibyte; below it lies the VGA hole. */
Test(superpages, a_file_gives_a_1g_page)
{
	struct xr_gen_options o = guest(2048);
	struct xr_model_stats st;
	struct restored r;

	o.types_only = true;
	r = restore(&o, FEED_FILE, XR_POLICY_EXACT, XR_ORDER_1G, 0);
	xr_model_stats(r.model, &st);
	cr_assert_eq(xr_model_order(r.model, 0x40000), XR_ORDER_1G);
	cr_assert_geq(st.whole_2m + 512 * st.whole_1g, 1023);
	cr_assert_eq(st.tot_pages, r.sum.populated);
	cr_assert_eq(st.pages_released, 0);
	xr_model_destroy(&r.model);
}

/* The first touched pfn brings a 1G page; the holes behind are punched out of it. */
Test(superpages, speculation_ends_in_the_same_guest)
{
	for (enum feed_kind kind = 0; kind < FEED_TCP; kind++) {
		struct xr_gen_options o = guest(40);
		struct restored r;

		o.holes_permille = 30;
		o.balloon_out_permille = 20;
		o.balloon_in_permille = 300;
		o.passes = 3;
		r = restore(&o, kind, XR_POLICY_SPECULATIVE, XR_ORDER_1G, 600);
		check(&o, &r);
		xr_model_destroy(&r.model);
	}
}
