/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process forked off the caller sheds before it works: the caller's fds, signals, rights. */
#ifndef XR_COPY_SANDBOX_H
#define XR_COPY_SANDBOX_H

#include <stddef.h>

/*
 * Close every fd whose end someone may be waiting for, or that gives a hold on anything but files:
 * pipes, sockets, event fds, rings, devices. keep[0..n) stay (negative ones are skipped), and so
 * does fd 2. Regular files and directories stay, too: a host may keep the guest's memory in them.
 * 0 and 1 become /dev/null.
 */
void xr_sandbox_fds(const int *keep, size_t n);

/* Default handlers, nothing blocked; SIGINT and SIGPIPE ignored: those are the caller's to act on.
 */
void xr_sandbox_signals(void);

/* The process's name; no new privileges, no dumps, no debugger. */
void xr_sandbox_process(const char *name);

#endif
