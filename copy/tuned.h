/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests and measurements: a copy stage that unmaps by another strategy than the usual one. */
#ifndef XR_COPY_TUNED_H
#define XR_COPY_TUNED_H

#include "copy/mapping.h"

/* As xr_copy_open(). keep NULL: the usual; AT_EXIT is for processes only (-EINVAL). */
int xr_copy_open_tuned(struct xr_copy **out, struct xr_host *host, const struct xr_copy_config *cfg,
		       const struct xr_keep *keep, struct xr_error *err);

/* The arena, to look at lanes. */
struct xr_arena *xr_copy_arena(const struct xr_copy *c);

#endif
