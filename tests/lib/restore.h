/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore from beginning to end. */
#ifndef XR_TEST_RESTORE_H
#define XR_TEST_RESTORE_H

#include "xenrestore.h"

/* Open, run, close. Returns what xr_open() or xr_run() did; res may be NULL. */
int restore_once(const struct xr_settings *set, struct xr_result *res, struct xr_error *err);

/* At a restore that has run; r is NULL where it could not be opened. */
typedef void restore_look(struct xr_restore *r, int rc, void *arg);

/* The same, with a look before it is closed. */
int restore_and_look(const struct xr_settings *set, struct xr_result *res, struct xr_error *err,
		     restore_look *look, void *arg);

#endif
