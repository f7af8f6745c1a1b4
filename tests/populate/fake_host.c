/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "populate/fake_host.h"

#include "base/pfnset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE_MASK 3u /* 0 not backed, 1 4K, 2 2M, 3 1G */
#define DIRTY 4u
#define XENS 8u
#define TRIED_2M 1u
#define TRIED_1G 2u

static unsigned char size_of(unsigned int order)
{
	return order == XR_ORDER_1G ? 3 : order == XR_ORDER_2M ? 2 : 1;
}

static bool chance(struct fake_host *f, unsigned int percent)
{
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	return percent && (f->seed >> 20) % 100 < percent;
}

static int fake_info(struct xr_host *h, struct xr_dominfo *info)
{
	struct fake_host *f = (struct fake_host *)h;

	f->info_calls++;
	if (f->info_error)
		return f->info_error;
	memset(info, 0, sizeof(*info));
	info->hvm = true;
	info->tot_pages = f->tot_pages;
	info->max_pages = f->max_pages;
	return 0;
}

static void note_try(struct fake_host *f, unsigned int order, uint64_t gfn)
{
	unsigned char bit = order == XR_ORDER_1G ? TRIED_1G : TRIED_2M;

	if (order == XR_ORDER_4K)
		return;
	f->tried_again += f->tried[gfn >> 9] & bit ? 1 : 0;
	f->tried[gfn >> 9] |= bit;
	for (unsigned int i = 0; i < 3; i++) {
		static const uint64_t special[] = { 0xa0, 0xfee00, 0xfc000 };

		f->tried_forbidden += gfn >> order == special[i] >> order;
	}
}

static bool refuse(struct fake_host *f, unsigned int order)
{
	if (order > f->max_order)
		return true;
	if (order)
		return chance(f, f->refuse_2m);
	if (f->stopped_short) {
		f->stopped_short = false;
		return false;
	}
	f->stopped_short = f->refuse_once && chance(f, f->refuse_once);
	return f->stopped_short;
}

static bool grant(struct fake_host *f, unsigned int order, uint64_t gfn)
{
	uint64_t n = (uint64_t)1 << order;

	note_try(f, order, gfn);
	f->misaligned += gfn % n ? 1 : 0;
	if (f->tot_pages + n > f->max_pages) {
		f->over_allocations++;
		return false;
	}
	if (f->frames < n || refuse(f, order))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		f->leaked += f->frame[gfn + i] & SIZE_MASK ? 1 : 0;
		f->took_xens += f->frame[gfn + i] & XENS ? 1 : 0;
		f->frame[gfn + i] = size_of(order);
	}
	f->frames -= f->frames == ~(uint64_t)0 ? 0 : n;
	f->tot_pages += n;
	if (f->tot_pages > f->peak_pages)
		f->peak_pages = f->tot_pages;
	return true;
}

static long fake_populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns,
			  uint64_t *mfns)
{
	struct fake_host *f = (struct fake_host *)h;
	size_t i;

	if (!mfns == f->pv)
		abort();
	f->populate_calls++;
	f->calls_of[order]++;
	if (f->call_error)
		return f->call_error;
	for (i = 0; i < n && grant(f, order, gfns[i]); i++) {
		f->extents_of[order]++;
		if (mfns)
			mfns[i] = gfns[i] + FAKE_MFNS;
	}
	f->refused_of[order] += i < n;
	return (long)i + f->boast;
}

static void split(struct fake_host *f, uint64_t gfn)
{
	uint64_t region = gfn & ~511ull, gig = gfn & ~262143ull;

	if ((f->frame[gfn] & SIZE_MASK) == 3)
		for (uint64_t i = gig; i < gig + 262144; i++)
			if (f->frame[i] & SIZE_MASK)
				f->frame[i] = (unsigned char)((f->frame[i] & DIRTY) | 2);
	if ((f->frame[gfn] & SIZE_MASK) == 2)
		for (uint64_t i = region; i < region + 512; i++)
			if (f->frame[i] & SIZE_MASK)
				f->frame[i] = (unsigned char)((f->frame[i] & DIRTY) | 1);
}

static long fake_release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns)
{
	struct fake_host *f = (struct fake_host *)h;

	f->release_calls++;
	if (f->release_error < 0)
		return f->release_error;
	if (f->release_error && n > (size_t)f->release_error)
		n = (size_t)f->release_error;
	for (size_t i = 0; i < n; i++) {
		const uint64_t first = f->pv ? gfns[i] - FAKE_MFNS : gfns[i];

		if (first >= XR_PFN_LIMIT) {
			f->released_empty++;
			return (long)i;
		}
		for (uint64_t gfn = first; gfn < first + (1u << order); gfn++) {
			if (!(f->frame[gfn] & SIZE_MASK)) {
				f->released_empty++;
				return (long)i;
			}
			f->released_dirty += f->frame[gfn] & DIRTY ? 1 : 0;
			f->took_xens += f->frame[gfn] & XENS ? 1 : 0;
			split(f, gfn);
			f->frame[gfn] = 0;
			f->tot_pages--;
			f->frames += f->frames == ~(uint64_t)0 ? 0 : 1;
		}
	}
	return (long)n;
}

static const struct xr_host_ops fake_ops = {
	.name = "fake",
	.info = fake_info,
	.populate = fake_populate,
	.release = fake_release,
};

static void *sparse(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void fake_open(struct fake_host *f, uint64_t start_pages, uint64_t max_pages)
{
	memset(f, 0, sizeof(*f));
	f->host.ops = &fake_ops;
	f->tot_pages = start_pages;
	f->max_pages = max_pages;
	f->max_order = 18;
	f->frames = ~(uint64_t)0;
	f->seed = 1;
	f->frame = sparse(XR_PFN_LIMIT);
	f->tried = sparse(XR_PFN_LIMIT >> 9);
}

void fake_close(struct fake_host *f)
{
	munmap(f->frame, XR_PFN_LIMIT);
	munmap(f->tried, XR_PFN_LIMIT >> 9);
}

int fake_order(const struct fake_host *f, uint64_t gfn)
{
	static const int order[] = { -1, 0, 9, 18 };

	return order[f->frame[gfn] & SIZE_MASK];
}

void fake_write(struct fake_host *f, uint64_t gfn)
{
	f->frame[gfn] |= DIRTY;
}

int fake_retire(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n, bool clear,
		struct xr_error *err)
{
	struct fake_host *f = ctx;

	(void)where;
	(void)err;
	f->retire_calls++;
	f->retired += n;
	for (size_t i = 0; i < n; i++) {
		f->retired_empty += !(f->frame[pfns[i]] & SIZE_MASK);
		f->took_xens += f->frame[pfns[i]] & XENS ? 1 : 0;
		if (clear)
			f->frame[pfns[i]] &= (unsigned char)~DIRTY;
	}
	return 0;
}

void fake_give(struct fake_host *f, uint64_t gfn)
{
	f->tot_pages -= f->frame[gfn] & XENS ? 0 : 1;
	split(f, gfn);
	f->frame[gfn] = 0;
}

void fake_take(struct fake_host *f, uint64_t gfn)
{
	f->frame[gfn] = size_of(XR_ORDER_4K);
	f->tot_pages++;
}

void fake_put_xens(struct fake_host *f, uint64_t gfn)
{
	fake_give(f, gfn);
	f->frame[gfn] = (unsigned char)(XENS | size_of(XR_ORDER_4K));
}

bool fake_xens(const struct fake_host *f, uint64_t gfn)
{
	return f->frame[gfn] & XENS;
}

int fake_has_ram(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n, bool *ram,
		 struct xr_error *err)
{
	const struct fake_host *f = ctx;

	(void)where;
	(void)err;
	if (n > XR_RAM_MAX)
		abort();
	for (size_t i = 0; i < n; i++)
		ram[i] = f->frame[pfns[i]] & SIZE_MASK && !(f->frame[pfns[i]] & XENS);
	return 0;
}

uint64_t fake_faults(const struct fake_host *f)
{
	return f->leaked + f->released_empty + f->released_dirty + f->over_allocations +
	       f->misaligned + f->tried_again + f->retired_empty + f->took_xens;
}
