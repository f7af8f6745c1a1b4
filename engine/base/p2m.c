/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/p2m.h"

#include "base/shared.h"

#include <stddef.h>
#include <sys/mman.h>

#define REGION_SHIFT 9
#define REGIONS (XR_P2M_LIMIT >> REGION_SHIFT)

/* An entry: the type, the mfn plus one (0: not backed), and one flag. */
#define TYPE_SHIFT 60
#define RAW ((uint64_t)1 << 59)
#define FRAME (((uint64_t)1 << 52) - 1)

struct xr_p2m {
	int fd;
	uint64_t max_pfn, regions;
	uint64_t touched[REGIONS / 64]; /* reading where nothing is would take memory, too */
	uint64_t entry[XR_P2M_LIMIT] __attribute__((aligned(4096)));
};

struct xr_p2m *xr_p2m_create(void)
{
	int fd;
	struct xr_p2m *p = xr_shared_create("xr-p2m", sizeof(*p), &fd);

	if (!p)
		return NULL;
	madvise(p, sizeof(*p), MADV_DONTDUMP);
	p->fd = fd;
	return p;
}

struct xr_p2m *xr_p2m_attach(int fd)
{
	size_t bytes;

	return xr_shared_attach(fd, &bytes);
}

void xr_p2m_destroy(struct xr_p2m *p)
{
	if (p)
		xr_shared_destroy(p, sizeof(*p), p->fd);
}

int xr_p2m_fd(const struct xr_p2m *p)
{
	return p->fd;
}

void xr_p2m_raise(struct xr_p2m *p, uint64_t max_pfn)
{
	if (max_pfn > p->max_pfn)
		__atomic_store_n(&p->max_pfn, max_pfn, __ATOMIC_RELAXED);
}

uint64_t xr_p2m_max(const struct xr_p2m *p)
{
	return __atomic_load_n(&p->max_pfn, __ATOMIC_RELAXED);
}

static bool is_touched(const struct xr_p2m *p, uint64_t region)
{
	return __atomic_load_n(&p->touched[region / 64], __ATOMIC_RELAXED) >> (region % 64) & 1;
}

static uint64_t get(const struct xr_p2m *p, uint64_t pfn)
{
	if (pfn >= XR_P2M_LIMIT || !is_touched(p, pfn >> REGION_SHIFT))
		return 0;
	return __atomic_load_n(&p->entry[pfn], __ATOMIC_RELAXED);
}

static void put(struct xr_p2m *p, uint64_t pfn, uint64_t entry)
{
	const uint64_t region = pfn >> REGION_SHIFT;

	if (!is_touched(p, region)) {
		__atomic_fetch_or(&p->touched[region / 64], (uint64_t)1 << (region % 64),
				  __ATOMIC_RELAXED);
		p->regions++;
	}
	__atomic_store_n(&p->entry[pfn], entry, __ATOMIC_RELAXED);
}

void xr_p2m_set(struct xr_p2m *p, uint64_t first, uint64_t mfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		put(p, first + i, (mfn + i + 1) & FRAME);
}

void xr_p2m_unset(struct xr_p2m *p, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (get(p, first + i))
			put(p, first + i, 0);
}

uint64_t xr_p2m_mfn(const struct xr_p2m *p, uint64_t pfn)
{
	const uint64_t frame = get(p, pfn) & FRAME;

	return frame ? frame - 1 : XR_NO_MFN;
}

unsigned int xr_p2m_type(const struct xr_p2m *p, uint64_t pfn)
{
	return (unsigned int)(get(p, pfn) >> TYPE_SHIFT);
}

void xr_p2m_set_type(struct xr_p2m *p, uint64_t pfn, unsigned int type)
{
	const uint64_t e = get(p, pfn);

	if (e)
		put(p, pfn, (e & (FRAME | RAW)) | (uint64_t)type << TYPE_SHIFT);
}

bool xr_p2m_is_raw(const struct xr_p2m *p, uint64_t pfn)
{
	return get(p, pfn) & RAW;
}

void xr_p2m_set_raw(struct xr_p2m *p, uint64_t pfn, bool raw)
{
	const uint64_t e = get(p, pfn);

	if (e)
		put(p, pfn, raw ? e | RAW : e & ~RAW);
}

void xr_p2m_localised(struct xr_p2m *p, uint64_t pfn)
{
	__atomic_fetch_and(&p->entry[pfn], ~RAW, __ATOMIC_RELAXED);
}

uint64_t xr_p2m_regions(const struct xr_p2m *p)
{
	return p->regions;
}
