/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/recipe_pv.h"

#include "lib/pvguest.h"
#include "stream/wire.h"

#include <string.h>

#define L1_TABLES ((PV_PFNS + 511) / 512)
#define P2M_FRAMES 6u
#define PRESENT 1u

/* The guest of the recipe at hand; one cook works at a time. */
static struct {
	struct pvguest g;
	unsigned char page[PV_OWN][PVG_PAGE];
	unsigned char shared[PVG_PAGE];
} own;

static bool is_special(uint64_t pfn)
{
	return (pfn >= PVG_START && pfn <= PVG_GDT) ||
	       (pfn >= PVG_P2M && pfn < PVG_P2M + P2M_FRAMES) ||
	       (pfn >= PVG_ROOT && pfn < PVG_L1 + L1_TABLES);
}

/* The guest that pvguest.h makes, cut down to its first pages. Of the holes at its end page tables
 * name two all the same. */
static void cut_down(struct pvguest *g)
{
	for (uint64_t pfn = PV_PFNS - 2; pfn < PVG_PFNS; pfn++)
		pvguest_pte(g, PVG_L1 + pfn / 512, pfn % 512, 0, 0);
	for (unsigned int i = L1_TABLES; i < (PVG_PFNS + 511) / 512; i++)
		pvguest_pte(g, PVG_L2, i, 0, 0);
	for (uint64_t pfn = 0; pfn < PV_PFNS; pfn++)
		if (!is_special(pfn))
			g->type[pfn] = XR_EMIT_XALLOC;
	memset(g->type + PV_OWN, XR_EMIT_NOTAB, 4);
	memset(g->type + PV_PFNS - 4, XR_EMIT_XTAB, 4);
}

static const struct pvguest *pristine(unsigned int width)
{
	static struct pvguest made[2];
	struct pvguest *g = &made[width == 4];

	if (g->page)
		return g;
	pvguest_init(g, width);
	cut_down(g);
	return g;
}

static void frames_record(struct cook *c, uint64_t first, uint64_t last, uint64_t odd)
{
	const uint64_t per = PVG_PAGE / c->r->width;
	uint64_t list[1 + 2 * P2M_FRAMES] = { first | last << 32 };
	const uint64_t from = first / per, n = last / per - from + 1;

	for (uint64_t i = 0; i < n; i++)
		list[1 + i] = PVG_P2M + from + i;
	if (odd)
		list[n] = odd;
	builder_record(c->b, XR_REC_PV_P2M_FRAMES, list, (uint32_t)(8 + 8 * n));
	if (last > c->max_pfn)
		c->max_pfn = last;
}

void recipe_pv_begin(struct cook *c, bool bare)
{
	const struct pvguest *from = pristine(c->r->width);
	const struct xr_wire_pv_info info = { (uint8_t)c->r->width,
					      c->r->width == 8 ? 4 : 3,
					      { 0 } };

	own.g = *from;
	own.g.page = own.page;
	memcpy(own.page, from->page, sizeof(own.page));
	for (unsigned int i = 0; i < sizeof(own.shared); i++)
		own.shared[i] = (unsigned char)(i % 251 + 1);
	if (bare) {
		unsound(c);
		return;
	}
	builder_record(c->b, XR_REC_PV_INFO, &info, sizeof(info));
	if (c->static_due)
		builder_static(c->b, true, true);
	c->static_due = false;
	frames_record(c, 0, PV_PFNS - 1, 0);
}

void recipe_pv_image(struct cook *c, uint64_t first, uint64_t end)
{
	for (uint64_t pfn = first; pfn < end && pfn < PV_PFNS; pfn++)
		recipe_add(c, pfn, own.g.type[pfn]);
	c->image |= !first && end >= PV_PFNS;
}

void recipe_pv_state(struct cook *c)
{
	builder_tsc(c->b);
	builder_record(c->b, XR_REC_SHARED_INFO, own.shared, sizeof(own.shared));
	pvguest_registers(&own.g, c->b);
	pvguest_state(c->b);
}

bool recipe_pv_fits(const struct cook *c, uint64_t pfn, unsigned int type)
{
	const bool spent = c->all >= ALL_ENTRIES || c->pages == ALL_PAGES;

	if (pfn > c->max_pfn)
		return false;
	if (pfn < PV_OWN && is_special(pfn))
		return type == own.g.type[pfn] && !spent;
	return !type || type >= XR_EMIT_BROKEN;
}

bool recipe_pv_contents(const struct cook *c, uint64_t pfn, unsigned char *page)
{
	(void)c;
	if (pfn >= PV_OWN || !is_special(pfn))
		return false;
	memcpy(page, own.page[pfn], PVG_PAGE);
	return true;
}

uint64_t recipe_pv_place(struct cook *c, unsigned int base)
{
	static const uint64_t bases[] = {
		0,   PVG_START, PVG_P2M, PVG_ROOT, PVG_L1,	PV_OWN,	 100,	     200,
		300, 0x1f0,	0x200,	 0x240,	   PV_PFNS - 8, PV_PFNS, 1ull << 20, 1ull << 32,
	};

	return bases[base & 15] + fuzz_take(c->in, base & 0x10 ? 2 : 1) % (base & 0x20 ? 512 : 32);
}

void recipe_pv_some_image(struct cook *c)
{
	const unsigned int how = byte(c);
	uint64_t first;

	if (how & 1) {
		recipe_pv_image(c, 0, PV_PFNS);
		return;
	}
	first = recipe_place(c);
	recipe_pv_image(c, first, first + recipe_length(c));
}

void recipe_pv_entry(struct cook *c)
{
	static const uint64_t flags[] = {
		0x63, 0x61, 0x67, 0, 0x62, 0xe3, 1, (1ull << 63) | 0xfff,
	};
	const unsigned int table = PVG_ROOT + byte(c) % 8;
	const unsigned int i = (unsigned int)fuzz_take(c->in, 2) % 512, how = byte(c);
	const unsigned int which = how & 7;
	uint64_t to = PV_OWN + fuzz_take(c->in, 2) % (PV_PFNS - PV_OWN);

	if (how & 0x80)
		to = how & 0x40 ? fuzz_take(c->in, 5) : recipe_place(c);
	pvguest_pte(&own.g, table, i, to, flags[which]);
	if (flags[which] & PRESENT &&
	    (how & 0x80 || which > 2 || table < PVG_L1 || table >= PVG_L1 + L1_TABLES))
		unsound(c);
}

void recipe_pv_word(struct cook *c)
{
	const unsigned int how = byte(c), at = (unsigned int)fuzz_take(c->in, 2);
	const uint64_t value = how & 0x80 ? fuzz_take(c->in, 8) : recipe_place(c) << (how & 4) * 3;
	unsigned char *const to[] = { own.page[PVG_START], own.g.context, own.shared };
	const unsigned int sizes[] = { PVG_PAGE, own.g.context_size, PVG_PAGE };
	const unsigned int which = (how & 3) % 3;

	pvguest_put(&own.g, to[which], at % (sizes[which] / 4 - 1) * 4, value);
	unsound(c);
}

void recipe_pv_frames(struct cook *c)
{
	const unsigned int how = byte(c);
	const uint64_t most = P2M_FRAMES * (PVG_PAGE / c->r->width);
	uint64_t first = how & 1 ? fuzz_take(c->in, 2) % most : 0;
	uint64_t last = fuzz_take(c->in, 2) % most, odd = how & 0x80 ? recipe_place(c) : 0;

	if (c->static_due || odd)
		unsound(c);
	if (first > last)
		first = last;
	frames_record(c, first, last, odd);
}

/* Another one than the guest's own, which comes later and counts. */
void recipe_pv_vcpu(struct cook *c)
{
	static const uint32_t types[] = { XR_REC_PV_VCPU_BASIC, XR_REC_PV_VCPU_EXTENDED,
					  XR_REC_PV_VCPU_XSAVE, XR_REC_PV_VCPU_MSRS };
	static const uint32_t sizes[] = { 0, 16, 64, 592, 2800, 5168, 8, 128 };
	const unsigned int how = byte(c), vcpu = byte(c) % 4;
	unsigned char body[8 + 5168] = { (unsigned char)vcpu };

	memcpy(body + 8, own.g.context, own.g.context_size);
	builder_record(c->b, types[how & 3], body, 8 + sizes[how >> 2 & 7]);
	unsound(c);
}
