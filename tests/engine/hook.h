/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look into a running restore: at the nth call to its host something is done, and the calls that
 * come after it are counted. One at a time in a process.
 */
#ifndef XR_TEST_HOOK_H
#define XR_TEST_HOOK_H

#include "host/host.h"
#include "xenrestore.h"

struct hook {
	uint64_t at; /* which call, from 1; 0: none */
	void (*then)(void *arg);
	void *arg;
	uint64_t calls; /* so far; workers' calls are not seen */
	uint64_t after; /* those behind the nth that change the guest */
};

/* Between xr_open() and xr_run(). */
void hook_install(struct hook *k, struct xr_restore *r);

#endif
