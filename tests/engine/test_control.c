/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control records: what is set in Xen, in which order, and what each refusal is reported as. */
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

static const uint64_t four[] = { XR_EMIT_ENTRY(XR_EMIT_NOTAB, 0), XR_EMIT_ENTRY(XR_EMIT_NOTAB, 1),
				 XR_EMIT_ENTRY(XR_EMIT_NOTAB, 2), XR_EMIT_ENTRY(XR_EMIT_NOTAB, 3) };

static void small_guest(struct rig *g, uint32_t version)
{
	rig_init(g, 4096, version);
	if (version == 3)
		builder_static(&g->b, true, true);
	builder_page_data(&g->b, four, 4, NULL);
	rig_tail(g);
}

Test(control, state_is_set_in_the_order_of_xen_s_own_restorer)
{
	struct rig g;

	small_guest(&g, 3);
	g.set.store_port = 5;
	g.set.console_port = 6;
	cr_assert_eq(rig_run(&g, FEED_PIPE), 0, "%s", g.err.text);
	cr_assert_str_eq(xr_model_log(g.model),
			 "policy tsc param:1 param:17 param:2 param:18 context grants");
	cr_assert_eq(xr_model_param(g.model, 2), 5);
	cr_assert_eq(xr_model_param(g.model, 18), 6);
	cr_assert_eq(g.res.store_gfn, 1);
	cr_assert_eq(g.res.console_gfn, 2);
	rig_expect_clean(&g);
	rig_free(&g);
}

Test(control, pages_of_the_rings_are_cleared_after_their_contents_came)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_SOCKET; kind++) {
		struct rig g;

		small_guest(&g, 3);
		cr_assert_eq(rig_run(&g, kind), 0, "%s", g.err.text);
		rig_expect_zero(&g, 1);
		rig_expect_zero(&g, 2);
		rig_expect_page(&g, 0, 3);
		rig_expect_page(&g, 3, 3);
		rig_expect_clean(&g);
		rig_free(&g);
	}
}

Test(control, a_page_sent_after_the_parameters_is_not_cleared)
{
	const struct xr_emit_param store = { XR_EMIT_STORE_PFN, 1 };
	struct rig g;

	rig_init(&g, 4096, 3);
	builder_static(&g.b, true, true);
	builder_page_data(&g.b, four, 4, NULL);
	builder_params(&g.b, &store, 1);
	builder_page_data(&g.b, &four[1], 1, NULL);
	builder_context(&g.b);
	builder_end(&g.b, false, 0);
	cr_assert_eq(rig_run(&g, FEED_FILE), 0, "%s", g.err.text);
	cr_assert_not(g.res.indexed);
	rig_expect_page(&g, 1, 5);
	rig_free(&g);
}

Test(control, old_savers_pae_parameter_is_left_out)
{
	const struct xr_emit_param params[] = { { 4, 1 }, { 12, 3 } };
	struct rig g;

	rig_init(&g, 4096, 2);
	builder_page_data(&g.b, four, 4, NULL);
	builder_params(&g.b, params, 2);
	builder_context(&g.b);
	builder_end(&g.b, false, 0);
	cr_assert_eq(rig_run(&g, FEED_PIPE), 0, "%s", g.err.text);
	cr_assert_eq(xr_model_param(g.model, 4), ~(uint64_t)0);
	cr_assert_eq(xr_model_param(g.model, 12), 3);
	cr_assert_eq(g.res.store_gfn, XR_NO_PFN);
	rig_free(&g);
}

struct seen {
	struct rig *g;
	unsigned int calls, missing;
	uint64_t populated;
	int answer;
};

static int static_data_done(unsigned int missing, void *opaque)
{
	struct seen *s = opaque;
	struct xr_model_stats st;

	xr_model_stats(s->g->model, &st);
	s->populated = st.calls[XR_CALL_POPULATE];
	s->missing = missing;
	s->calls++;
	return s->answer;
}

struct policies {
	uint32_t version;
	bool cpuid, msr;
	unsigned int missing;
};

Test(control, static_data_is_done_once_before_any_memory)
{
	static const struct policies cases[] = {
		{ 3, true, true, 0 },	{ 3, false, true, 1 },	{ 3, true, false, 2 },
		{ 3, false, false, 3 }, { 2, false, false, 3 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig g;
		struct seen s = { .g = &g };

		rig_init(&g, 4096, cases[i].version);
		if (cases[i].version == 3)
			builder_static(&g.b, cases[i].cpuid, cases[i].msr);
		builder_page_data(&g.b, four, 4, NULL);
		rig_tail(&g);
		g.set.callbacks.static_data_done = static_data_done;
		g.set.opaque = &s;
		cr_assert_eq(rig_run(&g, i & 1 ? FEED_FILE : FEED_PIPE), 0, "%s", g.err.text);
		cr_expect_eq(s.calls, 1);
		cr_expect_eq(s.missing, cases[i].missing);
		cr_expect_eq(s.populated, 0);
		cr_expect_eq(strncmp(xr_model_log(g.model), "policy", 6) == 0,
			     cases[i].cpuid || cases[i].msr);
		rig_free(&g);
	}
}

Test(control, a_toolstack_s_refusal_ends_the_restore)
{
	struct rig g;
	struct seen s = { .g = &g, .answer = -1 };

	small_guest(&g, 3);
	g.set.callbacks.static_data_done = static_data_done;
	g.set.opaque = &s;
	cr_assert_eq(rig_run(&g, FEED_PIPE), -EIO);
	cr_assert_eq(g.err.stage, XR_STAGE_ENGINE);
	cr_assert(g.err.host_failed);
	cr_assert_eq(g.err.type, XR_EMIT_STATIC_DATA_END);
	rig_expect_clean(&g);
	rig_free(&g);
}

Test(control, every_refusal_of_the_host_is_reported_as_its_own)
{
	static const struct {
		enum xr_model_call call;
		enum xr_stage stage;
	} cases[] = {
		{ XR_CALL_CPU_POLICY, XR_STAGE_ENGINE }, { XR_CALL_TSC, XR_STAGE_ENGINE },
		{ XR_CALL_PARAM, XR_STAGE_ENGINE },	 { XR_CALL_CONTEXT, XR_STAGE_ENGINE },
		{ XR_CALL_GRANTS, XR_STAGE_ENGINE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig g;

		small_guest(&g, 3);
		xr_model_fail(g.model, cases[i].call, 1, -1, -EPERM);
		cr_expect_eq(rig_run(&g, FEED_FILE), -EPERM, "case %zu: %s", i, g.err.text);
		cr_expect_eq(g.err.stage, cases[i].stage);
		cr_expect(g.err.host_failed);
		rig_expect_clean(&g);
		rig_free(&g);
	}
}

Test(control, a_stream_without_a_context_is_refused)
{
	struct rig g;

	rig_init(&g, 4096, 3);
	builder_static(&g.b, true, true);
	builder_page_data(&g.b, four, 4, NULL);
	builder_end(&g.b, false, 0);
	cr_assert_eq(rig_run(&g, FEED_PIPE), -EBADMSG);
	cr_assert_not(g.err.host_failed);
	cr_assert_not_null(strstr(g.err.text, "HVM_CONTEXT"));
	rig_free(&g);
}

Test(control, verify_compares_and_counts_but_does_not_write)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_SOCKET; kind++) {
		unsigned char other[4 * XR_PAGE_SIZE];
		struct rig g;

		rig_init(&g, 4096, 3);
		builder_static(&g.b, true, true);
		builder_page_data(&g.b, four, 4, NULL);
		for (uint64_t i = 0; i < 4; i++)
			builder_fill(i, 3, other + i * XR_PAGE_SIZE);
		other[XR_PAGE_SIZE * 3 + 17] ^= 1;
		builder_record(&g.b, XR_EMIT_VERIFY, NULL, 0);
		builder_page_data(&g.b, four, 4, other);
		builder_context(&g.b);
		builder_end(&g.b, false, 0);
		cr_assert_eq(rig_run(&g, kind), 0, "%s", g.err.text);
		cr_expect_eq(g.res.verify_differences, 1);
		cr_expect_eq(g.res.verify_lowest_pfn, four[3]);
		rig_expect_page(&g, 3, 3);
		rig_expect_clean(&g);
		rig_free(&g);
	}
}
