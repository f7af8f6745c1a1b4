/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that results go into at the end of a long run. It is opened at the beginning, so that a
 * bad path shows then; what it held stays until there is something to replace it.
 */
#ifndef XR_BENCH_OUTPUT_H
#define XR_BENCH_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct bench_output {
	const char *path; /* NULL: none is wanted */
	FILE *to;
	bool fresh; /* it was not there before */
};

/* path: NULL, or "-" for standard output; kept by reference. 0, or a negative errno that was told
 * on stderr. */
int bench_output_open(struct bench_output *o, const char *path);

/* Replace what the file holds. Results as for open; with no path nothing is done. */
int bench_output_write(struct bench_output *o, int (*write_to)(FILE *to, const json_t *j),
		       const json_t *j);

/* Nothing was written: leave things as they were found. */
void bench_output_abandon(struct bench_output *o);

#endif
