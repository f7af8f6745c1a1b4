/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The save helper as libxl runs it: over two pipes, on the preloaded model. */
#include "fixture.h"
#include "lib/pvguest.h"
#include "lib/pvref.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(save_helper, .init = setup, .fini = teardown, .timeout = 120);

/* What libxl gets of a restore that failed: everything but a guest. The engine logs the cause of
 * a failed run, the helper its place; before that there is one error with both. */
static void expect_failure(struct libxl *l, const char *order, unsigned int nerrors)
{
	expect_exit(l, 0);
	cr_expect_str_eq(l->order, order);
	cr_expect_eq(l->store_gfn, 0);
	cr_expect_eq(l->console_gfn, 0);
	cr_expect_eq(l->retval, -1);
	cr_expect_gt(l->errnoval, 0);
	cr_expect_eq(errors(l), nerrors);
	cr_expect_eq(errors_with(l, "stage "), 1);
	cr_expect_eq(errors_with(l, " -1"), 0);
	cr_expect_eq(errors_with(l, "fffffff"), 0);
	cr_expect_eq(errors_with(l, "18446744073709551615"), 0);
	for (unsigned int i = 0; i < l->nlogs; i++)
		for (unsigned int k = 0; k < i; k++)
			cr_expect_str_neq(l->logs[i].text, l->logs[k].text);
}

Test(save_helper, a_good_stream_makes_the_guest)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };
	struct facts f = manifest();
	int fd = stream_file();

	start_restore(&l, fd, PLAIN, 0);
	libxl_serve(&l);
	expect_guest(&l, m);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), f.end, "at %ld", (long)lseek(fd, 0, SEEK_CUR));
	json_decref(f.json);
	xr_model_destroy(&m);
}

static void expect_cut(int fd, const char *order)
{
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };

	start_restore(&l, fd, PLAIN, 0);
	libxl_serve(&l);
	expect_failure(&l, order, 2);
	cr_expect_eq(errors_with(&l, ", at offset "), 1);
	cr_expect_eq(errors_with(&l, ", record "), 1);
	cr_expect_eq(errors_with(&l, " (copy or save it anew; a sender may have died)"), 1);
	cr_expect_eq(errors_with(&l, "pfn"), 0);
	xr_model_destroy(&m);
}

/* The index finds out before anything is restored. */
Test(save_helper, a_cut_file_fails_as_libxl_wants_it)
{
	int fd = stream_file();

	cr_assert_eq(truncate(in_dir("s"), 2000000), 0);
	expect_cut(fd, "results complete");
}

Test(save_helper, a_cut_pipe_fails_as_libxl_wants_it)
{
	pid_t writer;

	expect_cut(piped_stream(&writer, 4 << 20, false), "static results complete");
	waitpid(writer, NULL, 0);
}

Test(save_helper, what_libxl_refuses_is_not_restored)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .refuse = 1 };
	struct xr_model_stats st;

	start_restore(&l, stream_file(), PLAIN, 0);
	libxl_serve(&l);
	expect_failure(&l, "static results complete", 2);
	xr_model_stats(m, &st);
	cr_expect_eq(st.tot_pages, 0);
	xr_model_destroy(&m);
}

Test(save_helper, without_the_domain_it_fails_in_order)
{
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };

	setenv("XR_MODEL_DOMID", "2", 1);
	start_restore(&l, stream_file(), PLAIN, 0);
	libxl_serve(&l);
	expect_failure(&l, "results complete", 2);
	cr_expect_eq(errors_with(&l, "offset"), 0);
	xr_model_destroy(&m);
}

Test(save_helper, a_restore_that_cannot_start_is_one_error)
{
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };

	start_restore(&l, 99, PLAIN, 0); /* not open */
	libxl_serve(&l);
	expect_failure(&l, "results complete", 1);
	cr_expect_eq(errors_with(&l, "fd 99"), 1);
	xr_model_destroy(&m);
}

/* --- what is not for it ----------------------------------------------------------------------- */

static void first_lines(const char *name, char (*line)[128], size_t n)
{
	FILE *f = fopen(in_dir(name), "re");

	cr_assert_not_null(f, "no %s", name);
	for (size_t i = 0; i < n; i++)
		cr_expect_not_null(fgets(line[i], sizeof(line[i]), f));
	fclose(f);
	unlink(in_dir(name));
}

/* Its standard input and output are the pipes that we hold the other ends of. */
static void expect_pipes(const struct libxl *l)
{
	const int ours[2] = { l->replies, l->out };
	char theirs[2][128] = { "", "" }, path[32], want[128];

	first_lines("fds", theirs, 2);
	for (int i = 0; i < 2; i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", ours[i]);
		n = readlink(path, want, sizeof(want) - 2);
		cr_assert_gt(n, 0);
		snprintf(want + n, 2, "\n");
		cr_expect_str_eq(theirs[i], want);
	}
}

/* The stock helper has been run with those arguments, libxl has heard nothing from ours. */
static void expect_stock(struct libxl *l, int fd, const char *args)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	char want[128], text[1][128] = { "" };

	libxl_serve(l);
	expect_exit(l, 7);
	cr_expect_str_eq(l->order, "");
	cr_expect_eq(l->nlogs + l->progress, 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), at);
	first_lines("argv", text, 1);
	expect_pipes(l);
	snprintf(want, sizeof(want), args, fd);
	cr_expect_str_eq(text[0], want);
}

static void expect_handed_over(unsigned int callbacks, unsigned int type)
{
	int fd = stream_file();
	struct libxl l = { 0 };
	char args[128];

	snprintf(args, sizeof(args), "--restore-domain %%d -1 1 3 0 4 0 %u %u\n", callbacks, type);
	start_restore(&l, fd, callbacks, type);
	expect_stock(&l, fd, args);
	close(fd);
}

static void start_save(struct libxl *l, int fd)
{
	char io[16];
	char *argv[] = {
		(char *)"--save-domain", io,	      (char *)"-1", (char *)"1", (char *)"1",
		(char *)"140",		 (char *)"0", NULL
	};

	snprintf(io, sizeof(io), "%d", fd);
	libxl_start(l, argv);
}

Test(save_helper, saves_go_to_the_stock_helper)
{
	int fd = stream_file();
	struct libxl l = { 0 };

	start_save(&l, fd);
	expect_stock(&l, fd, "--save-domain %d -1 1 1 140 0\n");
}

/* What libxl offers goes with the type; anything else is of a libxl that is not known. */
Test(save_helper, other_callbacks_than_those_of_the_type_are_refused)
{
	static const unsigned int odd[][2] = { { REMUS, 0 }, { PLAIN, 1 }, { REMUS, 2 }, { 0, 0 } };
	struct xr_model *m = domain(false);

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int fd = stream_file();
		struct libxl l = { 0 };

		start_restore(&l, fd, odd[i][0], odd[i][1]);
		libxl_serve(&l);
		expect_exit(&l, 1);
		cr_expect_str_eq(l.order, "");
		cr_expect_not_null(strstr(libxl_stderr(&l), "other callbacks"));
		close(fd);
	}
	xr_model_destroy(&m);
}

Test(save_helper, pv_guests_are_made_too)
{
	const struct pvref_ports ports = { 3, 4 };
	struct xr_model *m = domain(true);
	struct libxl l = { .retval = -9 };
	int fd = memfd_create("pv", 0);
	struct pvguest guest;
	struct builder b;
	struct pvref ref;
	char why[512];

	builder_begin(&b, XR_EMIT_BARE, 3, true);
	pvguest_init(&guest, 8);
	pvguest_stream(&guest, &b);
	cr_assert_eq(write(fd, builder_data(&b), builder_size(&b)), (ssize_t)builder_size(&b));
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	start_restore(&l, fd, PLAIN, 0);
	libxl_serve(&l);
	expect_exit(&l, 0);
	cr_expect_str_eq(l.order, "static results complete");
	cr_expect_eq(l.retval, 0);
	cr_expect_eq(errors(&l), 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), (off_t)b.end_offset);
	cr_assert(pvref_read(&ref, builder_data(&b), builder_size(&b), 0));
	cr_expect(pvref_check(&ref, m, &ports, l.store_gfn, l.console_gfn, why, sizeof(why)), "%s",
		  why);
	pvref_free(&ref);
	pvguest_free(&guest);
	builder_free(&b);
	xr_model_destroy(&m);
}

Test(save_helper, another_xen_gets_its_own_helper)
{
	struct xr_model *m = domain(false);
	struct xr_model_stats st;

	setenv("XR_MODEL_XEN_MINOR", "20", 1);
	expect_handed_over(PLAIN, 0);
	xr_model_stats(m, &st);
	cr_expect_eq(st.tot_pages, 0);
	xr_model_destroy(&m);
}

/* Named, or installed, as the stock helper it would run itself for ever. */
Test(save_helper, it_is_no_stock_helper_itself)
{
	int fd = stream_file();
	struct libxl l = { 0 };

	cr_assert_eq(symlink(HELPER, in_dir("self")), 0);
	setenv("XENRESTORE_STOCK_HELPER", in_dir("self"), 1);
	start_save(&l, fd);
	libxl_serve(&l);
	expect_exit(&l, 1);
	cr_expect_not_null(strstr(libxl_stderr(&l), in_dir("self")));
}

Test(save_helper, a_missing_stock_helper_is_told)
{
	int fd = stream_file();
	struct libxl l = { 0 };

	setenv("XENRESTORE_STOCK_HELPER", in_dir("none"), 1);
	start_save(&l, fd);
	libxl_serve(&l);
	expect_exit(&l, 1);
	cr_expect_not_null(strstr(libxl_stderr(&l), in_dir("none")));
}

Test(save_helper, a_wrong_argv_is_refused)
{
	static const char *const lines[] = {
		"",
		"--help",
		"--frobnicate 5 -1 1 3 0 4 0 768 0",
		"--restore-domain",
		"--restore-domain 5 -1 1 3 0 4 0 768",
		"--restore-domain 5 -1 1 3 0 4 0 1 1 768 0", /* Xen 4.13 */
		"--restore-domain 5 -1 1 3 0 4 0 768 0 0",
		"--restore-domain five -1 1 3 0 4 0 768 0",
		"--restore-domain 5 -1 4294967296 3 0 4 0 768 0",
		"--restore-domain 5 -1 1 3 0 4 0 768 3",
		"--restore-domain -5 -1 1 3 0 4 0 768 0",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[128], *argv[14] = { NULL };
		struct libxl l = { 0 };
		size_t n = 0;

		snprintf(text, sizeof(text), "%s", lines[i]);
		for (char *s = strtok(text, " "); s; s = strtok(NULL, " "))
			argv[n++] = s;
		libxl_start(&l, argv);
		cr_expect_not(libxl_serve_one(&l), "%s", lines[i]);
		expect_exit(&l, 1);
		cr_expect_not_null(strstr(libxl_stderr(&l), "xenrestore-save-helper: "), "%s",
				   lines[i]);
		close(l.out);
		close(l.replies);
	}
}

/* --- what is printed -------------------------------------------------------------------------- */

/* No library's words get between the frames, whichever process it runs in. */
Test(save_helper, what_libraries_print_is_kept_from_libxl)
{
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };
	const char *said;

	setenv("XR_TEST_BEFORE", NOISY, 1);
	start_restore(&l, stream_file(), PLAIN, 0);
	libxl_serve(&l);
	expect_guest(&l, m);
	said = libxl_stderr(&l);
	cr_expect_not_null(strstr(said, "noise\n"));
	cr_expect_not_null(strstr(said, "more noise at xencall_open\n"));
	xr_model_destroy(&m);
}

Test(save_helper, nor_do_they_get_to_libxl_before_the_stock_helper_runs)
{
	struct xr_model *m = domain(false);

	setenv("XR_TEST_BEFORE", NOISY, 1);
	setenv("XR_MODEL_XEN_MINOR", "20", 1);
	expect_handed_over(PLAIN, 0);
	xr_model_destroy(&m);
}

/* A descriptor 2 that is free would be the next file's, and be printed to. */
Test(save_helper, it_needs_no_stderr)
{
	struct xr_model *m = domain(false);
	struct libxl l = { .hold = "static" };
	char path[32], to[32] = "";
	int32_t fine = 0;

	setenv("XR_TEST_BEFORE", NOISY, 1);
	setenv("XR_TEST_NO_STDERR", "1", 1);
	start_restore(&l, stream_file(), PLAIN, 0);
	while (!l.order[0])
		cr_assert(libxl_serve_one(&l));
	for (int fd = 1; fd <= 2; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)l.pid, fd);
		cr_expect_gt(readlink(path, to, sizeof(to) - 1), 0, "%s is closed", path);
		cr_expect_str_eq(to, "/dev/null");
	}
	cr_expect_eq(write(l.replies, &fine, sizeof(fine)), sizeof(fine));
	libxl_serve(&l);
	expect_guest(&l, m);
	xr_model_destroy(&m);
}
