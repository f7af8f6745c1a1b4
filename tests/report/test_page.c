/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages and drawings in a browser, as wide as a desktop's window and as narrow as a phone's.
 * XR_SHOTS names a folder that keeps the pictures. */
#include "lib/sanitizer.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(page, .timeout = 1500);

static void run(const char *line)
{
	cr_assert_eq(system(line), 0, "%s", line);
}

static json_t *look(const char *dir, const char *page, int width)
{
	const char *shots = getenv("XR_SHOTS");
	char line[1024];
	json_t *j;
	FILE *f;

	snprintf(line, sizeof(line), "python3 %s %s/%s %d %s/%s-%d.png", LOOK, dir, page, width,
		 shots ? shots : dir, page, width);
	f = popen(line, "re");
	cr_assert_not_null(f);
	j = json_loadf(f, 0, NULL);
	cr_assert_eq(pclose(f), 0, "%s", line);
	cr_assert_not_null(j, "%s", line);
	return j;
}

/* The list has nothing in it. */
static void expect_none(json_t *j, const char *list, const char *page, int width)
{
	json_t *found = json_object_get(j, list);

	cr_assert(json_is_array(found));
	cr_expect_eq(json_array_size(found), 0, "%s, %d: %s: %s", page, width, list,
		     json_string_value(json_array_get(found, 0)));
}

static void expect_good(const char *dir, const char *page, int width, json_int_t plots)
{
	json_t *j = look(dir, page, width);
	json_int_t is, scroll, drawn, bytes;

	cr_assert_eq(json_unpack(j, "{s:I,s:I,s:I,s:I}", "width", &is, "scroll", &scroll, "plots",
				 &drawn, "bytes", &bytes),
		     0);
	cr_expect_eq(is, width);
	cr_expect_leq(scroll, width, "%s is wider than %d", page, width);
	expect_none(j, "errors", page, width);
	expect_none(j, "outside", page, width);
	expect_none(j, "overlaps", page, width);
	cr_expect_geq(drawn, plots, "%s has %d plots", page, (int)drawn);
	cr_expect_gt(bytes, 32, "%s at %d is blank", page, width);
	json_decref(j);
}

/* Why nothing is looked at; NULL if it is. The pages are the same in every build. */
static const char *blind(void)
{
	if (SANITIZED)
		return "pages are looked at without a sanitizer";
	return system("command -v chromium >/dev/null && command -v python3 >/dev/null")
		       ? "no chromium here"
		       : NULL;
}

/* In a folder of its own, in which $P is the program; then look at what the shell line made. */
static void make(char *dir, const char *shell)
{
	char line[1024];

	cr_assert_not_null(mkdtemp(dir));
	snprintf(line, sizeof(line), "cd %s && P=%s && { %s; }", dir, PROGRAM, shell);
	run(line);
}

static void drop(const char *dir)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	run(line);
}

Test(page, a_report_fits_a_desktop_and_a_phone)
{
	char dir[] = "/tmp/xr-page-XXXXXX";

	if (blind())
		cr_skip_test("%s", blind());
	make(dir,
	     "$P generate -q -s 256M --passes 3 s && $P restore -q --report file.html s && "
	     "cat s | $P restore -q --report pipe.html --policy 4k - && "
	     "{ head -c 100000000 s | $P restore -q --report failed.html - 2>err; test $? = 1; } && "
	     "grep -q '\"where\":\", at offset [0-9]*, record' failed.html && "
	     "grep -q '\"next\":\"copy or save it anew' failed.html && "
	     "{ $P restore -q --report nothing.html /dev/zero 2>err; test $? = 1; }");
	expect_good(dir, "file.html", 1280, 5);
	expect_good(dir, "file.html", 390, 5);
	expect_good(dir, "pipe.html", 1280, 5);
	expect_good(dir, "pipe.html", 390, 5);
	expect_good(dir, "failed.html", 390, 5);
	expect_good(dir, "nothing.html", 390, 0);
	drop(dir);
}

Test(page, a_bench_fits_a_desktop_and_a_phone)
{
	char dir[] = "/tmp/xr-page-XXXXXX";

	if (blind())
		cr_skip_test("%s", blind());
	make(dir, "$P bench -q -s 16M -n 1 --contenders ours,limit --sources file,pipe "
		  "--workers 1,2 --watched receipt --scale 8M,32M --html bench.html");
	expect_good(dir, "bench.html", 1280, 5);
	expect_good(dir, "bench.html", 390, 5);
	drop(dir);
}

/* A drawing has its own width. */
Test(page, a_map_has_nothing_on_something_else)
{
	char dir[] = "/tmp/xr-page-XXXXXX";

	if (blind())
		cr_skip_test("%s", blind());
	make(dir, "$P generate -q -s 96M --passes 3 --holes 100 --hole-run 3000 - | "
		  "$P inspect -q --map live.svg - && $P generate -q -s 6G --types-only --holes 300 "
		  "--hole-run 9000 - | $P inspect -q --map big.svg - && zstd -dc " XR_TEST_DATA
		  "/pvh-cut.save.zst | $P inspect -q --map real.svg -");
	expect_good(dir, "live.svg", 1500, 1);
	expect_good(dir, "big.svg", 800, 1);
	expect_good(dir, "real.svg", 1500, 1);
	drop(dir);
}
