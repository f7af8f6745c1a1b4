/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "lib/digest.h"
#include "lib/refmodel.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/xr-save-helper-XXXXXX";

const char *in_dir(const char *name)
{
	static char path[4][64];
	static unsigned int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", dir, name);
	return path[turn];
}

void setup(void)
{
	char line[256];
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(line, sizeof(line), "zstd -dqf %s/pvh-cut.save.zst -o %s", XR_TEST_DATA,
		 in_dir("s"));
	cr_assert_eq(system(line), 0);
	f = fopen(in_dir("stock"), "we");
	cr_assert_not_null(f);
	fprintf(f,
		"#!/bin/sh\nunset LD_PRELOAD\nfds=$(readlink /proc/$$/fd/0 /proc/$$/fd/1)\n"
		"echo \"$fds\" >%s\necho \"$@\" >%s\nexit 7\n",
		in_dir("fds"), in_dir("argv"));
	fclose(f);
	cr_assert_eq(chmod(in_dir("stock"), 0755), 0);
	setenv("XENRESTORE_STOCK_HELPER", in_dir("stock"), 1);
}

void teardown(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	cr_assert_eq(system(line), 0);
}

struct facts manifest(void)
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

struct xr_model *domain(bool pv)
{
	struct xr_model_settings set;
	struct xr_model *m;
	char fd[16];

	xr_model_settings_default(&set);
	set.pv = pv;
	set.max_vcpu_id = pv; /* what pvguest.h has */
	set.fill = REF_FILL;
	cr_assert_eq(xr_model_create(&m, &set), 0);
	snprintf(fd, sizeof(fd), "%d", xr_model_share(m));
	setenv("XR_MODEL_FD", fd, 1);
	return m;
}

int stream_file(void)
{
	struct facts f = manifest();
	int fd = open(in_dir("s"), O_RDONLY);

	cr_assert_geq(fd, 0);
	cr_assert_eq(lseek(fd, f.offset, SEEK_SET), f.offset);
	json_decref(f.json);
	return fd;
}

void start_restore(struct libxl *l, int fd, unsigned int callbacks, unsigned int type)
{
	start_restore_back(l, fd, -1, callbacks, type);
}

void start_restore_back(struct libxl *l, int fd, int back, unsigned int callbacks,
			unsigned int type)
{
	char io[16], sb[16], cb[16], ty[16];
	char *argv[] = { (char *)"--restore-domain",
			 io,
			 sb,
			 (char *)"1",
			 (char *)"3",
			 (char *)"0",
			 (char *)"4",
			 (char *)"0",
			 cb,
			 ty,
			 NULL };

	snprintf(io, sizeof(io), "%d", fd);
	snprintf(sb, sizeof(sb), "%d", back);
	snprintf(cb, sizeof(cb), "%u", callbacks);
	snprintf(ty, sizeof(ty), "%u", type);
	libxl_start(l, argv);
}

static void feed(int to, size_t n, bool stays)
{
	int from = stream_file();
	ssize_t sent = 1;

	while (n && sent > 0) {
		sent = sendfile(to, from, NULL, n < 1u << 20 ? n : 1u << 20);
		n -= sent > 0 ? (size_t)sent : 0;
	}
	while (stays)
		pause();
	_exit(0);
}

int piped_stream(pid_t *writer, size_t n, bool stays)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	*writer = fork();
	if (*writer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
		close(p[0]);
		feed(p[1], n, stays);
	}
	close(p[1]);
	return p[0];
}

void ask_for_files(const char *folder)
{
	static const char *const what[] = { "REPORT", "TRACE", "RECEIPT", "METRICS" };
	char name[64], path[256];

	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		snprintf(name, sizeof(name), "XENRESTORE_%s", what[i]);
		snprintf(path, sizeof(path), "%s/%s.%%d", folder, what[i]);
		setenv(name, path, 1);
	}
}

unsigned int errors(const struct libxl *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->nlogs; i++)
		n += l->logs[i].level >= LOG_ERROR_LEVEL;
	return n;
}

unsigned int logs_with(const struct libxl *l, const char *word)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->nlogs; i++)
		n += strstr(l->logs[i].text, word) != NULL;
	return n;
}

unsigned int errors_with(const struct libxl *l, const char *word)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->nlogs; i++)
		n += l->logs[i].level >= LOG_ERROR_LEVEL && strstr(l->logs[i].text, word);
	return n;
}

void expect_exit(struct libxl *l, int code)
{
	int status = libxl_wait(l);

	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x: %s", status,
		  libxl_stderr(l));
}

void expect_guest(struct libxl *l, struct xr_model *m)
{
	struct facts f = manifest();
	struct xr_model_stats st;
	char hex[65];

	expect_exit(l, 0);
	cr_expect_str_eq(l->order, "static results complete");
	cr_expect_eq(l->missing, 0);
	cr_expect_eq(l->store_gfn, (uint64_t)f.store_gfn);
	cr_expect_eq(l->console_gfn, (uint64_t)f.console_gfn);
	cr_expect_eq(l->retval, 0);
	cr_expect_eq(l->errnoval, 0);
	cr_expect_eq(errors(l), 0);
	cr_assert_eq(digest_model(m, hex), 0);
	cr_expect_str_eq(hex, f.digest);
	xr_model_stats(m, &st);
	cr_expect_eq(st.tot_pages, (uint64_t)f.populated);
	cr_expect_eq(st.live_mappings, 0);
	cr_expect_eq(xr_model_param(m, 2), 3);
	cr_expect_eq(xr_model_param(m, 18), 4);
	json_decref(f.json);
}
