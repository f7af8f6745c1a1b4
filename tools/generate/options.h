/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generator's options as a command line has them: rows for all commands that take them. */
#ifndef XR_GENERATE_OPTIONS_H
#define XR_GENERATE_OPTIONS_H

#include "cli/options.h"
#include "generate/generate.h"

#define XR_GEN_ROW(kind, name, letter, arg, base, field, standard, help, ...)                      \
	XR_OPTION(kind, name, letter, arg, (base) + offsetof(struct xr_gen_options, field),        \
		  standard, help, ##__VA_ARGS__)
#define XR_GEN_PERMILLE(name, base, field, standard, help)                                         \
	XR_GEN_ROW(INT, name, 0, "N", base, field, standard, help, .max = 1000)

/*
 * Rows for a struct xr_gen_options that lies base bytes into the command's. Two defaults differ
 * between commands; the others are those of xr_gen_options_default().
 */
#define XR_GEN_ROWS(base, size, seed_)                                                             \
	XR_GEN_ROW(U64, "size", 's', "SIZE", base, size_bytes, size,                               \
		   "guest memory, e.g. 512M or 2G", .max = 64ull << 40),                           \
		XR_GEN_ROW(U64, "seed", 'S', "N", base, seed, seed_,                               \
			   "another guest for every number", .max = UINT64_MAX),                   \
		XR_GEN_PERMILLE("holes", base, holes_permille, "0",                                \
				"permille of the memory that is not there"),                       \
		XR_GEN_ROW(INT, "hole-run", 0, "N", base, hole_run, "1",                           \
			   "holes come in stretches of N pages", .min = 1, .max = UINT32_MAX),     \
		XR_GEN_PERMILLE("zero", base, zero_permille, "0",                                  \
				"permille of the pages that are all zero"),                        \
		XR_GEN_ROW(INT, "passes", 'p', "N", base, passes, "1",                             \
			   "1: saved; more: migrated live", .min = 1, .max = 1000),                \
		XR_GEN_PERMILLE("dirty", base, dirty_permille, "20",                               \
				"permille sent again by each later pass"),                         \
		XR_GEN_PERMILLE("balloon-out", base, balloon_out_permille, "0",                    \
				"permille taken away by each later pass"),                         \
		XR_GEN_PERMILLE("balloon-in", base, balloon_in_permille, "0",                      \
				"permille of the missing pages given by each later pass"),         \
		XR_GEN_ROW(INT, "checkpoints", 0, "N", base, checkpoints, "0",                     \
			   "the last N passes end in a checkpoint: a stream of Remus",             \
			   .max = 1000),                                                           \
		XR_GEN_ROW(INT, "batch", 'b', "N", base, batch, "1024", "pages to a record",       \
			   .min = 1, .max = XR_GEN_BATCH_MAX),                                     \
		XR_GEN_ROW(INT, "stream-version", 0, "N", base, version, "3", "2 or 3", .min = 2,  \
			   .max = 3)

#endif
