/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "populate/rig.h"

#include <criterion/criterion.h>
#include <string.h>

void rig_open(struct rig *r, enum xr_policy policy, unsigned int max_order)
{
	memset(r, 0, sizeof(*r));
	script_open(&r->s);
	fake_open(&r->f, 0, PLENTY);
	r->cfg.policy = policy;
	r->cfg.max_order = max_order;
	r->cfg.retire = fake_retire;
	r->cfg.has_ram = fake_has_ram;
	r->cfg.ctx = &r->f;
	r->chunk = 1024;
	r->look_ahead = 2;
}

void rig_close(struct rig *r)
{
	xr_physmap_close(&r->pm);
	fake_close(&r->f);
	script_close(&r->s);
}

static size_t size_of_chunk;

static size_t chunk_size(void)
{
	return size_of_chunk;
}

void rig_begin(struct rig *r)
{
	size_of_chunk = r->chunk;
	script_cut(&r->s, chunk_size);
	cr_assert_eq(xr_physmap_open(&r->pm, &r->f.host, &r->cfg, &r->err), 0);
}

static int apply_one(struct rig *r)
{
	size_t i = r->applied++, rest = r->s.nchunks - i - 1;
	const struct xr_entries *c = &r->s.chunk[i];
	int ret = xr_physmap_apply(r->pm, c, &r->s.order[i + 1],
				   rest < r->look_ahead ? rest : r->look_ahead, &r->err);

	for (size_t j = 0; j < c->n && !ret; j++)
		if (xr_physmap_has(r->pm, entry_pfn(c->entry[j])))
			fake_write(&r->f, entry_pfn(c->entry[j]));
	return ret;
}

int rig_apply(struct rig *r, size_t chunks)
{
	int ret = 0;

	while (!ret && chunks-- && r->applied < r->s.nchunks) {
		ret = apply_one(r);
		while (r->idle && !ret && (ret = xr_physmap_ahead(r->pm, &r->err)) == 1)
			ret = 0;
	}
	return ret;
}

int rig_run(struct rig *r)
{
	int ret;

	rig_begin(r);
	ret = rig_apply(r, r->s.nchunks);
	return ret ? ret : xr_physmap_finish(r->pm, &r->err);
}

struct xr_physmap_stats rig_stats(const struct rig *r)
{
	struct xr_physmap_stats st;

	xr_physmap_stats(r->pm, &st);
	return st;
}

void rig_check(const struct rig *r)
{
	struct xr_physmap_stats st = rig_stats(r);

	for (size_t i = 0; i < r->s.n; i++) {
		uint64_t pfn = entry_pfn(r->s.entry[i]);

		cr_assert_eq(fake_order(&r->f, pfn) >= 0, r->s.in[pfn], "pfn %#lx", pfn);
	}
	cr_assert_eq(r->f.tot_pages, r->s.ram);
	cr_assert_eq(st.populated, r->s.ram);
	cr_assert_eq(fake_faults(&r->f), 0);
}
