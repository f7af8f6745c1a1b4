/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting the system calls of a check, by number, in all its threads and processes. */
#ifndef XR_TEST_SYSCALLS_H
#define XR_TEST_SYSCALLS_H

#include "lib/isolate.h"

#include <stdint.h>

#define SYSCALLS_MAX 512u

struct syscalls {
	uint64_t n[SYSCALLS_MAX];
};

/* As isolated(), traced. No leak check: that is a tracer's work, too, and a process has one. */
bool syscalls_of(isolate_check check, void *arg, struct syscalls *count, char why[ISOLATE_WHY]);

#endif
