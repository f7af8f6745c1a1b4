/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page tables of a PV guest: their entries name pfns in the stream, and mfns in the guest. */
#ifndef XR_COPY_LOCALISE_H
#define XR_COPY_LOCALISE_H

#include "base/p2m.h"

/*
 * Replace the pfn in every present entry of a table by its mfn. *pfn is then the first that could
 * not be. 0; -ENOENT: it is within the guest, but not backed; -ERANGE: no guest's table has it.
 * After an error the page is as it was.
 */
int xr_localise(void *page, const struct xr_p2m *p2m, uint64_t *pfn);

/* The pfn of an entry, XR_NO_MFN if it is not present. */
static inline uint64_t xr_pte_pfn(uint64_t e)
{
	return e & 1 ? e >> 12 & 0xffffffffffull : XR_NO_MFN;
}

#define XR_PTES 512u /* in a table; the first four count in a 32-bit guest's highest */

#endif
