/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/pvguest.h"

#include "stream/wire.h"

#include <stdlib.h>
#include <string.h>

#define PRESENT 1u
#define WRITABLE 2u
#define USER 4u
#define NO_EXECUTE (1ull << 63)
#define TABLES_END (PVG_L1 + (PVG_PFNS + 511) / 512)
#define PINNED 8u

void pvguest_pte(struct pvguest *g, uint64_t pfn, unsigned int i, uint64_t to, uint64_t flags)
{
	const uint64_t e = to << 12 | flags;

	memcpy(g->page[pfn] + 8ul * i, &e, sizeof(e));
}

void pvguest_put(const struct pvguest *g, unsigned char *base, unsigned int at, uint64_t value)
{
	memcpy(base + at, &value, g->width);
}

static unsigned int p2m_frames(const struct pvguest *g)
{
	return (PVG_PFNS - 1) / (PVG_PAGE / g->width) + 1;
}

static bool is_read_only(uint64_t pfn)
{
	return (pfn >= PVG_ROOT && pfn < TABLES_END) || pfn == PVG_GDT;
}

static void map_all(struct pvguest *g)
{
	for (uint64_t pfn = 0; pfn < PVG_PFNS; pfn++) {
		const unsigned int t = g->type[pfn];
		const uint64_t l1 = PVG_L1 + pfn / 512;

		if (t == XR_EMIT_XTAB || t == XR_EMIT_BROKEN)
			pvguest_pte(g, l1, pfn % 512, 0xdead, 0xffe); /* not present */
		else
			pvguest_pte(g, l1, pfn % 512, pfn,
				    PRESENT | 0x60 | NO_EXECUTE |
					    (is_read_only(pfn) ? 0 : WRITABLE));
	}
}

static void make_tables(struct pvguest *g)
{
	memset(g->page[PVG_ROOT], 0, (size_t)(TABLES_END - PVG_ROOT) * PVG_PAGE);
	for (unsigned int i = 0; i < TABLES_END - PVG_L1; i++) {
		g->type[PVG_L1 + i] = 1;
		pvguest_pte(g, PVG_L2, i, PVG_L1 + i, PRESENT | WRITABLE);
	}
	g->type[PVG_L2] = 2;
	if (g->width == 8) {
		g->type[PVG_ROOT] = g->type[PVG_USER] = 4 | PINNED;
		g->type[PVG_L3] = 3;
		pvguest_pte(g, PVG_ROOT, 272, PVG_L3, PRESENT | WRITABLE);
		pvguest_pte(g, PVG_USER, 0, PVG_L3, PRESENT | WRITABLE | USER);
		pvguest_pte(g, PVG_L3, 0, PVG_L2, PRESENT | WRITABLE);
	} else {
		g->type[PVG_ROOT] = 3 | PINNED;
		pvguest_pte(g, PVG_ROOT, 0, PVG_L2, PRESENT);
	}
	map_all(g);
}

static void make_context(struct pvguest *g)
{
	const bool wide = g->width == 8;
	unsigned char *c = g->context;
	const unsigned int ctrlreg = wide ? 4984 : 2716;

	g->context_size = wide ? XR_WIRE_VCPU64 : XR_WIRE_VCPU32;
	for (uint32_t i = 0; i < g->context_size; i++)
		c[i] = (unsigned char)(i * 13);
	c[512] = 1; /* flags */
	pvguest_put(g, c, wide ? 616 : 524, PVG_START);
	pvguest_put(g, c, wide ? 4960 : 2704, 512);
	pvguest_put(g, c, wide ? 4832 : 2640, PVG_GDT);
	pvguest_put(g, c, ctrlreg + g->width, wide ? (uint64_t)PVG_USER << 12 | 1 : 0);
	pvguest_put(g, c, ctrlreg + 3 * g->width, (uint64_t)PVG_ROOT << 12);
}

void pvguest_init(struct pvguest *g, unsigned int width)
{
	memset(g, 0, sizeof(*g));
	g->width = width;
	g->page = calloc(PVG_PFNS, PVG_PAGE);
	for (uint64_t pfn = 0; pfn < PVG_PFNS; pfn++)
		builder_fill(pfn, 1, g->page[pfn]);
	memset(g->type + PVG_HOLE, XR_EMIT_XTAB, PVG_HOLE_END - PVG_HOLE);
	g->type[PVG_XALLOC] = XR_EMIT_XALLOC;
	g->type[PVG_BROKEN] = XR_EMIT_BROKEN;
	make_tables(g);
	pvguest_put(g, g->page[PVG_START], width == 8 ? 56 : 44, PVG_STORE);
	pvguest_put(g, g->page[PVG_START], width == 8 ? 72 : 52, PVG_CONSOLE);
	make_context(g);
}

void pvguest_free(struct pvguest *g)
{
	free(g->page);
	g->page = NULL;
}

void pvguest_head(const struct pvguest *g, struct builder *b)
{
	const struct xr_wire_pv_info info = { (uint8_t)g->width, g->width == 8 ? 4 : 3, { 0 } };
	const unsigned int n = p2m_frames(g);
	uint64_t list[16] = { (uint64_t)(PVG_PFNS - 1) << 32 };

	builder_record(b, XR_REC_PV_INFO, &info, sizeof(info));
	builder_static(b, true, true);
	for (unsigned int i = 0; i < n; i++)
		list[1 + i] = PVG_P2M + i;
	builder_record(b, XR_REC_PV_P2M_FRAMES, list, 8 + 8 * n);
}

static void one_record(const struct pvguest *g, struct builder *b, uint64_t first, uint64_t end)
{
	unsigned char *contents = malloc((end - first) * PVG_PAGE), *to = contents;
	uint64_t e[1024];

	for (uint64_t pfn = first; pfn < end; pfn++) {
		e[pfn - first] = XR_EMIT_ENTRY(g->type[pfn], pfn);
		if (!builder_has_data(g->type[pfn]))
			continue;
		memcpy(to, g->page[pfn], PVG_PAGE);
		to += PVG_PAGE;
	}
	builder_page_data(b, e, (uint32_t)(end - first), contents);
	free(contents);
}

void pvguest_pages(const struct pvguest *g, struct builder *b, uint64_t first, uint64_t end)
{
	for (uint64_t n; first < end; first += n) {
		n = end - first < 1024 ? end - first : 1024;
		one_record(g, b, first, first + n);
	}
}

static void vcpu_record(struct builder *b, uint32_t type, uint32_t vcpu, const void *blob,
			uint32_t size)
{
	unsigned char *body = calloc(1, 8 + size);

	memcpy(body, &vcpu, sizeof(vcpu));
	if (size)
		memcpy(body + 8, blob, size);
	builder_record(b, type, body, 8 + size);
	free(body);
}

void pvguest_registers(const struct pvguest *g, struct builder *b)
{
	vcpu_record(b, XR_REC_PV_VCPU_BASIC, 0, g->context, g->context_size);
}

void pvguest_state(struct builder *b)
{
	uint32_t ext[16] = { 0, sizeof(ext), 7, 8, 9 };
	uint64_t xsave[90] = { 3, 7, 1, 2, 3 };
	uint32_t msrs[8] = { 0xc0011027u, 0, 1, 2, 0xc0011019u, 0, 3, 4 };

	vcpu_record(b, XR_REC_PV_VCPU_EXTENDED, 0, ext, sizeof(ext));
	vcpu_record(b, XR_REC_PV_VCPU_XSAVE, 0, xsave, sizeof(xsave));
	vcpu_record(b, XR_REC_PV_VCPU_MSRS, 0, msrs, sizeof(msrs));
}

void pvguest_tail(const struct pvguest *g, struct builder *b)
{
	unsigned char shared[PVG_PAGE];

	for (unsigned int i = 0; i < sizeof(shared); i++)
		shared[i] = (unsigned char)(i % 251 + 1);
	builder_tsc(b);
	builder_record(b, XR_REC_SHARED_INFO, shared, sizeof(shared));
	pvguest_registers(g, b);
	pvguest_state(b);
	vcpu_record(b, XR_REC_PV_VCPU_XSAVE, 1, NULL, 0); /* as old savers write them */
	builder_end(b, false, 0);
}

void pvguest_stream(const struct pvguest *g, struct builder *b)
{
	pvguest_head(g, b);
	pvguest_pages(g, b, 0, PVG_PFNS);
	pvguest_tail(g, b);
}
