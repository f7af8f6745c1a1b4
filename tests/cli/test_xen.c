/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* On the Xen host, which here is the installed libxenctrl upon the preloaded model. */
#include "cli/shell.h"

#include "host/model.h"
#include "lib/digest.h"

#include <criterion/criterion.h>
#include <string.h>

CLI_SUITE(xen);

/* What the guest is given by the installed libxenguest, whose word counts. */
static struct xr_model_given given_by_stock(void)
{
	struct xr_model_given given;
	struct xr_model_settings set;
	struct xr_model *m;

	xr_model_settings_default(&set);
	cr_assert_eq(xr_model_create(&m, &set), 0);
	cr_assert_eq(sh("LD_PRELOAD=%s XR_MODEL_FD=%d %s -n -s 847 $S", PRELOAD, xr_model_share(m),
			STOCK_RESTORE)
			     .code,
		     0);
	xr_model_given(m, &given);
	xr_model_destroy(&m);
	return given;
}

/* The Xen host through the installed libxenctrl and libxenguest, by either kind of worker. */
Test(cli_xen, the_xen_host_restores_through_libxenctrl)
{
	const struct xr_model_given want = given_by_stock();
	static const char *const ways[] = {
		"--worker-kind process $S",
		"--worker-kind thread $S",
		"--policy speculative $S",
		"- <$S",
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct xr_model *m;
		struct xr_model_settings set;
		struct xr_model_stats st;
		struct xr_model_given given;
		struct outcome o;
		char hex[65];

		xr_model_settings_default(&set);
		set.max_pages = POPULATED + 512;
		cr_assert_eq(xr_model_create(&m, &set), 0);
		o = sh("LD_PRELOAD=%s XR_MODEL_FD=%d $P restore -q --host xen --domid 1 "
		       "--store-evtchn 3 --console-evtchn 4 --store-domid 5 "
		       "--console-domid 6 %s",
		       PRELOAD, xr_model_share(m), ways[i]);
		cr_expect_eq(o.code, 0, "%s: %s", ways[i], o.err);
		cr_expect_str_eq(o.err, "");
		cr_assert_eq(digest_model(m, hex), 0);
		cr_expect_str_eq(hex, DIGEST, "%s", ways[i]);
		xr_model_stats(m, &st);
		cr_expect_eq(st.tot_pages, POPULATED);
		cr_expect_eq(st.whole_2m, WHOLE_2M);
		cr_expect_eq(st.live_mappings, 0);
		cr_expect_eq(st.leaked + st.released_empty + st.released_mapped, 0);
		cr_expect_eq(xr_model_param(m, 2), 3);
		cr_expect_eq(xr_model_param(m, 18), 4);
		xr_model_given(m, &given);
		cr_expect_eq(memcmp(&given, &want, sizeof(want)), 0, "%s", ways[i]);
		xr_model_destroy(&m);
	}
}

/* A toolstack that calls xc_domain_restore() itself: the engine takes the call, or leaves it. */
Test(cli_xen, a_toolstack_of_libxenguest_gets_the_engine_by_preload)
{
	struct outcome o = sh("LD_PRELOAD=%s:%s XR_MODEL_MAX_PAGES=%d %s -s 847 $S", SHIM, PRELOAD,
			      POPULATED + 600, STOCK_RESTORE);

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, DIGEST), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "\"whole_2m\": 7"), "%s", o.out);
	o = sh("head -c 2000000 $S >$D/cut; LD_PRELOAD=%s:%s XR_MODEL_MAX_PAGES=9999 %s -s 847 $D/cut",
	       SHIM, PRELOAD, STOCK_RESTORE);
	cr_expect_neq(o.code, 0);
	cr_expect_not_null(strstr(o.err, "xc: error: xenrestore: stream"), "%s", o.err);
	cr_expect_not_null(strstr(o.out, "\"last_error\": 1"), "%s", o.out);
}

Test(cli_xen, preloaded_the_engine_takes_pv_domains_too)
{
	struct outcome o =
		sh("LD_PRELOAD=%s:%s XR_MODEL_PV=1 %s -v -s 847 $S", SHIM, PRELOAD, STOCK_RESTORE);

	cr_expect_neq(o.code, 0);
	cr_expect_not_null(strstr(o.err, "xenrestore: setup: the stream holds an HVM"), "%s",
			   o.err);
	cr_expect_null(strstr(o.err, "x86_pv"), "%s", o.err);
}
