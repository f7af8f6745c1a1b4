/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/digest.h"

#include <endian.h>
#include <nettle/sha2.h>
#include <stdio.h>

int digest_pages(digest_next next, void *opaque, char hex[65])
{
	uint8_t page[4096], sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	uint64_t pfn;
	int rc;

	sha256_init(&ctx);
	while ((rc = next(opaque, &pfn, page)) > 0) {
		uint64_t number = htole64(pfn);

		sha256_update(&ctx, sizeof(number), (const uint8_t *)&number);
		sha256_update(&ctx, sizeof(page), page);
	}
	sha256_digest(&ctx, sizeof(sum), sum);
	for (unsigned int i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	return rc;
}

struct walk {
	struct xr_model *m;
	uint64_t from;
};

static int next_frame(void *opaque, uint64_t *pfn, void *page)
{
	struct walk *w = opaque;

	*pfn = xr_model_next(w->m, w->from);
	if (*pfn == ~(uint64_t)0)
		return 0;
	w->from = *pfn + 1;
	return xr_model_peek(w->m, *pfn, page) ? -1 : 1;
}

int digest_model(struct xr_model *m, char hex[65])
{
	struct walk w = { .m = m };

	return digest_pages(next_frame, &w, hex);
}
