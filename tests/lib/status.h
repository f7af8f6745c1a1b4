/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of this process. */
#ifndef XR_TEST_STATUS_H
#define XR_TEST_STATUS_H

/* A size of /proc/self/status, "RssAnon" say, in KiB; -1: there is none. */
long status_kib(const char *key);

#endif
