/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where progress is shown: a line on a terminal that is written over, lines in a log, JSON for a
 * supervisor, and the service manager (systemd) if it listens. All descriptors are opened by
 * xr_show_open(); afterwards they are only written to, and never waited for: what finds no room in
 * a pipe is left out, but for the end of it all, which is given a second.
 *
 * JSON is one object a line: {"event": "start"}, then "progress" some ten times a second, then
 * "done" or "failed" with the exit code of the restore. Keys stay.
 */
#ifndef XR_SHOW_H
#define XR_SHOW_H

#include "progress/meter.h"
#include "progress/notify.h"

enum xr_show_how { XR_SHOW_AUTO, XR_SHOW_BAR, XR_SHOW_LINES, XR_SHOW_JSON, XR_SHOW_NONE };
extern const char *const xr_show_words[];

struct xr_show {
	enum xr_show_how how; /* as it was decided */
	int fd;
	struct xr_meter meter;
	struct xr_notify notify;
};

/* AUTO: a bar on a terminal, lines elsewhere, NONE if quiet. fd stays the caller's. 0 or -errno. */
int xr_show_open(struct xr_show *s, enum xr_show_how how, int fd, bool quiet);

/* The restore is about to begin. */
void xr_show_start(struct xr_show *s);
void xr_show_progress(struct xr_show *s, const struct xr_progress *p);

/* How it ended: res of one that is done, else err. Before anything else is printed. */
void xr_show_end(struct xr_show *s, int exit_code, const struct xr_result *res,
		 const struct xr_error *err);
void xr_show_close(struct xr_show *s);

#endif
