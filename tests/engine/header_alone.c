/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every public function links, against a program that sees nothing but the public header. */
#include "xenrestore.h"
#include <assert.h>

/* A caller that was built with an older header makes room for no more than this. */
static_assert(sizeof(struct xr_error) == 304, "xr_error has another size than in a release");
static_assert(sizeof(struct xr_progress) == 80, "xr_progress has another size than in a release");
static_assert(sizeof(struct xr_callbacks) == 64, "xr_callbacks has another size than in a release");
static_assert(sizeof(struct xr_settings) == 216, "xr_settings has another size than in a release");
static_assert(sizeof(struct xr_result) == 320, "xr_result has another size than in a release");

static_assert(sizeof(struct xr_region) == 160, "xr_region has another size than in a release");

int main(void)
{
	struct xr_settings s;
	struct xr_restore *r = 0;
	struct xr_error e;

	xr_settings_default(&s);
	if (xr_open(&r, &s, &e) == 0 || r || e.stage != XR_STAGE_SETUP) /* fd is -1 */
		return 1;
	xr_close(&r);
	(void)xr_run;
	(void)xr_cancel;
	(void)xr_next_region;
	return !xr_version()[0] || !xr_stage_name(e.stage)[0];
}
