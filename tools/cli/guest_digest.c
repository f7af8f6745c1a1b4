/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_digest.h"

#include <endian.h>
#include <nettle/sha2.h>
#include <stdio.h>

int xr_guest_digest(struct xr_model *m, char hex[65])
{
	uint8_t page[XR_PAGE_SIZE], sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha;

	sha256_init(&sha);
	for (uint64_t gfn = xr_model_next(m, 0); gfn != ~(uint64_t)0;
	     gfn = xr_model_next(m, gfn + 1)) {
		uint64_t le = htole64(gfn);
		int rc = xr_model_peek(m, gfn, page);

		if (rc)
			return rc;
		sha256_update(&sha, sizeof(le), (const uint8_t *)&le);
		sha256_update(&sha, sizeof(page), page);
	}
	sha256_digest(&sha, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	return 0;
}
