/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

char shell_dir[] = "/tmp/xr-cli-XXXXXX";

static void slurp(const char *name, char *text, size_t room)
{
	char path[64];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", shell_dir, name);
	f = fopen(path, "re");
	if (f) {
		n = fread(text, 1, room - 1, f);
		fclose(f);
	}
	text[n] = '\0';
}

struct outcome sh(const char *fmt, ...)
{
	struct outcome o;
	char line[1024], all[2048];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	snprintf(all, sizeof(all), "D=%s; S=%s/s; P=%s; { %s\n} >%s/out 2>%s/err", shell_dir,
		 shell_dir, PROGRAM, line, shell_dir, shell_dir);
	status = system(all);
	o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	slurp("out", o.out, sizeof(o.out));
	slurp("err", o.err, sizeof(o.err));
	return o;
}

void shell_setup(void)
{
	const char *given = getenv("ASAN_OPTIONS");
	char asan[512];

	cr_assert_not_null(mkdtemp(shell_dir));
	setenv("XR_MODEL_FILL", "0xf1e5f1e5f1e5f1e5", 1);
	/* A preloaded library comes before the sanitizer's own, which objects. */
	snprintf(asan, sizeof(asan), "%s:verify_asan_link_order=0", given ? given : "");
	setenv("ASAN_OPTIONS", asan, 1);
	cr_assert_eq(sh("zstd -dqf %s/pvh-cut.save.zst -o $S", XR_TEST_DATA).code, 0);
}

void shell_teardown(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", shell_dir);
	cr_assert_eq(system(line), 0);
}

unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

void expect_failure(const struct outcome *o, int code, const char *word)
{
	cr_expect_eq(o->code, code, "exit %d: %s", o->code, o->err);
	cr_expect_eq(lines(o->err), 1, "%s", o->err);
	cr_expect_not_null(strstr(o->err, word), "no '%s' in: %s", word, o->err);
}
