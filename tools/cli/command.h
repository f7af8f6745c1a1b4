/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of the program. Each gets argv[0] = its name and returns an exit code. */
#ifndef XR_COMMAND_H
#define XR_COMMAND_H

enum xr_exit {
	XR_EXIT_OK = 0,
	XR_EXIT_STREAM = 1,    /* the stream is at fault */
	XR_EXIT_USAGE = 2,     /* the call is */
	XR_EXIT_HOST = 3,      /* Xen, its model or this machine is */
	XR_EXIT_CANCELLED = 4, /* SIGINT, SIGTERM */
};

struct xr_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;
	const char *what;
};

extern const struct xr_command xr_commands[];

int xr_cmd_restore(int argc, char **argv);

#endif
