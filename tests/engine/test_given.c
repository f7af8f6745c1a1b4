/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest is given what the stream and the caller say, each value in its place. */
#include "generate/emit.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <string.h>

struct body {
	const unsigned char *data; /* NULL: no such record */
	uint32_t length;
};

/* The last record of this type in a bare libxc stream. */
static struct body find(const struct rig *g, uint32_t type)
{
	const unsigned char *p = builder_data(&g->b), *end = p + builder_size(&g->b);
	struct body found = { NULL, 0 };

	for (p += 24 + 16; p < end;) {
		uint32_t head[2];

		memcpy(head, p, sizeof(head));
		if (head[0] == type)
			found = (struct body){ p + 8, head[1] };
		p += 8 + (head[1] + 7) / 8 * 8;
	}
	return found;
}

static uint64_t hash_of(struct body b)
{
	return xr_model_hash(b.data, b.length);
}

Test(given, each_value_is_where_it_belongs)
{
	const uint64_t entry[4] = { 0, 1, 2, 3 };
	const uint32_t versions[] = { 2, 3 };

	for (unsigned int i = 0; i < 2; i++) {
		struct xr_model_given got;
		struct body tsc, context;
		struct rig g;
		struct {
			uint32_t mode, khz;
			uint64_t nsec;
			uint32_t incarnation;
		} t;

		rig_init(&g, 512, versions[i]);
		if (versions[i] == 3)
			builder_static(&g.b, true, true);
		builder_page_data(&g.b, entry, 4, NULL);
		rig_tail(&g);
		g.set.store_port = 3;
		g.set.console_port = 4;
		g.set.store_domid = 5;
		g.set.console_domid = 6;
		cr_assert_eq(rig_run(&g, i ? FEED_FILE : FEED_PIPE), 0, "%s", g.err.text);
		xr_model_given(g.model, &got);

		tsc = find(&g, XR_EMIT_TSC_INFO);
		memcpy(&t, tsc.data, 20);
		cr_expect_eq(got.tsc_mode, t.mode);
		cr_expect_eq(got.tsc_khz, t.khz);
		cr_expect_eq(got.tsc_nsec, t.nsec);
		cr_expect_eq(got.tsc_incarnation, t.incarnation);
		context = find(&g, XR_EMIT_HVM_CONTEXT);
		cr_expect_eq(got.context_bytes, context.length);
		cr_expect_eq(got.context_hash, hash_of(context));
		if (versions[i] == 3) {
			cr_expect_eq(got.leaves, find(&g, XR_EMIT_CPUID_POLICY).length / 24);
			cr_expect_eq(got.leaves_hash, hash_of(find(&g, XR_EMIT_CPUID_POLICY)));
			cr_expect_eq(got.msrs, find(&g, XR_EMIT_MSR_POLICY).length / 16);
			cr_expect_eq(got.msrs_hash, hash_of(find(&g, XR_EMIT_MSR_POLICY)));
		} else {
			cr_expect_eq(got.leaves + got.msrs, 0);
		}
		cr_expect_eq(got.store_gfn, 1);
		cr_expect_eq(got.console_gfn, 2);
		cr_expect_eq(got.store_domid, 5);
		cr_expect_eq(got.console_domid, 6);
		cr_expect_eq(g.res.store_gfn, 1);
		cr_expect_eq(g.res.console_gfn, 2);
		cr_expect_eq(xr_model_param(g.model, 2), 3);
		cr_expect_eq(xr_model_param(g.model, 18), 4);
		rig_free(&g);
	}
}
