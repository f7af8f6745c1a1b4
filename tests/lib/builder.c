/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void check(const struct builder *b)
{
	if (!b->sink.error)
		return;
	fprintf(stderr, "builder: %s\n", strerror(-b->sink.error));
	abort();
}

static void begin_record(struct builder *b)
{
	b->last_record = b->sink.len;
	b->records++;
}

void builder_begin(struct builder *b, enum xr_emit_layer layer, uint32_t version, bool pv)
{
	*b = (struct builder){ 0 };
	xr_sink_open(&b->sink, -1);
	xr_emit_layer(&b->sink, layer, 4096);
	b->libxc_offset = b->sink.len;
	xr_emit_headers(&b->sink, version, pv);
	check(b);
}

void builder_record(struct builder *b, uint32_t type, const void *body, uint32_t length)
{
	begin_record(b);
	xr_emit_record(&b->sink, type, body, length);
	check(b);
}

void builder_static(struct builder *b, bool cpuid, bool msr)
{
	xr_emit_policies(&b->sink, cpuid, msr);
	b->records += (uint64_t)cpuid + msr;
	builder_record(b, XR_EMIT_STATIC_DATA_END, NULL, 0);
}

bool builder_has_data(unsigned int type)
{
	return type <= 4 || (type >= 9 && type <= 12);
}

bool builder_is_ram(unsigned int type)
{
	return builder_has_data(type) || type == XR_EMIT_XALLOC;
}

void builder_fill(uint64_t pfn, uint64_t serial, void *page)
{
	uint64_t words[PAGE / 8], key = pfn * 0x9e3779b97f4a7c15ull ^ serial << 32 ^ ~serial;

	for (unsigned int i = 0; i < PAGE / 8; i++) {
		key = key * 6364136223846793005ull + 1442695040888963407ull;
		words[i] = key ^ key >> 29;
	}
	words[0] = pfn;
	words[1] = serial;
	words[2] = ~0ull;
	memcpy(page, words, PAGE);
}

void builder_page_data(struct builder *b, const uint64_t *entries, uint32_t n, const void *contents)
{
	uint64_t serial = b->records;
	uint32_t with_data = 0;

	begin_record(b);
	for (uint32_t i = 0; i < n; i++)
		with_data += builder_has_data(XR_EMIT_TYPE(entries[i]));
	xr_emit_record_header(&b->sink, XR_EMIT_PAGE_DATA, 8 + 8 * n + PAGE * with_data);
	xr_sink_put(&b->sink, (uint32_t[]){ n, 0 }, 8);
	xr_sink_put(&b->sink, entries, 8ul * n);
	if (contents)
		xr_sink_put(&b->sink, contents, (size_t)PAGE * with_data);
	for (uint32_t i = 0; i < n && !contents; i++) {
		unsigned char page[PAGE];

		if (!builder_has_data(XR_EMIT_TYPE(entries[i])))
			continue;
		builder_fill(XR_EMIT_PFN(entries[i]), serial, page);
		xr_sink_put(&b->sink, page, PAGE);
	}
	check(b);
}

void builder_tsc(struct builder *b)
{
	begin_record(b);
	xr_emit_tsc(&b->sink, 123456789);
	check(b);
}

void builder_context(struct builder *b)
{
	begin_record(b);
	xr_emit_context(&b->sink);
	check(b);
}

void builder_params(struct builder *b, const struct xr_emit_param *params, uint32_t n)
{
	begin_record(b);
	xr_emit_params(&b->sink, params, n);
	check(b);
}

void builder_end(struct builder *b, bool libxl_end, size_t trailing)
{
	builder_record(b, XR_EMIT_END, NULL, 0);
	b->end_offset = b->sink.len;
	if (libxl_end)
		xr_emit_libxl_end(&b->sink);
	for (size_t i = 0; i < trailing; i++)
		builder_raw(b, &"not yours"[i % 9], 1);
	check(b);
}

void builder_raw(struct builder *b, const void *bytes, size_t n)
{
	xr_sink_put(&b->sink, bytes, n);
	check(b);
}

void builder_free(struct builder *b)
{
	xr_sink_close(&b->sink);
	*b = (struct builder){ 0 };
}
