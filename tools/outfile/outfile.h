/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that is written as a whole or not at all: a reader finds the one of before, or this one,
 * and never a part. (A machine that crashes right afterwards may have lost it: nobody waits for a
 * disk here, for a guest may wait.) Only a device or a pipe is written as it
 * is opened.
 *
 * Its folder and a temporary file in it are opened beforehand, so that a folder that is not there
 * is told before a guest is touched, and a process is forked that renames: the program itself is in
 * its sandbox by then, and may not.
 */
#ifndef XR_OUTFILE_H
#define XR_OUTFILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct xr_outfile {
	FILE *f; /* to write to; NULL: there is none, or it is closed */
	int dir, to;
	pid_t keeper;	/* -1: there is none */
	char name[256]; /* in its folder */
	char temporary[256 + 48];
};

#define XR_OUTFILE_NONE ((struct xr_outfile){ NULL, -1, -1, -1, "", "" })

/* path NULL: none. 0 or -errno. The caller has one thread. */
int xr_outfile_open(struct xr_outfile *o, const char *path);

/* What was written takes the place of the file. 0 or -errno. Without a file 0. */
int xr_outfile_keep(struct xr_outfile *o);

/* Would one take the place of the other? Both are open. */
bool xr_outfile_same(const struct xr_outfile *a, const struct xr_outfile *b);

/* What was not kept is removed. */
void xr_outfile_close(struct xr_outfile *o);

#endif
