/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox inside the installed programs: xenrestore, the save helper, and their workers. */
#include "lib/sanitizer.h"
#include "probe.h"
#include "save-helper/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(programs, .init = setup, .fini = teardown, .timeout = 300);

/* A shell line, in which $P is the program on a model domain with the probes in it, $S the stream.
 * Returns its exit status; what it says is in the test's folder, in "said". */
static int sh(const char *line)
{
	struct xr_model *m = domain(false);
	char all[2048];
	int status;

	snprintf(
		all, sizeof(all),
		"S=%s; P='env LD_PRELOAD=%s:%s ASAN_OPTIONS=%s:verify_asan_link_order=0 %s restore -q "
		"--host xen --domid 1'; { %s\n} >/dev/null 2>%s",
		in_dir("s"), INTERPOSE, PRELOAD,
		getenv("ASAN_OPTIONS") ? getenv("ASAN_OPTIONS") : "", PROGRAM, line,
		in_dir("said"));
	status = system(all);
	xr_model_destroy(&m);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *said(void)
{
	static char text[32768];
	FILE *f = fopen(in_dir("said"), "re");

	cr_assert_not_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static unsigned int times(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* Engine and workers were there, and nothing got through in any of them. */
static void expect_confined(const char *text, const char *way)
{
	cr_expect_eq(times(text, "probed engine:"), 1, "%s: %s", way, text);
	cr_expect_geq(times(text, "probed worker:"), NO_PROCESSES ? 0 : 1, "%s: %s", way, text);
	cr_expect_eq(times(text, "probed "), times(text, ": 0 got through:"), "%s: %s", way, text);
}

Test(programs, the_program_and_its_workers_are_confined)
{
	static const char *const ways[] = {
		"$P --workers 2 --worker-kind process $S",
		"cat $S | $P --workers 2 --worker-kind process -",
		"$P --io plain --worker-kind process $S",
	};

	for (size_t i = 0; !NO_PROCESSES && i < sizeof(ways) / sizeof(ways[0]); i++) {
		cr_expect_eq(sh(ways[i]), 0, "%s: %s", ways[i], said());
		expect_confined(said(), ways[i]);
	}
}

/* They show what they are to show only if they get through where nothing holds them up. */
Test(programs, without_the_sandbox_every_probe_gets_through)
{
	char engine[64], worker[64];

	if (NO_PROCESSES || geteuid())
		cr_skip_test("needs worker processes, and root");
	snprintf(engine, sizeof(engine), "probed engine: %u got", probe_count(IN_ENGINE));
	snprintf(worker, sizeof(worker), "probed worker: %u got", probe_count(IN_WORKER));
	cr_expect_eq(sh("$P --no-sandbox --worker-kind process $S"), 0, "%s", said());
	cr_expect_eq(times(said(), engine), 1, "%s, not %s", engine, said());
	cr_expect_geq(times(said(), worker), 1, "%s, not %s", worker, said());
}

static void restore(struct libxl *l)
{
	struct xr_model *m = domain(false);
	int fd = stream_file();

	setenv("XR_TEST_BEFORE", INTERPOSE, 1);
	start_restore(l, fd, PLAIN, 0);
	close(fd);
	libxl_serve(l);
	expect_guest(l, m);
	xr_model_destroy(&m);
}

Test(programs, the_save_helper_and_its_workers_are_confined)
{
	struct libxl l = { 0 };

	restore(&l);
	expect_confined(libxl_stderr(&l), "save helper");
}

Test(programs, the_save_helper_heeds_its_environment)
{
	struct libxl l = { 0 };
	char engine[64];

	if (geteuid())
		cr_skip_test("needs root");
	setenv("XENRESTORE_NO_SANDBOX", "1", 1);
	restore(&l);
	snprintf(engine, sizeof(engine), "probed engine: %u got", probe_count(IN_ENGINE));
	cr_expect_eq(times(libxl_stderr(&l), engine), 1, "%s, not %s", engine, libxl_stderr(&l));
}

Test(programs, a_handle_that_reaches_further_is_told_of)
{
	const char *line = "does not tie handles on foreign memory to one domain";

	cr_expect_eq(sh("$P -vv $S"), 0, "%s", said());
	cr_expect_eq(times(said(), line), 0, "%s", said());
	cr_expect_eq(sh("XR_TEST_NO_RESTRICT=1 $P -vv $S"), 0, "%s", said());
	cr_expect_eq(times(said(), line), 1, "%s", said());
	cr_expect_eq(sh("XR_TEST_NO_RESTRICT=1 $P -v $S"), 0, "%s", said());
	cr_expect_eq(times(said(), line), 0, "%s", said());
}
