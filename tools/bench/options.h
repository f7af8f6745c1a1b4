/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of `xenrestore bench`. */
#ifndef XR_BENCH_OPTIONS_H
#define XR_BENCH_OPTIONS_H

#include "generate/generate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_LIST_MAX 16u
#define BENCH_PASS_MAX 16u

struct bench_list {
	uint64_t v[BENCH_LIST_MAX];
	unsigned int n;
};

struct bench_options {
	const char *stream; /* NULL: generate one */
	struct xr_gen_options gen;
	bool list_to_4g;		/* small guests, too, list the pfns up to 4 GiB */
	unsigned int runs;		/* 5 */
	unsigned int sources;		/* bit per enum bench_source; all */
	unsigned int contenders;	/* bit per enum bench_who; all */
	struct bench_list workers;	/* ours again with so many */
	unsigned int watched;		/* bit per enum bench_watch: ours again with that; none */
	struct bench_list scale;	/* guests with contents, bytes */
	struct bench_list scale_types;	/* guests without, bytes */
	char *pass[BENCH_PASS_MAX + 1]; /* options handed to ours, "--policy=4k"; owned */
	unsigned int npass;
	unsigned int pipe_bytes; /* 1 MiB, of every contender's pipe; 0: the kernel's default */
	unsigned int timeout;	 /* 600 s for one run */
	bool no_timeline;
	const char *json, *html; /* files to write, "-": standard output; NULL: none */
	const char *program, *preload, *stock; /* NULL: to be looked for */
	bool quiet;
};

/* 0: go on; else the exit code + 1 (help was printed, or a usage error was told). */
int bench_options_parse(struct bench_options *o, int argc, char **argv);
void bench_options_free(struct bench_options *o);

#endif
