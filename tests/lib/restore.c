/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/restore.h"

int restore_and_look(const struct xr_settings *set, struct xr_result *res, struct xr_error *err,
		     restore_look *look, void *arg)
{
	struct xr_restore *r = NULL;
	int rc = xr_open(&r, set, err);

	if (!rc)
		rc = xr_run(r, res, err);
	if (look)
		look(r, rc, arg);
	xr_close(&r);
	return rc;
}

int restore_once(const struct xr_settings *set, struct xr_result *res, struct xr_error *err)
{
	return restore_and_look(set, res, err, NULL, NULL);
}
