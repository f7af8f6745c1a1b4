/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generator's options as a command line has them: one table for all commands that take them. */
#ifndef XR_GENERATE_OPTIONS_H
#define XR_GENERATE_OPTIONS_H

#include "generate/generate.h"

#include <stdio.h>

/* Name in code, option, its letter or 0, field of struct xr_gen_options, argument, meaning. */
#define XR_GEN_OPTIONS(X)                                                                          \
	X(SIZE, "size", 's', size_bytes, "SIZE", "guest memory, e.g. 512M or 2G")                  \
	X(SEED, "seed", 'S', seed, "N", "another guest for every number")                          \
	X(HOLES, "holes", 0, holes_permille, "N", "permille of the memory that is not there")      \
	X(HOLE_RUN, "hole-run", 0, hole_run, "N", "holes come in stretches of N pages")            \
	X(ZERO, "zero", 0, zero_permille, "N", "permille of the pages that are all zero")          \
	X(PASSES, "passes", 'p', passes, "N", "1: saved; more: migrated live")                     \
	X(DIRTY, "dirty", 0, dirty_permille, "N", "permille sent again by each later pass")        \
	X(OUT, "balloon-out", 0, balloon_out_permille, "N",                                        \
	  "permille taken away by each later pass")                                                \
	X(IN, "balloon-in", 0, balloon_in_permille, "N",                                           \
	  "permille of the missing pages given by each later pass")                                \
	X(BATCH, "batch", 'b', batch, "N", "pages to a record")                                    \
	X(VERSION, "stream-version", 0, version, "N", "2 or 3")

#define XR_GEN_ENUM(id, ...) XR_GEN_OPT_##id,
enum { XR_GEN_OPT_FIRST = 0x4000, XR_GEN_OPTIONS(XR_GEN_ENUM) };

/* For getopt_long(): what it returns is the letter where there is one. */
#define XR_GEN_OPT(id, letter) ((letter) ? (letter) : XR_GEN_OPT_##id)
#define XR_GEN_LONG(id, name, letter, ...)                                                         \
	{ name, required_argument, NULL, XR_GEN_OPT(id, letter) },
#define XR_GEN_LETTERS "s:S:p:b:"

/*
 * What getopt_long() returned, and its argument. 1: the option is set; 0: it is none of these;
 * -EINVAL: the argument is not a number or does not fit. Limits are xr_gen_check()'s.
 */
int xr_gen_option(struct xr_gen_options *o, int opt, const char *arg);

/* A line of help for each, with what it is now as its default. */
void xr_gen_options_help(FILE *to, const struct xr_gen_options *o);

#endif
