/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/dups.h"

#include "base/pfnset.h"
#include "stream/wire.h"

#include <string.h>

#define DIGIT 12u
#define INDEX_BITS 16u

_Static_assert(XR_PFN_BITS % DIGIT == 0 && XR_PFN_BITS + INDEX_BITS <= 64, "pfn and index fit");
_Static_assert(XR_DUPS_MAX == 1u << INDEX_BITS, "an index fits");

/* A stable sort of pfn << 16 | index by one digit of the pfn. */
static void pass(const uint64_t *from, uint64_t *to, size_t n, unsigned int shift)
{
	uint32_t at[1u << DIGIT] = { 0 };
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		at[from[i] >> shift & ((1u << DIGIT) - 1)]++;
	for (size_t i = 0; i < 1u << DIGIT; i++) {
		const uint32_t here = at[i];

		at[i] = sum;
		sum += here;
	}
	for (size_t i = 0; i < n; i++)
		to[at[from[i] >> shift & ((1u << DIGIT) - 1)]++] = from[i];
}

bool xr_dups_find(struct xr_dups *d, const uint64_t *entries, size_t n)
{
	unsigned int side = 0;
	bool any = false;

	for (size_t i = 0; i < n; i++)
		d->sort[0][i] = (entries[i] & XR_WIRE_ENTRY_PFN) << INDEX_BITS | i;
	for (unsigned int bit = 0; bit < XR_PFN_BITS; bit += DIGIT, side ^= 1)
		pass(d->sort[side], d->sort[side ^ 1], n, INDEX_BITS + bit);
	memset(d->before, 0, n * sizeof(d->before[0]));
	memset(d->replaced, 0, n * sizeof(d->replaced[0]));
	for (size_t i = n; i-- > 1;) {
		const uint64_t a = d->sort[side][i - 1], b = d->sort[side][i];
		const size_t first = a & (XR_DUPS_MAX - 1), second = b & (XR_DUPS_MAX - 1);

		if (a >> INDEX_BITS != b >> INDEX_BITS)
			continue;
		d->before[second] = (uint32_t)first + 1;
		d->replaced[first] = d->replaced[second] || entries[second] >> 60 != XR_PAGE_XALLOC;
		any = true;
	}
	return any;
}
