/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program's exit codes, and its main command. */
#ifndef XR_COMMAND_H
#define XR_COMMAND_H

#include "cli/options.h"
#include "xenrestore.h"

enum xr_exit {
	XR_EXIT_OK = 0,
	XR_EXIT_STREAM = 1,    /* the stream is at fault */
	XR_EXIT_USAGE = 2,     /* the call is */
	XR_EXIT_HOST = 3,      /* Xen, its model or this machine is */
	XR_EXIT_CANCELLED = 4, /* SIGINT, SIGTERM */
	XR_EXIT_FILES =
		5, /* the guest is complete, but not all that was asked to be written of it */
};

/* After a restore that failed. */
int xr_exit_of(const struct xr_error *e);

extern const struct xr_command xr_command_restore;
int xr_cmd_restore(int argc, char **argv);

#endif
