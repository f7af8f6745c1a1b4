/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_RESTORE_OPTIONS_H
#define XR_RESTORE_OPTIONS_H

#include "progress/show.h"
#include "xenrestore.h"

struct restore_options {
	struct xr_settings set;
	const char *path;    /* NULL: set.fd is inherited */
	uint64_t max_mib;    /* model: limit of the domain; 0: none */
	bool without_memory; /* model: account frames, hold no contents */
	bool digest, json, quiet, no_sandbox;
	enum xr_show_how progress;
	int progress_fd;
	const char *metrics, *receipt, *report, *trace; /* NULL: none */
	unsigned int verbose;
};

/* 0: go on; else the exit code + 1 (help was printed, or a usage error). */
int restore_options_parse(struct restore_options *o, int argc, char **argv);

#endif
