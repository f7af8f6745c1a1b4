/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs of the unmodified Xen libraries, run on the model. */
#include "base/clock.h"
#include "generate/generate.h"
#include "host/model.h"
#include "lib/pvguest.h"
#include "lib/pvref.h"
#include "lib/sanitizer.h"
#include "tiny_stream.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX 847u

static int memory_file(void)
{
	int fd = memfd_create("test", 0);

	cr_assert_geq(fd, 0);
	return fd;
}

static void read_all(int fd, char *buf, size_t size)
{
	ssize_t got = pread(fd, buf, size - 1, 0);

	cr_assert_geq(got, 0);
	buf[got] = 0;
}

static const char *preloaded = PRELOAD_LIB;

/* Run a program preloaded, its output in files. Returns the wait status. */
static int run(char *const argv[], int in, int out, int err)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* a preloaded library comes before the sanitizer's own, which objects */
		const char *asan = getenv("ASAN_OPTIONS");
		char options[512];

		snprintf(options, sizeof(options), "%s:verify_asan_link_order=0", asan ? asan : "");
		setenv("ASAN_OPTIONS", options, 1);
		setenv("LD_PRELOAD", preloaded, 1);
		if (in >= 0)
			dup2(in, 0);
		dup2(out, 1);
		dup2(err, 2);
		execv(argv[0], argv);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void client_settings(struct xr_model_settings *s)
{
	xr_model_settings_default(s);
	s->max_pages = 2000;
	s->max_vcpu_id = 3;
}

Test(preload, libxenctrl_runs_unmodified)
{
	char *argv[] = { (char *)CLIENT, NULL };
	char text[4096];
	int err = memory_file(), status;

	setenv("XR_MODEL_MAX_PAGES", "2000", 1);
	setenv("XR_MODEL_VCPUS", "4", 1);
	status = run(argv, -1, memory_file(), err);
	read_all(err, text, sizeof(text));
	cr_assert_eq(status, 0, "%s", text);
	/* pause is domctl 3, asked for twice */
	cr_assert_str_eq(text, "xr-model-preload: domctl 3 is not known here\n");
}

Test(preload, a_model_of_another_process_is_used)
{
	char *argv[] = { (char *)CLIENT, NULL };
	char text[4096], number[16];
	struct xr_model_settings s;
	struct xr_model_stats st;
	struct xr_model *m;
	int err = memory_file(), status;

	client_settings(&s);
	cr_assert_eq(xr_model_create(&m, &s), 0);
	snprintf(number, sizeof(number), "%d", xr_model_share(m));
	setenv("XR_MODEL_FD", number, 1);
	status = run(argv, -1, memory_file(), err);
	read_all(err, text, sizeof(text));
	cr_assert_eq(status, 0, "%s", text);
	xr_model_stats(m, &st);
	cr_assert_eq(st.tot_pages, 1111);
	cr_assert_eq(st.live_mappings, 0);
	cr_assert_eq(st.released_mapped, 0);
	cr_assert_eq(st.leaked, 0);
	cr_assert_eq(xr_model_param(m, 1), 2100);
	cr_assert_str_eq(xr_model_log(m), "policy tsc param:1 param:5 param:5 context grants");
	xr_model_destroy(&m);
}

Test(preload, a_wrong_descriptor_is_an_error)
{
	char *argv[] = { (char *)CLIENT, NULL };
	int err = memory_file();
	char text[4096];

	setenv("XR_MODEL_FD", "99", 1);
	cr_assert_eq(WEXITSTATUS(run(argv, -1, memory_file(), err)), 1);
	read_all(err, text, sizeof(text));
	cr_assert_not_null(strstr(text, "xr-model-preload: no model: Bad file descriptor"));
}

/* Libxenguest's restore of a stream from a file or a pipe, and what it says of the guest. */
static void check_restore(int stream, bool piped, uint64_t seed, const struct tiny *want)
{
	char path[64], skip[16], text[8192], log[4096], expect[256];
	char *argv[] = { (char *)STOCK_RESTORE, (char *)"-s", skip, piped ? (char *)"-" : path,
			 NULL };
	int out = memory_file(), err = memory_file(), status, fd[2] = { -1, -1 };
	pid_t writer = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", stream);
	snprintf(skip, sizeof(skip), "%u", PREFIX);
	if (piped) {
		cr_assert_eq(pipe(fd), 0);
		writer = fork();
		if (writer == 0) {
			char buf[65536];
			ssize_t n;

			lseek(stream, 0, SEEK_SET);
			close(fd[0]);
			while ((n = read(stream, buf, sizeof(buf))) > 0)
				if (write(fd[1], buf, (size_t)n) != n)
					_exit(1);
			_exit(0);
		}
		close(fd[1]);
	}
	status = run(argv, fd[0], out, err);
	if (writer > 0)
		waitpid(writer, NULL, 0);
	read_all(err, log, sizeof(log));
	read_all(out, text, sizeof(text));
	cr_assert_eq(status, 0, "seed %llu: %s%s", (unsigned long long)seed, log, text);
	cr_assert_str_eq(log, "");
	snprintf(expect, sizeof(expect), "\"populated\": %llu, \"sha256\": \"%s\"",
		 (unsigned long long)want->populated, want->sha256);
	cr_assert_not_null(strstr(text, expect), "seed %llu: %s wanted in %s",
			   (unsigned long long)seed, expect, text);
	cr_assert_not_null(strstr(text, "\"store_gfn\": 4092, \"console_gfn\": 4095"));
	cr_assert_not_null(strstr(text, "\"leaked\": 0"));
}

Test(preload, libxenguest_restores_as_the_stream_says, .timeout = 60)
{
	const char *env = getenv("XR_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : xr_now();

	fprintf(stderr, "restore: XR_SEED=%llu\n", (unsigned long long)seed);
	for (int i = 0; i < 4; i++) {
		int fd = memory_file();
		FILE *f = fdopen(dup(fd), "w");
		struct tiny want;

		cr_assert_not_null(f);
		tiny_stream_write(f, seed + (uint64_t)i, PREFIX, &want);
		cr_assert_eq(fclose(f), 0);
		check_restore(fd, i & 1, seed + (uint64_t)i, &want);
		close(fd);
	}
}

/* A PV guest by xc_domain_restore() of whoever stands before the model. */
static void restore_pv(unsigned int width)
{
	const struct pvref_ports ports = { 3, 4 };
	int stream = memory_file(), out = memory_file(), err = memory_file(), status;
	char path[64], number[16], log[4096], why[512];
	char *argv[] = { (char *)STOCK_RESTORE, (char *)"-n", path, NULL };
	struct xr_model_settings s;
	struct pvguest guest;
	struct builder b;
	struct pvref ref;
	struct xr_model_given given;
	struct xr_model *m;

	xr_model_settings_default(&s);
	s.pv = true;
	s.max_pages = 4096;
	s.max_vcpu_id = 1;
	cr_assert_eq(xr_model_create(&m, &s), 0);
	snprintf(number, sizeof(number), "%d", xr_model_share(m));
	setenv("XR_MODEL_FD", number, 1);
	builder_begin(&b, XR_EMIT_BARE, 3, true);
	pvguest_init(&guest, width);
	pvguest_stream(&guest, &b);
	cr_assert_eq(write(stream, builder_data(&b), builder_size(&b)), (ssize_t)builder_size(&b));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", stream);
	status = run(argv, -1, out, err);
	read_all(err, log, sizeof(log));
	cr_assert_eq(status, 0, "%s", log);
	cr_assert(pvref_read(&ref, builder_data(&b), builder_size(&b), 0));
	xr_model_given(m, &given);
	cr_expect(
		pvref_check(&ref, m, &ports, given.store_gfn, given.console_gfn, why, sizeof(why)),
		"%u-bit: %s", width * 8, why);
	pvref_free(&ref);
	pvguest_free(&guest);
	builder_free(&b);
	xr_model_destroy(&m);
}

/* Nothing is taken away: libxenguest would leave it. */
static const struct xr_gen_options checkpointed = {
	.seed = 5,
	.size_bytes = 8u << 20,
	.hole_run = 1,
	.holes_permille = 30,
	.passes = 5,
	.checkpoints = 3,
	.dirty_permille = 60,
	.balloon_in_permille = 200,
	.batch = 1024,
	.version = 3,
	.compact = true,
};

/* A stream of Remus by xc_domain_restore() of whoever stands before the model. */
static void restore_remus(bool applied_by_libxenguest)
{
	int stream = memory_file(), out = memory_file(), err = memory_file(), status;
	unsigned char want[XR_PAGE_SIZE], got[XR_PAGE_SIZE];
	char path[64], number[16], log[4096], text[4096];
	char *argv[] = { (char *)STOCK_RESTORE, (char *)"-n", (char *)"-r", path, NULL };
	struct xr_gen_summary sum;
	struct xr_model_settings s;
	struct xr_model_stats st;
	struct xr_model *m;

	xr_model_settings_default(&s);
	cr_assert_eq(xr_model_create(&m, &s), 0);
	snprintf(number, sizeof(number), "%d", xr_model_share(m));
	setenv("XR_MODEL_FD", number, 1);
	cr_assert_eq(xr_generate(stream, &checkpointed, &sum), 0);
	cr_assert_eq(lseek(stream, 0, SEEK_SET), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", stream);
	status = run(argv, -1, out, err);
	read_all(err, log, sizeof(log));
	read_all(out, text, sizeof(text));
	cr_assert_eq(status, 0, "%s", log);
	cr_expect_not_null(strstr(text, "\"checkpoints\": 3"), "%s", text);
	cr_expect_eq(!strstr(text, "\"apply_seconds\": 0.000000000"), applied_by_libxenguest, "%s",
		     text);
	xr_model_stats(m, &st);
	cr_expect_eq(st.tot_pages, sum.populated);
	for (uint64_t pfn = 0; pfn < xr_gen_pfns(&checkpointed); pfn++) {
		const bool there = xr_gen_expect_page(&checkpointed, pfn, want);

		cr_assert_eq(!xr_model_peek(m, pfn, got), there, "pfn %lu", pfn);
		cr_expect(!there || !memcmp(got, want, sizeof(got)), "pfn %lu", pfn);
	}
	xr_model_destroy(&m);
}

Test(preload, libxenguest_restores_streams_of_remus)
{
	restore_remus(true);
}

Test(preload, the_engine_restores_streams_of_remus_in_its_place)
{
	preloaded = SHIM ":" PRELOAD_LIB;
	restore_remus(false);
}

/* Of a 32-bit guest's vcpu it reads more than it has allocated, which AddressSanitizer minds. */
Test(preload, libxenguest_restores_pv_guests)
{
	restore_pv(8);
	if (!ASAN)
		restore_pv(4);
}

/* The same through our own host of Xen's libraries. */
Test(preload, the_engine_restores_pv_guests_by_the_calls_of_libxenctrl)
{
	preloaded = SHIM ":" PRELOAD_LIB;
	restore_pv(8);
	restore_pv(4);
}
