/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "place.h"

#include "stream/decode.h"

#include <errno.h>
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

const char *xr_error_next_step(const struct xr_error *e)
{
	if (e->host_failed && e->code == -ENOMEM)
		return "free memory on this host";
	if (e->host_failed)
		return e->stage == XR_STAGE_SETUP ? NULL
						  : "destroy the domain; 'xl dmesg' may tell more";
	switch (e->code) {
	case -EBADMSG:
		return "'xenrestore inspect' lists all that is wrong with a stream";
	case -ENODATA:
		return "copy or save it anew; a sender may have died";
	case -EOPNOTSUPP:
		return "Xen's own helper may restore it";
	case -ECANCELED:
		return "destroy the domain";
	}
	return NULL;
}
