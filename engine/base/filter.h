/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process may still ask of the kernel once it deals with a stream: a seccomp filter, from
 * the table in filter_rules.c. A call that is not in the table fails with EPERM; one by another
 * system call interface than the process's own (int 0x80, x32) kills the process.
 *
 * A filter is for good: children inherit it, and more can only be added.
 */
#ifndef XR_FILTER_H
#define XR_FILTER_H

#include <stddef.h>

struct sock_filter;

enum xr_filter_role {
	XR_FILTER_ENGINE,  /* the process of xr_run(): all is open that it needs */
	XR_FILTER_NURSERY, /* forks workers and ends them; opens what their mappers need */
	XR_FILTER_WORKER,  /* a copy worker whose mapper is open */
};

struct xr_filter {
	unsigned short len;
	struct sock_filter *code;
};

/* 0 or a negative errno; xr_filter_free() is due after 0. */
int xr_filter_make(struct xr_filter *f, enum xr_filter_role role);

/*
 * From here on the process, with all its threads, is confined, and has no new privileges to gain.
 * Allocates nothing. 0; -ENOSYS: this kernel has no such filters; or another negative errno.
 */
int xr_filter_put_on(const struct xr_filter *f);

void xr_filter_free(struct xr_filter *f);

/* All three. */
int xr_filter_confine(enum xr_filter_role role);

#endif
