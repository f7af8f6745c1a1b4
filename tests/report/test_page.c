/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pages in a browser, as wide as a desktop's window and as narrow as a phone's. XR_SHOTS names
 * a folder that keeps the pictures. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(page, .timeout = 600);

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

	snprintf(line, sizeof(line), "python3 %s %s/%s.html %d %s/%s-%d.png", LOOK, dir, page,
		 width, shots ? shots : dir, page, width);
	f = popen(line, "re");
	cr_assert_not_null(f);
	j = json_loadf(f, 0, NULL);
	cr_assert_eq(pclose(f), 0, "%s", line);
	cr_assert_not_null(j, "%s", line);
	return j;
}

static void expect_good(const char *dir, const char *page, int width, json_int_t plots)
{
	json_t *j = look(dir, page, width), *errors, *outside;
	json_int_t is, scroll, drawn, bytes;

	cr_assert_eq(json_unpack(j, "{s:I,s:I,s:o,s:o,s:I,s:I}", "width", &is, "scroll", &scroll,
				 "errors", &errors, "outside", &outside, "plots", &drawn, "bytes",
				 &bytes),
		     0);
	cr_expect_eq(is, width);
	cr_expect_leq(scroll, width, "%s is wider than %d", page, width);
	cr_expect_eq(json_array_size(errors), 0, "%s, %d: %s", page, width,
		     json_string_value(json_array_get(errors, 0)));
	cr_expect_eq(json_array_size(outside), 0, "%s, %d: '%s' lies outside", page, width,
		     json_string_value(json_array_get(outside, 0)));
	cr_expect_geq(drawn, plots, "%s has %d plots", page, (int)drawn);
	cr_expect_gt(bytes, 32, "%s at %d is blank", page, width);
	json_decref(j);
}

Test(page, a_report_fits_a_desktop_and_a_phone)
{
	char dir[] = "/tmp/xr-page-XXXXXX", line[1024];

	if (system("command -v chromium >/dev/null && command -v python3 >/dev/null"))
		cr_skip_test("no chromium here");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(
		line, sizeof(line),
		"cd %s && %s generate -q -s 256M --passes 3 s && %s restore -q --report file.html s && "
		"cat s | %s restore -q --report pipe.html --policy 4k - && "
		"{ head -c 100000000 s | %s restore -q --report failed.html - 2>err; test $? = 1; }",
		dir, PROGRAM, PROGRAM, PROGRAM, PROGRAM);
	run(line);
	expect_good(dir, "file", 1280, 5);
	expect_good(dir, "file", 390, 5);
	expect_good(dir, "pipe", 1280, 5);
	expect_good(dir, "pipe", 390, 5);
	expect_good(dir, "failed", 390, 5);
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	run(line);
}
