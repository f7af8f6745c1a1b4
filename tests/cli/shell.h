/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program in a shell, with a real stream at hand. */
#ifndef XR_TEST_SHELL_H
#define XR_TEST_SHELL_H

#include <criterion/criterion.h>

/* Of the stream, as its manifest has it; an independent reader worked it out. */
#define DIGEST "8189bc0d6c5e0019075ada154e9e3fea1d63001fb34b551e1578975de7be4397"
#define POPULATED 4950
#define WHOLE_2M 7

struct outcome {
	int code; /* of exit; -1: a signal */
	char out[16384], err[4096];
};

extern char shell_dir[]; /* $D */

/* A shell line, in which $S is the real stream, $P the program and $D a folder to write to. */
struct outcome sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It failed with this code, and told so in one line that has the word in it. */
void expect_failure(const struct outcome *o, int code, const char *word);

unsigned int lines(const char *text);

void shell_setup(void);
void shell_teardown(void);
#define CLI_SUITE(name)                                                                            \
	TestSuite(cli_##name, .init = shell_setup, .fini = shell_teardown, .timeout = 300)

#endif
