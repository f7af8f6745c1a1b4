/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The save helper as libxl runs it: over two pipes, on the preloaded model. */
#include "host/model.h"
#include "lib/digest.h"
#include "lib/refmodel.h"
#include "lib/sanitizer.h"
#include "libxl.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAIN 768u
#define POLLS 2000 /* of 10 ms */

static char dir[] = "/tmp/xr-save-helper-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[4][64];
	static unsigned int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", dir, name);
	return path[turn];
}

/* The stock helper's stand-in: writes down how it was called. */
static void setup(void)
{
	char line[256];
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(line, sizeof(line), "zstd -dqf %s/pvh-cut.save.zst -o %s", XR_TEST_DATA,
		 in_dir("s"));
	cr_assert_eq(system(line), 0);
	f = fopen(in_dir("stock"), "we");
	cr_assert_not_null(f);
	fprintf(f, "#!/bin/sh\nunset LD_PRELOAD\necho \"$@\" >%s\nexit 7\n", in_dir("argv"));
	fclose(f);
	cr_assert_eq(chmod(in_dir("stock"), 0755), 0);
	setenv("XENRESTORE_STOCK_HELPER", in_dir("stock"), 1);
}

static void teardown(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	cr_assert_eq(system(line), 0);
}

TestSuite(save_helper, .init = setup, .fini = teardown, .timeout = 120);

struct facts {
	json_t *json;
	json_int_t offset, end, store_gfn, console_gfn, populated;
	const char *digest;
};

static struct facts manifest(void)
{
	struct facts f;

	f.json = json_load_file(XR_TEST_DATA "/MANIFEST.jsonl", JSON_DISABLE_EOF_CHECK, NULL);
	cr_assert_not_null(f.json);
	cr_assert_eq(json_unpack(f.json, "{s:I,s:I,s:I,s:I,s:I,s:s}", "libxc_offset", &f.offset,
				 "end_offset", &f.end, "store_gfn", &f.store_gfn, "console_gfn",
				 &f.console_gfn, "populated", &f.populated, "sha256", &f.digest),
		     0);
	return f;
}

static struct xr_model *domain(bool pv)
{
	struct xr_model_settings set;
	struct xr_model *m;
	char fd[16];

	xr_model_settings_default(&set);
	set.pv = pv;
	set.fill = REF_FILL;
	cr_assert_eq(xr_model_create(&m, &set), 0);
	snprintf(fd, sizeof(fd), "%d", xr_model_share(m));
	setenv("XR_MODEL_FD", fd, 1);
	return m;
}

/* The save file, at its libxc stream. */
static int stream_file(void)
{
	struct facts f = manifest();
	int fd = open(in_dir("s"), O_RDONLY);

	cr_assert_geq(fd, 0);
	cr_assert_eq(lseek(fd, f.offset, SEEK_SET), f.offset);
	json_decref(f.json);
	return fd;
}

static void start_restore(struct libxl *l, int fd, unsigned int callbacks, unsigned int type)
{
	char io[16], cb[16], ty[16];
	char *argv[] = { (char *)"--restore-domain",
			 io,
			 (char *)"-1",
			 (char *)"1",
			 (char *)"3",
			 (char *)"0",
			 (char *)"4",
			 (char *)"0",
			 cb,
			 ty,
			 NULL };

	snprintf(io, sizeof(io), "%d", fd);
	snprintf(cb, sizeof(cb), "%u", callbacks);
	snprintf(ty, sizeof(ty), "%u", type);
	libxl_start(l, argv);
}

static unsigned int errors(const struct libxl *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->nlogs; i++)
		n += l->logs[i].level >= LOG_ERROR_LEVEL;
	return n;
}

/* How many of the errors have that word. */
static unsigned int errors_with(const struct libxl *l, const char *word)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->nlogs; i++)
		n += l->logs[i].level >= LOG_ERROR_LEVEL && strstr(l->logs[i].text, word);
	return n;
}

static void expect_exit(struct libxl *l, int code)
{
	int status = libxl_wait(l);

	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x: %s", status,
		  libxl_stderr(l));
}

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
	struct facts f = manifest();
	struct xr_model *m = domain(false);
	struct libxl l = { .retval = -9 };
	struct xr_model_stats st;
	int fd = stream_file();
	char hex[65];

	start_restore(&l, fd, PLAIN, 0);
	libxl_serve(&l);
	expect_exit(&l, 0);
	cr_expect_str_eq(l.order, "static results complete");
	cr_expect_eq(l.missing, 0);
	cr_expect_eq(l.store_gfn, (uint64_t)f.store_gfn);
	cr_expect_eq(l.console_gfn, (uint64_t)f.console_gfn);
	cr_expect_eq(l.retval, 0);
	cr_expect_eq(l.errnoval, 0);
	cr_expect_eq(errors(&l), 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), f.end, "at %ld", (long)lseek(fd, 0, SEEK_CUR));
	cr_assert_eq(digest_model(m, hex), 0);
	cr_expect_str_eq(hex, f.digest);
	xr_model_stats(m, &st);
	cr_expect_eq(st.tot_pages, (uint64_t)f.populated);
	cr_expect_eq(st.live_mappings, 0);
	cr_expect_eq(xr_model_param(m, 2), 3);
	cr_expect_eq(xr_model_param(m, 18), 4);
	json_decref(f.json);
	xr_model_destroy(&m);
}

/* The first bytes of the stream through a pipe, which then ends, or stays open and silent. */
static int piped_stream(pid_t *writer, bool stays)
{
	static char bytes[4 << 20];
	int file = stream_file(), p[2];
	ssize_t n = read(file, bytes, sizeof(bytes));

	cr_assert_eq(n, sizeof(bytes));
	cr_assert_eq(pipe(p), 0);
	*writer = fork();
	if (*writer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
		close(p[0]);
		if (write(p[1], bytes, sizeof(bytes)) != sizeof(bytes))
			_exit(1);
		while (stays)
			pause();
		_exit(0);
	}
	close(p[1]);
	close(file);
	return p[0];
}

static void expect_cut(int fd, const char *order)
{
	struct xr_model *m = domain(false);
	struct libxl l = { 0 };

	start_restore(&l, fd, PLAIN, 0);
	libxl_serve(&l);
	expect_failure(&l, order, 2);
	cr_expect_eq(errors_with(&l, ", offset "), 1);
	cr_expect_eq(errors_with(&l, ", record "), 1);
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

	expect_cut(piped_stream(&writer, false), "static results complete");
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

/* --- ends before the end ---------------------------------------------------------------------- */

static unsigned int processes(pid_t session)
{
	char line[64];
	unsigned int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "pgrep -c -s %d", session);
	f = popen(line, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

struct midway {
	struct xr_model *m;
	struct libxl l;
	pid_t writer;
};

/* A restore that has pages in the guest and workers at hand, and waits for more of its stream. */
static void start_midway(struct midway *w)
{
	struct xr_model_stats st;
	int fd, n = 0;

	w->m = domain(false);
	w->l = (struct libxl){ 0 };
	fd = piped_stream(&w->writer, true);
	start_restore(&w->l, fd, PLAIN, 0);
	close(fd);
	while (!strstr(w->l.order, "static"))
		cr_assert(libxl_serve_one(&w->l), "%s", libxl_stderr(&w->l));
	do {
		xr_model_stats(w->m, &st);
		usleep(10000);
	} while (!st.pages_mapped && n++ < POLLS);
	cr_assert_gt(st.pages_mapped, 0);
	cr_assert_geq(processes(w->l.pid), NO_PROCESSES ? 1 : 2, "no workers to look for");
}

static void end_midway(struct midway *w)
{
	kill(w->writer, SIGKILL);
	waitpid(w->writer, NULL, 0);
	xr_model_destroy(&w->m);
}

Test(save_helper, it_ends_with_libxl)
{
	struct midway w;
	int status;

	start_midway(&w);
	libxl_hang_up(&w.l.replies);
	libxl_hang_up(&w.l.out);
	status = libxl_wait(&w.l);
	cr_expect_neq(status, 0);
	end_midway(&w);
}

Test(save_helper, it_ends_when_nobody_can_answer)
{
	struct midway w;
	int status;

	start_midway(&w);
	libxl_hang_up(&w.l.replies);
	status = libxl_wait(&w.l);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status), "status %#x", status);
	end_midway(&w);
}

Test(save_helper, sigterm_ends_it_at_once)
{
	struct midway w;
	int status;

	start_midway(&w);
	cr_assert_eq(kill(w.l.pid, SIGTERM), 0);
	status = libxl_wait(&w.l);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status %#x", status);
	end_midway(&w);
}

/* --- what is not for it ----------------------------------------------------------------------- */

/* The stock helper has been run with those arguments, libxl has heard nothing from ours. */
static void expect_stock(struct libxl *l, int fd, const char *args)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	char want[128], text[128] = "";
	FILE *f;

	libxl_serve(l);
	expect_exit(l, 7);
	cr_expect_str_eq(l->order, "");
	cr_expect_eq(l->nlogs + l->progress, 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), at);
	f = fopen(in_dir("argv"), "re");
	cr_assert_not_null(f, "not run: %s", libxl_stderr(l));
	cr_expect_not_null(fgets(text, sizeof(text), f));
	fclose(f);
	unlink(in_dir("argv"));
	snprintf(want, sizeof(want), args, fd);
	cr_expect_str_eq(text, want);
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

Test(save_helper, saves_go_to_the_stock_helper)
{
	int fd = stream_file();
	struct libxl l = { 0 };
	char io[16];
	char *argv[] = {
		(char *)"--save-domain", io,	      (char *)"-1", (char *)"1", (char *)"1",
		(char *)"140",		 (char *)"0", NULL
	};

	snprintf(io, sizeof(io), "%d", fd);
	libxl_start(&l, argv);
	expect_stock(&l, fd, "--save-domain %d -1 1 1 140 0\n");
}

Test(save_helper, checkpointed_streams_go_to_the_stock_helper)
{
	struct xr_model *m = domain(false);

	expect_handed_over(888, 2);
	expect_handed_over(800, 1);
	expect_handed_over(888, 0);
	xr_model_destroy(&m);
}

Test(save_helper, pv_domains_go_to_the_stock_helper)
{
	struct xr_model *m = domain(true);

	expect_handed_over(PLAIN, 0);
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

Test(save_helper, a_missing_stock_helper_is_told)
{
	int fd = stream_file();
	struct libxl l = { 0 };

	setenv("XENRESTORE_STOCK_HELPER", in_dir("none"), 1);
	start_restore(&l, fd, 888, 2);
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
