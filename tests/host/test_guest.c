/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of the guest: parameters, context, their rules, their order. */
#include "host_test.h"

#include <errno.h>

static int param(struct rig *r, uint32_t index, uint64_t value)
{
	return r->h->ops->set_param(r->h, index, value);
}

Test(guest, params_follow_the_rules_of_xen)
{
	static const uint32_t once[] = { 5, 6, 9, 32, 33, 35, 38 };
	static const uint32_t never[] = { 4, 13, 20, 21, 22, 23, 24, 25, 26, 30, 39, 1000, ~0u };
	struct rig r = rig(10);

	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
		cr_assert_eq(xr_model_param(r.m, once[i]), ~(uint64_t)0);
		cr_assert_eq(param(&r, once[i], 0), 0);
		cr_assert_eq(param(&r, once[i], 8), 0);
		cr_assert_eq(param(&r, once[i], 8), 0);
		cr_assert_eq(param(&r, once[i], 9), -EEXIST);
		cr_assert_eq(xr_model_param(r.m, once[i]), 8);
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		cr_assert_eq(param(&r, never[i], 1), -EINVAL);
	cr_assert_eq(param(&r, 1, 5), 0);
	cr_assert_eq(param(&r, 1, 6), 0);
	cr_assert_eq(xr_model_param(r.m, 1), 6);
	rig_close(&r);
}

static size_t put_record(unsigned char *p, uint16_t type, uint32_t length)
{
	static const uint32_t magic = 0x54381286;

	memset(p, 0, 8 + length);
	memcpy(p, &type, 2);
	memcpy(p + 4, &length, 4);
	if (type == 1 && length >= 4)
		memcpy(p + 8, &magic, 4);
	return 8 + length;
}

Test(guest, a_context_is_a_chain_from_header_to_end)
{
	struct rig r = rig(10);
	unsigned char ctx[256], bad[256];
	size_t n = 0;

	n += put_record(ctx, 1, 24);
	n += put_record(ctx + n, 2, 40);
	n += put_record(ctx + n, 0, 0);
	cr_assert_eq(r.h->ops->set_hvm_context(r.h, ctx, (uint32_t)n), 0);
	for (size_t cut = 0; cut < n; cut++)
		cr_assert_eq(r.h->ops->set_hvm_context(r.h, ctx, (uint32_t)cut), -EINVAL);
	memcpy(bad, ctx, sizeof(bad));
	bad[8] ^= 1; /* the magic */
	cr_assert_eq(r.h->ops->set_hvm_context(r.h, bad, (uint32_t)n), -EINVAL);
	memcpy(bad, ctx, sizeof(bad));
	bad[36] = 0xff; /* the second record's length */
	cr_assert_eq(r.h->ops->set_hvm_context(r.h, bad, (uint32_t)n), -EINVAL);
	cr_assert_eq(r.h->ops->set_hvm_context(r.h, ctx + 32, (uint32_t)n - 32), -EINVAL);
	rig_close(&r);
}

Test(guest, pv_has_neither_params_nor_context)
{
	struct xr_model_settings s = settings(10);
	struct xr_dominfo info;
	unsigned char end[8];
	struct rig r;

	s.pv = true;
	r = rig_with(&s);
	put_record(end, 0, 0);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_not(info.hvm);
	cr_assert_eq(param(&r, 1, 5), -EINVAL);
	cr_assert_eq(r.h->ops->set_hvm_context(r.h, end, 8), -EINVAL);
	rig_close(&r);
}

Test(guest, the_log_has_the_order_and_faults_leave_no_trace)
{
	struct rig r = rig(10);
	struct xr_policy_fault fault;
	struct xr_dominfo info;

	cr_assert_str_eq(xr_model_log(r.m), "");
	xr_model_fail(r.m, XR_CALL_PARAM, 2, -1, -EPERM);
	xr_model_fail(r.m, XR_CALL_INFO, 1, -1, -ESRCH);
	xr_model_fail(r.m, XR_CALL_MAPPER, 1, -1, -EMFILE);
	cr_assert_eq(r.h->ops->set_cpu_policy(r.h, "", 0, "", 0, &fault), 0);
	cr_assert_eq(fault.leaf, ~0u);
	cr_assert_eq(r.h->ops->set_tsc(r.h, 0, 1, 2, 3), 0);
	cr_assert_eq(param(&r, 1, 5), 0);
	cr_assert_eq(param(&r, 17, 5), -EPERM);
	cr_assert_eq(xr_model_param(r.m, 17), ~(uint64_t)0);
	cr_assert_eq(r.h->ops->info(r.h, &info), -ESRCH);
	cr_assert_eq(r.h->ops->info(r.h, &info), 0);
	cr_assert_eq(r.h->ops->seed_grants(r.h, true, 1, 2, 0, 0), 0);
	cr_assert_str_eq(xr_model_log(r.m), "policy tsc param:1 grants");
	r.h->ops->mapper_close(r.map);
	cr_assert_eq(r.h->ops->mapper_open(r.h, &r.map), -EMFILE);
	cr_assert_null(r.map);
	cr_assert_eq(r.h->ops->mapper_open(r.h, &r.map), 0);
	rig_close(&r);
}

Test(guest, a_model_can_be_attached_by_its_descriptor)
{
	struct rig r = rig(4096);
	unsigned char page[XR_PAGE_SIZE] = { 42 }, back[XR_PAGE_SIZE];
	int fd = xr_model_share(r.m);
	struct xr_model *other;

	cr_assert_geq(fd, 0);
	cr_assert_eq(populate(&r, 9, 512), 1);
	cr_assert_eq(xr_model_attach(&other, fd), 0);
	cr_assert_eq(xr_model_order(other, 600), 9);
	cr_assert_eq(xr_model_poke(other, 600, page), 0);
	cr_assert_eq(xr_model_peek(r.m, 600, back), 0);
	cr_assert_arr_eq(page, back, sizeof(page));
	rig_close(&r);
	cr_assert_eq(xr_model_peek(other, 600, back), 0);
	xr_model_destroy(&other);
	cr_assert_eq(xr_model_attach(&other, 0), -EINVAL);
	cr_assert_null(other);
}

/* A page of Xen's is there for whoever maps it, but nobody's RAM. */
Test(guest, xens_pages_are_not_ram)
{
	const uint64_t gfns[] = { 0, 1, 2, 3 }, one = 1;
	struct xr_model_stats st;
	bool ram[4];
	int err[4];
	void *at;
	struct rig r = rig(10);

	cr_assert_eq(xr_model_put_xens(r.m, 1), -ENOENT);
	cr_assert_eq(r.h->ops->populate(r.h, 0, 3, gfns, NULL), 3);
	cr_assert_eq(xr_model_put_xens(r.m, 1), 0);
	cr_assert_eq(r.h->ops->has_ram(r.h, 4, gfns, ram), 0);
	cr_assert(ram[0] && !ram[1] && ram[2] && !ram[3]);
	at = r.h->ops->map(r.map, 4, gfns, err);
	cr_assert(at && !err[1] && err[3]);
	cr_assert_eq(r.h->ops->unmap(r.map, at, 4), 0);
	xr_model_stats(r.m, &st);
	cr_assert_eq(st.tot_pages, 2);
	cr_assert_eq(r.h->ops->release(r.h, 0, 1, &one), 1);
	xr_model_stats(r.m, &st);
	cr_assert_eq(st.released_xens, 1);
	cr_assert_eq(st.tot_pages, 2);
	rig_close(&r);
}
