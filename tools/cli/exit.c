/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/command.h"

#include <errno.h>

int xr_exit_of(const struct xr_error *e)
{
	if (e->code == -ECANCELED)
		return XR_EXIT_CANCELLED;
	if (e->host_failed || e->code == -E2BIG) /* the domain is too small */
		return XR_EXIT_HOST;
	if (e->code == -EOPNOTSUPP)
		return XR_EXIT_STREAM;
	return e->stage == XR_STAGE_SETUP ? XR_EXIT_USAGE : XR_EXIT_STREAM;
}
