/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/receipt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool close_region(struct receipt_check *c)
{
	struct xr_region got;
	int rc = xr_next_region(c->r, c->next, &got);

	c->open = false;
	c->want.digest = xr_digest_region(c->entry);
	if (rc || memcmp(&got, &c->want, sizeof(got)) != 0) {
		snprintf(c->why, c->room,
			 "the receipt has region %#lx with digest %#lx, not %#lx with %#lx (%d)",
			 got.first, got.digest, c->want.first, c->want.digest, rc);
		return false;
	}
	c->contents = xr_digest_add_region(c->contents, &got);
	c->next = got.first + XR_REGION_PAGES;
	return true;
}

bool receipt_check_page(struct receipt_check *c, uint64_t pfn, const void *page, bool own)
{
	const unsigned int at = (unsigned int)(pfn % XR_REGION_PAGES);
	const uint64_t first = pfn - at, bit = (uint64_t)1 << (at % 64);

	if (c->open && c->want.first != first && !close_region(c))
		return false;
	if (!c->open) {
		c->want = (struct xr_region){ .first = first };
		memset(c->entry, 0, sizeof(c->entry));
		c->open = true;
	}
	c->entry[at] = own ? XR_DIGEST_OWN : xr_digest_page(pfn, page);
	*(own ? &c->want.own[at / 64] : &c->want.written[at / 64]) |= bit;
	return true;
}

bool receipt_check_end(struct receipt_check *c, const struct xr_result *res)
{
	struct xr_region got;

	if (c->open && !close_region(c))
		return false;
	if (xr_next_region(c->r, c->next, &got) != -ENOENT) {
		snprintf(c->why, c->room, "the receipt has region %#lx, too", got.first);
		return false;
	}
	if (res->contents_digest == c->contents && res->control_digest)
		return true;
	snprintf(c->why, c->room, "the receipt's digest is %#lx, not %#lx", res->contents_digest,
		 c->contents);
	return false;
}
