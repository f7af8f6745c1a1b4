/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/localise.h"

#include <errno.h>
#include <string.h>

#define PTE_FRAME 0x000ffffffffff000ull

int xr_localise(void *page, const struct xr_p2m *p2m, uint64_t *pfn)
{
	const uint64_t max = xr_p2m_max(p2m);
	uint64_t e[XR_PTES];
	int rc = 0;

	memcpy(e, page, sizeof(e));
	for (unsigned int i = 0; i < XR_PTES; i++) {
		const uint64_t to = xr_pte_pfn(e[i]);
		uint64_t mfn;

		if (to == XR_NO_MFN)
			continue;
		mfn = xr_p2m_mfn(p2m, to);
		if (to > max || (mfn == XR_NO_MFN && !rc))
			*pfn = to;
		if (to > max)
			return -ERANGE;
		if (mfn == XR_NO_MFN)
			rc = -ENOENT;
		e[i] = (e[i] & ~PTE_FRAME) | mfn << 12;
	}
	if (!rc)
		memcpy(page, e, sizeof(e));
	return rc;
}
