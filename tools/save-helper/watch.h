/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notices that libxl is gone (its end of a pipe is closed) while a restore runs, and cancels it: a
 * restore that nobody waits for must not go on reading.
 */
#ifndef XR_WATCH_H
#define XR_WATCH_H

#include "xenrestore.h"

#include <pthread.h>

struct xr_watch {
	pthread_t thread;
	struct xr_restore *restore;
	int fd, stop;
	bool running;
};

void xr_watch_start(struct xr_watch *w, int fd, struct xr_restore *r);
void xr_watch_stop(struct xr_watch *w);

#endif
