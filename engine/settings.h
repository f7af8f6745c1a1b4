/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_SETTINGS_H
#define XR_SETTINGS_H

#include "base/error.h"
#include "host/host.h"

/* 0, or -EINVAL with what is wrong in *err. */
int xr_settings_check(const struct xr_settings *s, struct xr_error *err);

/* For a domain of so many pages: one per core this process may use and per 64 MiB begun, 1..8. */
unsigned int xr_default_workers(uint64_t pages);

#endif
