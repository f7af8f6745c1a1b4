/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a receipt must say, made page by page, and held against what a restore does say. */
#ifndef XR_TEST_RECEIPT_H
#define XR_TEST_RECEIPT_H

#include "base/digests.h"

#include <stddef.h>

struct receipt_check {
	const struct xr_restore *r;
	uint64_t next;	   /* regions below are checked */
	uint64_t contents; /* digest of all so far */
	bool open;
	struct xr_region want; /* the region that pages are added to, if it is open */
	uint64_t entry[XR_REGION_PAGES];
	char *why;
	size_t room;
};

/* In ascending order. own: made by the restore itself. False: *why says what is wrong. */
bool receipt_check_page(struct receipt_check *c, uint64_t pfn, const void *page, bool own);
/* After the last page. */
bool receipt_check_end(struct receipt_check *c, const struct xr_result *res);

#endif
