/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include "lib/restore.h"

#include <criterion/criterion.h>
#include <string.h>

static void init(struct rig *g, uint64_t max_pages, uint32_t version, bool pv)
{
	struct xr_model_settings ms;

	memset(g, 0, sizeof(*g));
	xr_model_settings_default(&ms);
	ms.max_pages = max_pages;
	ms.no_huge = true;
	ms.fill = REF_FILL;
	ms.pv = pv;
	ms.max_vcpu_id = pv;
	cr_assert_eq(xr_model_create(&g->model, &ms), 0);
	builder_begin(&g->b, XR_EMIT_BARE, version, pv);
	xr_settings_default(&g->set);
	g->set.host = XR_HOST_MODEL;
	g->set.model = g->model;
	g->set.workers = 2;
}

void rig_init(struct rig *g, uint64_t max_pages, uint32_t version)
{
	init(g, max_pages, version, false);
}

void rig_init_pv(struct rig *g, uint64_t max_pages)
{
	init(g, max_pages, 3, true);
}

void rig_tail(struct rig *g)
{
	const struct xr_emit_param params[] = { { XR_EMIT_STORE_PFN, 1 },
						{ XR_EMIT_CONSOLE_PFN, 2 } };

	builder_tsc(&g->b);
	builder_context(&g->b);
	builder_params(&g->b, params, 2);
	builder_end(&g->b, false, 0);
}

int rig_run(struct rig *g, enum feed_kind kind)
{
	int rc;

	cr_assert_eq(feed_open(&g->feed, kind, builder_data(&g->b), builder_size(&g->b), 1), 0);
	g->set.fd = g->feed.fd;
	rc = restore_once(&g->set, &g->res, &g->err);
	feed_close(&g->feed);
	cr_assert_eq(rc, g->err.code);
	return rc;
}

void rig_expect_clean(struct rig *g)
{
	struct xr_model_stats st;

	xr_model_stats(g->model, &st);
	cr_expect_eq(st.leaked, 0);
	cr_expect_eq(st.released_empty, 0);
	cr_expect_eq(st.released_mapped, 0);
	cr_expect_eq(st.live_mappings, 0);
	cr_expect_eq(st.left_mapped, 0);
}

void rig_expect_page(struct rig *g, uint64_t pfn, uint64_t serial)
{
	unsigned char want[XR_PAGE_SIZE], got[XR_PAGE_SIZE];

	builder_fill(pfn, serial, want);
	cr_assert_eq(xr_model_peek(g->model, pfn, got), 0, "pfn %llu is not there",
		     (unsigned long long)pfn);
	cr_expect(!memcmp(want, got, sizeof(want)), "pfn %llu has other contents",
		  (unsigned long long)pfn);
}

void rig_expect_zero(struct rig *g, uint64_t pfn)
{
	static const unsigned char zero[XR_PAGE_SIZE];
	unsigned char got[XR_PAGE_SIZE];

	cr_assert_eq(xr_model_peek(g->model, pfn, got), 0);
	cr_expect(!memcmp(zero, got, sizeof(zero)), "pfn %llu is not zero",
		  (unsigned long long)pfn);
}

void rig_free(struct rig *g)
{
	builder_free(&g->b);
	xr_model_destroy(&g->model);
}
