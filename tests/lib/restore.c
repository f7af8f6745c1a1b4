/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/restore.h"

int restore_once(const struct xr_settings *set, struct xr_result *res, struct xr_error *err)
{
	struct xr_restore *r = NULL;
	int rc = xr_open(&r, set, err);

	if (!rc)
		rc = xr_run(r, res, err);
	xr_close(&r);
	return rc;
}
