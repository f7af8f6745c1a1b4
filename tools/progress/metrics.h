/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The figures of the last restore as an OpenMetrics file, for the textfile collector of
 * node_exporter. A reader finds the file of the restore before, or this one's, and never a part.
 *
 * The folder and a temporary file in it are opened beforehand, so that a folder that is not there
 * is told before a guest is touched, and a process is forked that writes and renames: the program
 * itself is in its sandbox by then, and may not.
 */
#ifndef XR_METRICS_H
#define XR_METRICS_H

#include "xenrestore.h"

#include <sys/types.h>

struct xr_metrics {
	int dir, fd, to;
	pid_t writer;	/* -1: none are written */
	char name[256]; /* of the file in its folder */
	char temporary[256 + 32];
};

#define XR_METRICS_NONE ((struct xr_metrics){ -1, -1, -1, -1, "", "" })

/* path NULL: none. 0 or -errno. The caller has one thread. */
int xr_metrics_open(struct xr_metrics *m, const char *path);

/* res as xr_run() filled it; NULL if it was not called. 0 or -errno. */
int xr_metrics_write(struct xr_metrics *m, const struct xr_settings *set,
		     const struct xr_result *res, int exit_code);

/* What was not written is removed. */
void xr_metrics_close(struct xr_metrics *m);

#endif
