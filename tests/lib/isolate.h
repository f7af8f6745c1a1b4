/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child process with one thread to run a check in: test runners have threads of their own, and
 * worker processes can only be had without. It also bounds what a crash or a hang can take along.
 */
#ifndef XR_TEST_ISOLATE_H
#define XR_TEST_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>

#define ISOLATE_WHY 4096u

/* True: all is well. Else why says what is not. While it runs, why may hold what it is at: that is
 * told if it dies. */
typedef bool (*isolate_check)(void *arg, char *why, size_t room);

/* Run it; no test assertions in there. A check that alarm() ends has taken too long. */
bool isolated(isolate_check check, void *arg, char why[ISOLATE_WHY]);

#endif
