/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of the helper by its environment, for which libxl has no word. */
#ifndef XR_ENVIRONMENT_H
#define XR_ENVIRONMENT_H

#include "run-files/run_files.h"
#include "xenrestore.h"

#define ENVIRONMENT_PATH 4096u

/*
 * XENRESTORE_NO_SANDBOX, and XENRESTORE_OPTIONS: options of `xenrestore restore` that tell how it
 * goes about it. What makes no sense is told on stderr, and none of them is heeded.
 */
void xr_environment_settings(struct xr_settings *s);

/* Another helper restores: a word on stderr if something was asked for. */
void xr_environment_unheeded(void);

struct xr_environment {
	struct run_files files;
	char path[RUN_FILES][ENVIRONMENT_PATH];
};

/*
 * XENRESTORE_METRICS, _RECEIPT, _REPORT and _TRACE: the files that are to tell of this restore. The
 * first %d in a path becomes the number of the domain. e stays where it is while they are used.
 */
void xr_environment_files(struct xr_environment *e, uint32_t domid);

#endif
