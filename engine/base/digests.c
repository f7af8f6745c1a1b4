/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/digests.h"

#include "base/pfnset.h"
#include "base/shared.h"
#include "host/host.h"

#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define REGION_SHIFT 9
#define REGIONS (XR_PFN_LIMIT >> REGION_SHIFT)

struct xr_digests {
	int fd;
	uint64_t end;			/* no region from here on is touched */
	uint64_t regions;		/* touched */
	uint64_t touched[REGIONS / 64]; /* reading where nothing is would take memory, too */
	uint64_t entry[XR_PFN_LIMIT] __attribute__((aligned(4096)));
};

struct xr_digests *xr_digests_create(void)
{
	int fd;
	struct xr_digests *d = xr_shared_create("xr-digests", sizeof(*d), &fd);

	if (!d)
		return NULL;
	madvise(d, sizeof(*d), MADV_DONTDUMP);
	d->fd = fd;
	return d;
}

struct xr_digests *xr_digests_attach(int fd)
{
	size_t bytes;

	return xr_shared_attach(fd, &bytes);
}

void xr_digests_destroy(struct xr_digests *d)
{
	if (d)
		xr_shared_destroy(d, sizeof(*d), d->fd);
}

int xr_digests_fd(const struct xr_digests *d)
{
	return d->fd;
}

static bool is_touched(const struct xr_digests *d, uint64_t region)
{
	return __atomic_load_n(&d->touched[region / 64], __ATOMIC_RELAXED) >> (region % 64) & 1;
}

static void touch(struct xr_digests *d, uint64_t region)
{
	uint64_t end = __atomic_load_n(&d->end, __ATOMIC_RELAXED);

	const uint64_t bit = (uint64_t)1 << (region % 64);

	if (!(__atomic_fetch_or(&d->touched[region / 64], bit, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_add(&d->regions, 1, __ATOMIC_RELAXED);
	while (end <= region && !__atomic_compare_exchange_n(&d->end, &end, region + 1, true,
							     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

uint64_t xr_digests_regions(const struct xr_digests *d)
{
	return __atomic_load_n(&d->regions, __ATOMIC_RELAXED);
}

void xr_digests_set(struct xr_digests *d, uint64_t pfn, uint64_t entry)
{
	const uint64_t region = pfn >> REGION_SHIFT;

	if (!is_touched(d, region)) {
		if (entry == XR_DIGEST_NONE)
			return;
		touch(d, region);
	}
	__atomic_store_n(&d->entry[pfn], entry, __ATOMIC_RELAXED);
}

uint64_t xr_digest_page(uint64_t pfn, const void *page)
{
	const uint64_t h = XXH3_64bits_withSeed(page, XR_PAGE_SIZE, pfn);

	return h > XR_DIGEST_OWN ? h : h + XR_DIGEST_OWN + 1;
}

uint64_t xr_digest_region(const uint64_t *entries)
{
	return XXH3_64bits(entries, XR_REGION_PAGES * sizeof(*entries));
}

/* False: all entries are NONE by now. */
static bool describe(const struct xr_digests *d, uint64_t region, struct xr_region *out)
{
	uint64_t entry[XR_REGION_PAGES], any = 0;

	memset(out, 0, sizeof(*out));
	out->first = region << REGION_SHIFT;
	for (unsigned int i = 0; i < XR_REGION_PAGES; i++) {
		const uint64_t bit = (uint64_t)1 << (i % 64);

		entry[i] = __atomic_load_n(&d->entry[out->first + i], __ATOMIC_RELAXED);
		any |= entry[i];
		if (entry[i] == XR_DIGEST_OWN)
			out->own[i / 64] |= bit;
		else if (entry[i] != XR_DIGEST_NONE)
			out->written[i / 64] |= bit;
	}
	out->digest = xr_digest_region(entry);
	return any;
}

bool xr_digests_region(const struct xr_digests *d, uint64_t from, struct xr_region *out)
{
	const uint64_t end = __atomic_load_n(&d->end, __ATOMIC_RELAXED);

	for (uint64_t region = from >> REGION_SHIFT; region < end; region++) {
		if (region % 64 == 0 &&
		    !__atomic_load_n(&d->touched[region / 64], __ATOMIC_RELAXED))
			region += 63;
		else if (is_touched(d, region) && describe(d, region, out))
			return true;
	}
	return false;
}

uint64_t xr_digest_add_region(uint64_t so_far, const struct xr_region *region)
{
	uint64_t words[3 + 2 * XR_REGION_PAGES / 64] = { so_far, region->first, region->digest };

	_Static_assert(sizeof(region->written) + sizeof(region->own) + 24 == sizeof(words), "all");
	memcpy(words + 3, region->written, sizeof(region->written));
	memcpy(words + 3 + XR_REGION_PAGES / 64, region->own, sizeof(region->own));
	return XXH3_64bits(words, sizeof(words));
}

uint64_t xr_digest_add_record(uint64_t so_far, uint32_t type, const void *body, uint32_t length)
{
	const uint64_t words[] = { so_far, type, length, XXH3_64bits(body, length) };

	return XXH3_64bits(words, sizeof(words));
}
