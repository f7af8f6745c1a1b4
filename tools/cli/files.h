/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stream that a command is given, and what it prints. */
#ifndef XR_FILES_H
#define XR_FILES_H

#include "cli/options.h"

/*
 * Open a stream by its name; - is standard input. Returns an exit code, after a failure was told: a
 * FIFO without a writer waits for one, and a signal that was caught ends that.
 */
int xr_source_open(const struct xr_command *c, const char *path, int *fd);
void xr_source_close(int fd);

/*
 * All is printed, unless it failed before: is it written, too? `what` is what was printed, as in
 * "the summary". Returns an exit code, after a failure was told.
 */
int xr_printed(const struct xr_command *c, const char *what, int failed);

#endif
