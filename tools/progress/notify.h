/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words for the service manager that started this process, as sd_notify(3) has them. */
#ifndef XR_NOTIFY_H
#define XR_NOTIFY_H

#include <stdbool.h>

struct xr_notify {
	int fd; /* connected; -1: nobody listens */
};

/* To the socket that NOTIFY_SOCKET names, which no child is to find any more. */
void xr_notify_open(struct xr_notify *n);
void xr_notify(struct xr_notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void xr_notify_close(struct xr_notify *n);

#endif
