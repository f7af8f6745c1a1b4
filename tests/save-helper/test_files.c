/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that the helper's environment asks for tell of the restore, and take nothing from it. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(save_helper_files, .init = setup, .fini = teardown, .timeout = 120);

static bool has(const char *name, const char *word)
{
	static char text[1 << 20];
	FILE *f = fopen(in_dir(name), "re");
	size_t n;

	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return strstr(text, word);
}

static bool is_there(const char *name)
{
	return !access(in_dir(name), F_OK);
}

static void restore_file(struct libxl *l)
{
	start_restore(l, stream_file(), PLAIN, 0);
	libxl_serve(l);
}

Test(save_helper_files, tell_of_a_restore)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };
	json_t *receipt;

	ask_for_files(in_dir("."));
	restore_file(&l);
	expect_guest(&l, m);
	cr_expect(has("METRICS.1", "xenrestore_success{host=\"xen\",domid=\"1\"} 1\n"));
	cr_expect(has("REPORT.1", "<html"));
	cr_expect(has("TRACE.1", "\"traceEvents\""));
	receipt = json_load_file(in_dir("RECEIPT.1"), 0, NULL);
	cr_expect_gt(json_array_size(json_object_get(receipt, "regions")), 10);
	json_decref(receipt);
	xr_model_destroy(&m);
}

Test(save_helper_files, tell_of_one_that_fails)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };
	pid_t writer;

	ask_for_files(in_dir("."));
	start_restore(&l, piped_stream(&writer, 4u << 20, false), PLAIN, 0);
	libxl_serve(&l);
	expect_exit(&l, 0);
	cr_expect_eq(l.retval, -1);
	cr_expect(has("METRICS.1", "xenrestore_success{host=\"xen\",domid=\"1\"} 0\n"));
	cr_expect(has("REPORT.1", "<html"));
	cr_expect(is_there("TRACE.1"));
	cr_expect_not(is_there("RECEIPT.1"));
	xr_model_destroy(&m);
}

Test(save_helper_files, that_cannot_be_written_do_not_matter)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };

	ask_for_files(in_dir("nowhere"));
	setenv("XENRESTORE_METRICS", "/dev/full", 1);
	restore_file(&l);
	expect_guest(&l, m);
	cr_expect_eq(logs_with(&l, "cannot write"), 4);
	cr_expect_eq(logs_with(&l, "/dev/full"), 1);
	xr_model_destroy(&m);
}

/* There is no word of it to libxl: of what failed before the restore began there is a page, too. */
Test(save_helper_files, tell_of_a_restore_that_cannot_begin)
{
	struct libxl l = { .retval = -9 };

	ask_for_files(in_dir("."));
	setenv("XR_MODEL_FD", "999", 1);
	restore_file(&l);
	expect_exit(&l, 0);
	cr_expect_eq(l.retval, -1);
	cr_expect(has("METRICS.1", "xenrestore_success{host=\"xen\",domid=\"1\"} 0\n"));
	cr_expect(has("REPORT.1", "\"stage\":\"setup\""));
}

Test(save_helper_files, options_of_the_environment_count)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };

	setenv("XENRESTORE_OPTIONS", "--workers 3  --worker-kind=thread --policy 4k", 1);
	restore_file(&l);
	expect_guest(&l, m);
	cr_expect_eq(logs_with(&l, " 0 x 2M"), 1);
	cr_expect_eq(logs_with(&l, " 3 workers"), 1);
	xr_model_destroy(&m);
}

Test(save_helper_files, options_that_are_none_are_told_and_left)
{
	static const char *const bad[] = { "--workers 3 --domid 5", "--workers 3 file",
					   "--workers" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct xr_model *m = domain(false);
		struct libxl l = { .retval = -9 };

		setenv("XENRESTORE_OPTIONS", bad[i], 1);
		restore_file(&l);
		cr_expect_not_null(strstr(libxl_stderr(&l), "is not heeded"), "%s", bad[i]);
		expect_guest(&l, m);
		cr_expect_eq(logs_with(&l, " 3 workers"), 0);
		xr_model_destroy(&m);
	}
}
