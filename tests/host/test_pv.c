/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PV domains: numbers of frames, types, pins, vcpus. */
#include "host_test.h"

#define PRESENT 1u
#define WRITABLE 2u
#define LARGE 0x80u

static struct rig pv_rig(uint64_t max_pages)
{
	struct xr_model_settings s = settings(max_pages);

	s.pv = true;
	s.max_vcpu_id = 3;
	s.no_huge = true;
	return rig_with(&s);
}

/* Back n pfns from `first` on; returns the first one's frame. */
static uint64_t back(struct rig *r, uint64_t first, size_t n)
{
	uint64_t pfns[64], mfns[64];

	for (size_t i = 0; i < n; i++)
		pfns[i] = first + i;
	cr_assert_eq(r->h->ops->populate(r->h, 0, n, pfns, mfns), (long)n);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(xr_model_mfn(r->m, pfns[i]), mfns[i]);
	return mfns[0];
}

static uint64_t mfn_of(struct rig *r, uint64_t pfn)
{
	return xr_model_mfn(r->m, pfn);
}

/* A page table at pfn, whose entries from `at` on refer to the frames of other pfns. */
static void table(struct rig *r, uint64_t pfn, unsigned int at, uint64_t to, unsigned int n,
		  uint64_t flags)
{
	uint64_t e[512];

	cr_assert_eq(xr_model_peek(r->m, pfn, e), 0);
	for (unsigned int i = 0; i < n; i++)
		e[at + i] = mfn_of(r, to + i) << 12 | flags;
	cr_assert_eq(xr_model_poke(r->m, pfn, e), 0);
}

/* pfn 4: L4, 3: L3, 2: L2, 1: L1 with pfns 5 to 9 writable and the tables read-only. */
static void tree(struct rig *r)
{
	static const unsigned char zero[XR_PAGE_SIZE];

	back(r, 0, 10);
	for (uint64_t pfn = 0; pfn < 10; pfn++)
		cr_assert_eq(xr_model_poke(r->m, pfn, zero), 0);
	table(r, 4, 0, 3, 1, PRESENT | WRITABLE);
	table(r, 3, 0, 2, 1, PRESENT | WRITABLE);
	table(r, 2, 0, 1, 1, PRESENT | WRITABLE);
	table(r, 1, 0, 5, 5, PRESENT | WRITABLE);
	table(r, 1, 100, 1, 4, PRESENT);
}

static int pin(struct rig *r, unsigned int level, uint64_t pfn)
{
	const struct xr_pin p = { level, mfn_of(r, pfn) };

	return r->h->ops->pin(r->h, 1, &p);
}

static int map_status(struct rig *r, uint64_t mfn, void **at)
{
	int err;

	*at = r->h->ops->map(r->map, 1, &mfn, &err);
	cr_assert_not_null(*at);
	return err;
}

Test(pv, frames_have_numbers_of_their_own)
{
	struct rig r = pv_rig(4 * PAGES_2M);
	uint64_t two[2] = { 0, 512 }, mfns[2];
	void *at;

	cr_assert_eq(r.h->ops->populate(r.h, 9, 2, two, mfns), 2);
	for (uint64_t pfn = 0; pfn < 1024; pfn += 511) {
		cr_assert_eq(mfn_of(&r, pfn), mfns[pfn / 512] + pfn % 512, "an extent is in a row");
		cr_assert_neq(mfn_of(&r, pfn), pfn);
		cr_assert_eq(xr_model_pfn(r.m, mfn_of(&r, pfn)), pfn);
	}
	cr_assert_eq(mfns[0] % 512, 0);
	cr_assert_eq(map_status(&r, 7, &at), -EINVAL, "a pfn names no frame");
	cr_assert_eq(unmap(&r, at, 1), 0);
	cr_assert_eq(map_status(&r, mfns[1] + 7, &at), 0);
	memset(at, 0x5a, XR_PAGE_SIZE);
	cr_assert_eq(unmap(&r, at, 1), 0);
	cr_assert_eq(xr_model_peek(r.m, 519, (unsigned char[XR_PAGE_SIZE]){ 0 }), 0);
	cr_assert_eq(stats(&r).tot_pages, 1024);
	rig_close(&r);
}

Test(pv, frames_are_given_back_by_mfn)
{
	struct rig r = pv_rig(4 * PAGES_2M);
	uint64_t pfn = 512, mfn, page;
	void *at;

	cr_assert_eq(r.h->ops->populate(r.h, 9, 1, &pfn, &mfn), 1);
	cr_assert_eq(release(&r, 0, 700), 0);
	page = mfn + 188;
	cr_assert_eq(release(&r, 0, page), 1);
	cr_assert_eq(xr_model_order(r.m, 700), -1);
	cr_assert_eq(xr_model_order(r.m, 701), 0);
	cr_assert_eq(release(&r, 0, page), 0, "twice");
	cr_assert_eq(map_status(&r, page, &at), -EINVAL);
	cr_assert_eq(unmap(&r, at, 1), 0);
	cr_assert_eq(xr_model_pfn(r.m, page), ~0ull);
	pfn = 1024;
	cr_assert_eq(r.h->ops->populate(r.h, 9, 1, &pfn, &mfn), 1);
	cr_assert_eq(release(&r, 9, mfn), 1);
	cr_assert_eq(stats(&r).tot_pages, 511);
	cr_assert_eq(stats(&r).whole_2m, 0);
	rig_close(&r);
}

Test(pv, populate_wants_room_for_mfns)
{
	struct rig r = pv_rig(16);

	cr_assert_eq(populate(&r, 0, 1), -EFAULT);
	rig_close(&r);
}

Test(pv, a_tree_of_tables_is_typed_from_its_root)
{
	struct rig r = pv_rig(64);
	bool pinned;

	tree(&r);
	cr_assert_eq(pin(&r, 4, 4), 0);
	for (uint64_t pfn = 1; pfn <= 4; pfn++) {
		cr_assert_eq(xr_model_table(r.m, pfn, &pinned), pfn);
		cr_assert_eq(pinned, pfn == 4);
	}
	cr_assert_eq(xr_model_table(r.m, 5, NULL), 0);
	cr_assert_eq(stats(&r).pinned, 1);
	cr_assert_eq(pin(&r, 4, 4), -EINVAL, "twice");
	cr_assert_eq(pin(&r, 2, 1), -EINVAL, "of another level");
	cr_assert_eq(pin(&r, 1, 1), 0);
	cr_assert_eq(pin(&r, 1, 6), -EINVAL, "a frame that is mapped writable");
	rig_close(&r);
}

Test(pv, no_table_is_validated_while_it_is_mapped)
{
	for (uint64_t pfn = 1; pfn <= 4; pfn++) {
		struct rig r = pv_rig(64);
		void *at;

		tree(&r);
		cr_assert_eq(map_status(&r, mfn_of(&r, pfn), &at), 0);
		cr_assert_eq(pin(&r, 4, 4), -EINVAL);
		cr_assert_eq(unmap(&r, at, 1), 0);
		rig_close(&r);
	}
}

Test(pv, no_table_is_mapped_once_it_is_validated)
{
	struct rig r = pv_rig(64);
	void *at;

	tree(&r);
	cr_assert_eq(pin(&r, 4, 4), 0);
	cr_assert_eq(map_status(&r, mfn_of(&r, 2), &at), -EINVAL);
	cr_assert_eq(unmap(&r, at, 1), 0);
	cr_assert_eq(map_status(&r, mfn_of(&r, 7), &at), 0);
	cr_assert_eq(unmap(&r, at, 1), 0);
	rig_close(&r);
}

struct wrong {
	uint64_t pfn;
	unsigned int at;
	uint64_t to, flags;
	const char *what;
};

Test(pv, wrong_tables_are_refused)
{
	static const struct wrong cases[] = {
		{ 1, 7, 2, PRESENT | WRITABLE, "a table that can be written" },
		{ 3, 7, 5, PRESENT, "a page that is mapped writable as an L2" },
		{ 4, 7, 2, PRESENT, "an L2 as an L3" },
		{ 2, 7, 1, PRESENT | LARGE, "a large page" },
		{ 1, 7, 40, PRESENT, "no frame" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r = pv_rig(64);

		tree(&r);
		if (cases[i].to < 10)
			table(&r, cases[i].pfn, cases[i].at, cases[i].to, 1, cases[i].flags);
		else
			xr_model_poke(r.m, 1, (uint64_t[512]){ 5ull << 12 | PRESENT });
		cr_assert_eq(pin(&r, 4, 4), -EINVAL, "%s", cases[i].what);
		rig_close(&r);
	}
}

Test(pv, xen_s_slots_are_xen_s)
{
	struct rig r = pv_rig(64);

	tree(&r);
	table(&r, 4, 256, 5, 1, PRESENT);
	table(&r, 4, 271, 5, 1, PRESENT);
	cr_assert_eq(pin(&r, 4, 4), 0);
	rig_close(&r);
}

Test(pv, a_32_bit_guest_s_root_has_four_entries)
{
	struct rig r = pv_rig(64);

	cr_assert_eq(r.h->ops->set_width(r.h, 4), 0);
	tree(&r);
	table(&r, 3, 4, 5, 1, PRESENT);
	cr_assert_eq(pin(&r, 4, 4), -EINVAL);
	cr_assert_eq(pin(&r, 3, 3), 0);
	rig_close(&r);
}

Test(pv, the_width_changes_once_and_without_memory)
{
	struct rig r = pv_rig(64);
	unsigned int width = 0;

	cr_assert_eq(r.h->ops->get_width(r.h, &width), 0);
	cr_assert_eq(width, 8);
	back(&r, 0, 1);
	cr_assert_eq(r.h->ops->set_width(r.h, 4), -EACCES);
	rig_close(&r);
	r = pv_rig(64);
	cr_assert_eq(r.h->ops->set_width(r.h, 5), -EINVAL);
	cr_assert_eq(r.h->ops->set_width(r.h, 4), 0);
	cr_assert_eq(r.h->ops->set_width(r.h, 8), -EINVAL);
	cr_assert_eq(r.h->ops->get_width(r.h, &width), 0);
	cr_assert_eq(width, 4);
	cr_assert_str_eq(xr_model_log(r.m), "width:5 width:4 width:8");
	rig_close(&r);
}

/* A vcpu_guest_context as the model looks at it. */
struct context {
	unsigned char bytes[XR_VCPU_BASIC_BYTES];
};

static void put(struct context *c, unsigned int at, unsigned int width, uint64_t value)
{
	memcpy(c->bytes + at, &value, width);
}

static int load(struct rig *r, uint32_t vcpu, const struct context *c)
{
	return r->h->ops->set_vcpu(r->h, vcpu, XR_VCPU_BASIC, c, sizeof(*c));
}

Test(pv, registers_name_a_root_and_a_gdt)
{
	struct rig r = pv_rig(64);
	struct context c = { { 0 } }, back_again;

	tree(&r);
	put(&c, 4984 + 24, 8, mfn_of(&r, 4) << 12);
	cr_assert_eq(load(&r, 4, &c), -EINVAL, "no such vcpu");
	put(&c, 4960, 8, 7169);
	cr_assert_eq(load(&r, 1, &c), -EINVAL, "a GDT that is too large");
	put(&c, 4960, 8, 512);
	put(&c, 4832, 8, mfn_of(&r, 5));
	cr_assert_eq(load(&r, 1, &c), -EINVAL, "a GDT that is mapped writable");
	put(&c, 4832, 8, mfn_of(&r, 0));
	cr_assert_eq(load(&r, 1, &c), 0);
	cr_assert_eq(xr_model_vcpu(r.m, 1, XR_VCPU_BASIC, &back_again, sizeof(back_again)),
		     (int)sizeof(c));
	cr_assert_arr_eq(&back_again, &c, sizeof(c));
	cr_assert_eq(xr_model_vcpu(r.m, 0, XR_VCPU_BASIC, &back_again, 1), -ENOENT);
	put(&c, 4984 + 8, 8, mfn_of(&r, 3) << 12);
	cr_assert_eq(load(&r, 1, &c), -EINVAL, "an L3 as the user's root");
	put(&c, 4984 + 8, 8, mfn_of(&r, 4) << 12 | 1);
	cr_assert_eq(load(&r, 1, &c), -EINVAL, "flags in the user's root");
	put(&c, 4984 + 8, 8, mfn_of(&r, 4) << 12);
	cr_assert_eq(load(&r, 1, &c), 0);
	put(&c, 4984 + 24, 8, mfn_of(&r, 3) << 12);
	cr_assert_eq(load(&r, 1, &c), -EINVAL, "an L3 as root");
	rig_close(&r);
}

Test(pv, a_32_bit_cr3_is_turned)
{
	struct rig r = pv_rig(64);
	struct context c = { { 0 } };
	uint64_t mfn;

	cr_assert_eq(r.h->ops->set_width(r.h, 4), 0);
	tree(&r);
	mfn = mfn_of(&r, 3);
	cr_assert_gt(mfn >> 20, 0, "the model's frames need the high bits");
	put(&c, 2716 + 12, 4, (uint32_t)(mfn << 12));
	cr_assert_eq(load(&r, 0, &c), -EINVAL);
	put(&c, 2716 + 12, 4, (uint32_t)(mfn << 12) | (uint32_t)(mfn >> 20));
	cr_assert_eq(load(&r, 0, &c), 0);
	rig_close(&r);
}

Test(pv, other_vcpu_state_is_judged)
{
	struct rig r = pv_rig(64);
	const struct xr_host_ops *o = r.h->ops;
	uint32_t ext[4] = { 2, 16 };
	uint64_t xsave[80] = { 3, 7 };
	uint32_t msr[4] = { 0xc0011027u, 0, 5, 0 };

	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_EXTENDED, ext, 16), 0);
	cr_assert_eq(o->set_vcpu(r.h, 1, XR_VCPU_EXTENDED, ext, 16), -EINVAL);
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_EXTENDED, ext, 12), -EINVAL);
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_XSAVE, xsave, 16), 0);
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_XSAVE, xsave, 640), 0);
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_XSAVE, xsave, 500), -EINVAL);
	xsave[0] = 8;
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_XSAVE, xsave, 640), -EINVAL);
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_MSRS, msr, 16), 0);
	msr[1] = 1;
	cr_assert_eq(o->set_vcpu(r.h, 2, XR_VCPU_MSRS, msr, 16), -EINVAL);
	rig_close(&r);
}

Test(pv, shared_info_is_a_frame_that_is_not_counted)
{
	struct rig r = pv_rig(64);
	unsigned char page[XR_PAGE_SIZE];
	struct xr_dominfo info;
	void *at;

	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_eq(info.tot_pages, 0);
	cr_assert_eq(map_status(&r, info.shared_info_gfn, &at), 0);
	memset(at, 3, XR_PAGE_SIZE);
	cr_assert_eq(unmap(&r, at, 1), 0);
	cr_assert_eq(xr_model_shared_info(r.m, page), 0);
	cr_assert_eq(page[100], 3);
	cr_assert_neq(back(&r, 0, 1), info.shared_info_gfn);
	rig_close(&r);
}

Test(pv, an_hvm_domain_has_none_of_it)
{
	struct rig r = rig(64);
	const struct xr_pin p = { 1, 0 };
	unsigned int width;

	cr_assert_eq(r.h->ops->get_width(r.h, &width), 0);
	cr_assert_eq(width, 8);
	cr_assert_eq(r.h->ops->set_width(r.h, 4), -EINVAL);
	cr_assert_eq(r.h->ops->set_vcpu(r.h, 0, XR_VCPU_MSRS, "", 0), -EINVAL);
	cr_assert_eq(r.h->ops->pin(r.h, 1, &p), -EINVAL);
	cr_assert_eq(r.h->ops->seed_grants(r.h, false, 1, 2, 0, 0), -EINVAL);
	rig_close(&r);
}

Test(pv, a_domain_that_follows_does_so_while_it_is_empty)
{
	struct xr_model_settings s = settings(64);
	struct xr_dominfo info;
	struct rig r;

	s.follow = true;
	r = rig_with(&s);
	xr_model_follow(r.m, true);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_not(info.hvm);
	xr_model_follow(r.m, false);
	xr_model_follow(r.m, true);
	back(&r, 0, 1);
	xr_model_follow(r.m, false);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_not(info.hvm);
	s.follow = false;
	cr_assert_eq(xr_model_reset(r.m, &s), 0);
	xr_model_follow(r.m, true);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert(info.hvm);
	cr_assert_eq(populate(&r, 0, 1), 1);
	rig_close(&r);
}

Test(pv, calls_fail_as_they_are_told_to)
{
	struct rig r = pv_rig(64);
	const struct xr_pin p = { 1, 0 };
	unsigned int width;

	xr_model_fail(r.m, XR_CALL_WIDTH, 1, -1, -EPERM);
	xr_model_fail(r.m, XR_CALL_VCPU, 1, -1, -ENOMEM);
	xr_model_fail(r.m, XR_CALL_PIN, 1, -1, -EIO);
	cr_assert_eq(r.h->ops->get_width(r.h, &width), -EPERM);
	cr_assert_eq(r.h->ops->set_vcpu(r.h, 0, XR_VCPU_MSRS, "", 0), -ENOMEM);
	cr_assert_eq(r.h->ops->pin(r.h, 1, &p), -EIO);
	rig_close(&r);
}
