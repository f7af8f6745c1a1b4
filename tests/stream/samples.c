/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/samples.h"

#include "stream/wire.h"

#include <stdlib.h>
#include <string.h>

void sample_blob(struct builder *b, uint32_t type, uint32_t n)
{
	unsigned char *body = malloc(n + 1);

	for (uint32_t i = 0; i < n; i++)
		body[i] = (unsigned char)(i * 7 + type);
	if (n >= 8 && type >= XR_REC_PV_VCPU_BASIC && type <= XR_REC_PV_VCPU_XSAVE)
		memset(body, 0, 8);
	builder_record(b, type, body, n);
	free(body);
}

void sample_pv_info(struct builder *b, unsigned int width)
{
	const struct xr_wire_pv_info info = { (uint8_t)width, width == 8 ? 4 : 3, { 0 } };

	builder_record(b, XR_REC_PV_INFO, &info, sizeof(info));
}

void sample_p2m(struct builder *b, unsigned int width, uint32_t first, uint32_t last)
{
	const uint32_t per = 4096 / width, n = last / per - first / per + 1;
	uint64_t *body = calloc(n + 1, 8);
	const struct xr_wire_p2m_frames head = { first, last };

	memcpy(body, &head, 8);
	for (uint32_t i = 0; i < n; i++)
		body[1 + i] = i + 1;
	builder_record(b, XR_REC_PV_P2M_FRAMES, body, 8 + 8 * n);
	free(body);
}

static void hvm(struct builder *b, uint32_t version)
{
	const uint64_t first[] = { XR_EMIT_ENTRY(0, 0), XR_EMIT_ENTRY(XR_EMIT_XTAB, 1),
				   XR_EMIT_ENTRY(0, 2) };
	const uint64_t second[] = { XR_EMIT_ENTRY(XR_EMIT_XALLOC, 1),
				    XR_EMIT_ENTRY(XR_EMIT_BROKEN, 3) };
	const struct xr_emit_param params[] = { { XR_EMIT_STORE_PFN, 2 }, { 36, 1 } };

	if (version == 3)
		builder_static(b, true, true);
	builder_page_data(b, first, 3, NULL);
	sample_blob(b, XR_REC_OPTIONAL | 0x123, 13);
	builder_page_data(b, second, 2, NULL);
	builder_record(b, XR_REC_VERIFY, NULL, 0);
	builder_page_data(b, first, 1, NULL);
	builder_tsc(b);
	sample_blob(b, XR_REC_HVM_CONTEXT, 37);
	builder_params(b, params, 2);
	builder_params(b, NULL, 0);
}

static void pv(struct builder *b, unsigned int width)
{
	const uint64_t pages[] = { XR_EMIT_ENTRY(0, 1), XR_EMIT_ENTRY(0xc, 2),
				   XR_EMIT_ENTRY(XR_EMIT_XTAB, 3) };

	sample_pv_info(b, width);
	builder_static(b, true, false);
	sample_p2m(b, width, 0, 1500);
	builder_page_data(b, pages, 3, NULL);
	builder_tsc(b);
	sample_blob(b, XR_REC_SHARED_INFO, 4096);
	sample_blob(b, XR_REC_PV_VCPU_BASIC, 8 + (width == 8 ? XR_WIRE_VCPU64 : XR_WIRE_VCPU32));
	sample_blob(b, XR_REC_PV_VCPU_EXTENDED, 8 + 128);
	sample_blob(b, XR_REC_PV_VCPU_XSAVE, 8 + 16);
	sample_blob(b, XR_REC_PV_VCPU_XSAVE, 8);
	sample_blob(b, XR_REC_PV_VCPU_MSRS, 8 + 32);
}

void sample_make(struct builder *b, enum sample which, enum xr_emit_layer layer, size_t trailing)
{
	builder_begin(b, layer, which == SAMPLE_HVM2 ? 2 : 3, which >= SAMPLE_PV64);
	if (which >= SAMPLE_PV64)
		pv(b, which == SAMPLE_PV64 ? 8 : 4);
	else
		hvm(b, which == SAMPLE_HVM2 ? 2 : 3);
	builder_end(b, layer != XR_EMIT_BARE, trailing);
}

uint64_t sample_seed(uint64_t otherwise)
{
	const char *given = getenv("XR_SEED");

	return given ? strtoull(given, NULL, 0) : otherwise;
}
