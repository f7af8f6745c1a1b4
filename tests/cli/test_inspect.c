/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore inspect` as its users see it. */
#include "cli/shell.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

CLI_SUITE(inspect);

/* Its first rows for people, its keys for programs, and the same verdict. */
Test(cli_inspect, inspect_tells_what_is_in_a_stream)
{
	struct outcome o = sh("$P inspect $S");
	json_int_t populated, whole, zero = -1;
	const char *verdict, *name;
	json_t *j;

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "0 x 1G, 7 x 2M, 1366 x 4K"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "STORE_PFN              0xfeffc"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "not counted"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "problems  none\nverdict   good\n"), "%s", o.out);
	o = sh("cat $S | $P inspect --json -");
	j = json_loads(o.out, 0, NULL);
	cr_assert_not_null(j, "%s", o.out);
	cr_assert_eq(json_unpack(j, "{s:s,s:{s:I,s:I},s:{s:I},s:{s:s}}", "verdict", &verdict,
				 "pages", "populated", &populated, "zero", &zero, "plan",
				 "whole_2m_regions", &whole, "layers", "outermost", &name),
		     0);
	cr_expect_str_eq(verdict, "good");
	cr_expect_eq(populated, POPULATED);
	cr_expect_eq(whole, WHOLE_2M);
	cr_expect_geq(zero, 0);
	cr_expect_str_eq(name, "xl");
	json_decref(j);
	o = sh("$P inspect --json --contents $S | jq -r .pages.zero 2>/dev/null || echo %lld",
	       (long long)zero);
	cr_expect_eq(strtoll(o.out, NULL, 10), zero);
}

Test(cli_inspect, inspect_lists_records_and_draws)
{
	struct outcome o = sh("$P inspect --records --json $S | python3 -c 'import json, sys; "
			      "print(len(json.load(sys.stdin)[\"records\"]))'");

	cr_expect_eq(atoi(o.out), 1027, "%s", o.out);
	o = sh("$P inspect -r $S | grep -c '  PAGE_DATA  '");
	cr_expect_eq(atoi(o.out), 1020, "%s", o.out);
	o = sh("$P generate -q -s 1T --types-only --holes 50 --hole-run 100000 - | "
	       "head -c 30000000 >$D/cut; $P inspect --map $D/map -q $D/cut; echo $?; "
	       "python3 -c 'import xml.dom.minidom as m, sys; "
	       "print(len(m.parse(sys.argv[1]).getElementsByTagName(\"rect\")))' $D/map");
	cr_expect_eq(atoi(o.out), 1, "a stream that is cut: %s", o.out);
	cr_expect(atoi(o.out + 2) > 10 && atoi(o.out + 2) < 30000, "%s%s", o.out, o.err);
	o = sh("$P inspect --map - $S | tail -n 1");
	cr_expect_str_eq(o.out, "</svg>\n");
}

/*
 * Of a file with contents only heads and lists are read, 8 bytes for each page's 4096.
 * XR_INSPECT_GIB makes it as large as the disk takes: a TiB takes 3 GiB of it.
 */
Test(cli_inspect, a_large_file_is_inspected_by_its_heads)
{
	const char *gib = getenv("XR_INSPECT_GIB") ?: "16";
	struct outcome o = sh("$P generate -q -s 8M $D/small >$D/sum && "
			      "python3 %s $P $D/small $D/large %s; rm -f $D/large",
			      LARGE, gib);
	unsigned long pages = 0, times = 0;
	char verdict[8] = "";

	cr_assert_eq(sscanf(o.out, "%7s %lu %lu", verdict, &pages, &times), 3, "%s%s", o.out,
		     o.err);
	cr_expect_str_eq(verdict, "good");
	cr_expect_eq(pages, (strtoul(gib, NULL, 10) << 18) + (8 << 8) + 8);
	cr_expect_geq(times, 100, "%lu pages of the file for one that is read", times);
}

Test(cli_inspect, inspect_exits_by_its_verdict)
{
	cr_expect_eq(sh("head -c 2000000 $S >$D/cut; $P inspect -q $D/cut").code, 1);
	cr_expect_eq(sh("$P inspect -q /dev/null").code, 1);
	cr_expect_eq(sh("$P inspect -q $D/absent").code, 2);
	cr_expect_eq(sh("$P inspect -q $D").code, 2);
	cr_expect_eq(sh("$P inspect").code, 2);
	cr_expect_eq(sh("$P inspect --max-order 5 $S").code, 2);
	cr_expect_eq(sh("$P inspect --frobnicate $S").code, 2);
	cr_expect_eq(sh("$P inspect $S >/dev/full").code, 3);
	cr_expect_eq(sh("$P inspect -q --map /nowhere/x $S").code, 3);
}
