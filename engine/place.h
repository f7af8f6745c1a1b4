/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an error happened, and what to do about it, for people. */
#ifndef XR_PLACE_H
#define XR_PLACE_H

#include "xenrestore.h"

#define XR_PLACE_TEXT 160

/* As far as is known: ", at offset 24, record 1 (PAGE_DATA), pfn 0x5", or "". */
void xr_error_place(const struct xr_error *e, char text[XR_PLACE_TEXT]);

/* NULL where the text itself says it, or where there is nothing to be done. */
const char *xr_error_next_step(const struct xr_error *e);

#endif
