/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files that tell of one restore: metrics, receipt, report, trace. They are opened before it
 * begins, for afterwards a sandbox forbids it, and written when it has ended.
 */
#ifndef XR_RUN_FILES_H
#define XR_RUN_FILES_H

#include "outfile/outfile.h"
#include "xenrestore.h"

#include <stdbool.h>

/* By kind, in the order in which they are opened. */
enum run_file { RUN_METRICS, RUN_RECEIPT, RUN_REPORT, RUN_TRACE, RUN_FILES };

struct run_files {
	const char *path[RUN_FILES]; /* the caller's; NULL: none */
	struct xr_outfile file[RUN_FILES];
};

struct run_outcome {
	const struct xr_settings *set;
	const struct xr_restore *restore; /* NULL: it never began */
	const struct xr_result *res;	  /* of xr_run(); NULL if that was not called */
	const struct xr_error *err;	  /* NULL: it succeeded */
	const char *source;
	int exit_code; /* of the restore itself */
};

/* A file that can't be opened or written: what is said of it is the caller's. */
typedef void (*run_file_lost)(const char *path, int rc, void *opaque);

/* None; then paths may be set. */
void run_files_init(struct run_files *f);

/*
 * Open all that have a path, and begin a trace where one is needed: in a program with one thread.
 * Those that can't be had are told, and are none from then on. How many there were of these.
 */
unsigned int run_files_open(struct run_files *f, run_file_lost lost, void *opaque);

/* A receipt is only of a restore that succeeded; metrics are of one that never began, too. How many
 * could not be written. */
unsigned int run_files_write(struct run_files *f, const struct run_outcome *o, run_file_lost lost,
			     void *opaque);

/* What was not written leaves its place as it was. */
void run_files_close(struct run_files *f);

#endif
