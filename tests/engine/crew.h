/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of a restore's copy stage, as /proc shows them. */
#ifndef XR_TEST_CREW_H
#define XR_TEST_CREW_H

#include <sys/types.h>

/* Those in the caller's process group whose name begins so: how many there are, and the first
 * `room` of them. */
unsigned int crew_find(const char *name, pid_t *pids, unsigned int room);

#endif
