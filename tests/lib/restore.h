/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore from beginning to end. */
#ifndef XR_TEST_RESTORE_H
#define XR_TEST_RESTORE_H

#include "xenrestore.h"

/* Open, run, close. Returns what xr_open() or xr_run() did; res may be NULL. */
int restore_once(const struct xr_settings *set, struct xr_result *res, struct xr_error *err);

#endif
