/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receipts, and what is held against them. */
#include "cli/shell.h"

#include "host/model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CLI_SUITE(verify);

/* A receipt without what differs from restore to restore. */
#define BODY(file) "grep -e digests -e '^  \\[' $D/" file

Test(cli_verify, a_receipt_is_the_same_by_any_way)
{
	static const char *const ways[] = {
		"$P restore -q --receipt $D/r - <$S",
		"cat $S | $P restore -q --receipt $D/r -",
		"cat $S | $P restore -q --receipt $D/r --io plain --worker-kind thread -",
		"$P restore -q --receipt $D/r --policy speculative --workers 3 $S",
		"$P restore -q --receipt $D/r --policy 4k --worker-kind process --without-memory $S",
		"tail -c +848 $S | $P restore -q --receipt $D/r --workers 1 -",
	};
	struct outcome o = sh("$P restore -q --receipt $D/first $S && " BODY("first") " | wc -l");

	cr_expect_gt(atoi(o.out), WHOLE_2M, "%s", o.err);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		o = sh("%s && " BODY("r") " >$D/a; " BODY("first") " | cmp - $D/a", ways[i]);
		cr_expect_eq(o.code, 0, "%s: %s%s", ways[i], o.out, o.err);
	}
}

Test(cli_verify, a_changed_byte_is_named_by_its_region)
{
	struct outcome o = sh("$P restore -q --receipt $D/r $S; $P verify $D/r --stream $S");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "as the receipt says"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "0xfeffc: xenstore ring"), "%s", o.out);
	o = sh("cp $S $D/bad; printf '\\377\\377' | dd of=$D/bad bs=1 seek=1300000 conv=notrunc status=none; "
	       "$P verify $D/r --stream $D/bad --json >$D/j; test $? = 1 && cat $D/bad | "
	       "$P verify $D/r --stream - --json | cmp - $D/j && python3 -c 'import json, sys; "
	       "j = json.load(sys.stdin); print(j[\"verdict\"], j[\"regions_differing\"], "
	       "j[\"records_differ\"])' <$D/j");
	cr_expect_str_eq(o.out, "differs 1 False\n", "%s", o.err);
	o = sh("head -c 2000000 $S | $P verify $D/r --stream -");
	expect_failure(&o, 1, "too early");
	o = sh("$P generate -q -s 8M $D/other; $P verify -q $D/r --stream $D/other");
	cr_expect_eq(o.code, 1, "%s", o.err);
}

Test(cli_verify, a_receipt_is_written_whole_and_taken_whole)
{
	struct outcome o = sh("mkdir $D/o; $P restore -q --receipt $D/o/r $S; cp $D/o/r $D/good; "
			      "head -c 2000000 $S | $P restore -q --receipt $D/o/r -; "
			      "cmp $D/o/r $D/good && ls -A $D/o");

	cr_expect_str_eq(o.out, "r\n", "a failed restore leaves the receipt of before");
	o = sh("$P restore --receipt $D/nowhere/r $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("sed '/0x400/d' $D/good >$D/r; $P verify $D/r --stream $S");
	expect_failure(&o, 2, "not those that its digest is of");
	o = sh("$P verify $S --stream $S");
	expect_failure(&o, 2, "cannot use the receipt");
	o = sh("$P verify $D/good");
	expect_failure(&o, 2, "--domid");
	o = sh("$P verify $D/good --domid 1");
	expect_failure(&o, 3, "domain 1");
	expect_failure(&o, 3, "by --stream");
}

/* A domain of Xen, as it was restored and with one byte changed in it. */
Test(cli_verify, a_domain_is_held_against_its_receipt)
{
	unsigned char page[XR_PAGE_SIZE];
	struct xr_model_settings set;
	struct xr_model *m;
	struct outcome o;
	char verify[256];

	xr_model_settings_default(&set);
	cr_assert_eq(xr_model_create(&m, &set), 0);
	snprintf(verify, sizeof(verify), "LD_PRELOAD=%s XR_MODEL_FD=%d $P", PRELOAD,
		 xr_model_share(m));
	o = sh("%s restore -q --host xen --domid 1 --receipt $D/r $S && %s verify $D/r --domid 1",
	       verify, verify);
	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(
		strstr(o.out, "the memory that was compared of the domain is as the receipt says"),
		"%s", o.out);
	cr_expect_not_null(strstr(o.out, "a paused domain that never ran"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "not seen  frames outside of the receipt"), "%s", o.out);
	o = sh("%s verify --json $D/r --domid 1 | python3 -c 'import json, sys; "
	       "print(json.load(sys.stdin)[\"not_looked_at\"][2])'",
	       verify);
	cr_expect_str_eq(o.out, "vcpus\n", "%s", o.err);
	/* The rings are not compared: backends may write there before the guest runs. */
	memset(page, 0x5a, sizeof(page));
	cr_assert_eq(xr_model_poke(m, 0xfeffc, page), 0);
	cr_expect_eq(sh("%s verify -q $D/r --domid 1 --workers 3", verify).code, 0);
	cr_assert_eq(xr_model_peek(m, 0x434, page), 0);
	page[4095] ^= 1;
	cr_assert_eq(xr_model_poke(m, 0x434, page), 0);
	o = sh("%s verify $D/r --domid 1 --workers 3", verify);
	cr_expect_eq(o.code, 1, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "differ    1 region\n          pfn 0x400 to 0x5ff\n"),
			   "%s", o.out);
	xr_model_destroy(&m);
}
