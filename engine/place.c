/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "place.h"

#include "stream/decode.h"

#include <inttypes.h>
#include <stdio.h>

void xr_error_place(const struct xr_error *e, char text[XR_PLACE_TEXT])
{
	int n = 0;

	*text = '\0';
	if (e->offset != XR_NO_OFFSET)
		n += sprintf(text + n, ", at offset %" PRIu64, e->offset);
	if (e->record != XR_NO_RECORD)
		n += sprintf(text + n, ", record %" PRIu64, e->record);
	if (e->record != XR_NO_RECORD && e->type != XR_NO_TYPE)
		n += sprintf(text + n, " (%s)", xr_record_name(e->type));
	if (e->pfn != XR_NO_PFN)
		sprintf(text + n, ", pfn %#" PRIx64, e->pfn);
}
