/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of the program and their exit codes. */
#ifndef XR_COMMAND_H
#define XR_COMMAND_H

#include "cli/options.h"

enum xr_exit {
	XR_EXIT_OK = 0,
	XR_EXIT_STREAM = 1,    /* the stream is at fault */
	XR_EXIT_USAGE = 2,     /* the call is */
	XR_EXIT_HOST = 3,      /* Xen, its model or this machine is */
	XR_EXIT_CANCELLED = 4, /* SIGINT, SIGTERM */
};

extern const struct xr_command xr_command_restore;
int xr_cmd_restore(int argc, char **argv);

#endif
