/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "internal.h"

#include <stdarg.h>

void xr_log(const struct xr_restore *r, xentoollog_level level, const char *fmt, ...)
{
	va_list args;

	if (!r->set.logger)
		return;
	va_start(args, fmt);
	xtl_logv(r->set.logger, level, -1, "xenrestore", fmt, args);
	va_end(args);
}
