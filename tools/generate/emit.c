/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sinks, and the layers, headers and control records of a stream. */
#include "generate/emit.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int xr_sink_open(struct xr_sink *s, int fd)
{
	*s = (struct xr_sink){ .fd = fd, .room = fd < 0 ? 4096 : XR_SINK_PIECE };
	s->data = malloc(s->room);
	if (!s->data)
		s->error = -ENOMEM;
	return s->error;
}

int xr_sink_flush(struct xr_sink *s)
{
	size_t done = 0;

	while (!s->error && s->fd >= 0 && done < s->len) {
		ssize_t n = write(s->fd, s->data + done, s->len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			s->error = -errno;
	}
	if (s->fd >= 0) {
		s->flushed += done;
		s->len = 0;
	}
	return s->error;
}

void xr_sink_close(struct xr_sink *s)
{
	free(s->data);
	s->data = NULL;
}

static void grow(struct xr_sink *s, size_t n)
{
	size_t room = s->room;
	unsigned char *data;

	while (room - s->len < n)
		room *= 2;
	data = realloc(s->data, room);
	if (!data) {
		s->error = -ENOMEM;
		return;
	}
	s->data = data;
	s->room = room;
}

void *xr_sink_room(struct xr_sink *s, size_t n)
{
	void *p;

	if (!s->error && s->room - s->len < n) {
		if (s->fd < 0)
			grow(s, n);
		else
			xr_sink_flush(s);
	}
	if (s->error)
		return NULL;
	p = s->data + s->len;
	s->len += n;
	return p;
}

void xr_sink_put(struct xr_sink *s, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;

	while (n) {
		size_t piece = n < XR_SINK_PIECE ? n : XR_SINK_PIECE;
		void *to = xr_sink_room(s, piece);

		if (!to)
			return;
		memcpy(to, from, piece);
		from += piece;
		n -= piece;
	}
}

static void put_text(struct xr_sink *s, const char *text)
{
	xr_sink_put(s, text, strlen(text));
}

static void put_xl_header(struct xr_sink *s, uint64_t mem_kib)
{
	char json[256];
	uint32_t size;

	snprintf(
		json, sizeof(json),
		"{\n    \"c_info\": {\n        \"type\": \"pvh\",\n        \"name\": \"generated\"\n"
		"    },\n    \"b_info\": {\n        \"max_memkb\": %llu,\n        \"type.pvh\": {}\n"
		"    }\n}\n",
		(unsigned long long)mem_kib);
	size = (uint32_t)strlen(json) + 1;
	put_text(s, "Xen saved domain, xl format\n ");
	xr_sink_put(s, "\0 \r", 3);
	xr_sink_put(s, (uint32_t[]){ 0x01020304, 3, 0, 4 + size }, 16);
	xr_sink_put(s, &size, 4);
	xr_sink_put(s, json, size);
}

static void put_libvirt_header(struct xr_sink *s, uint64_t mem_kib)
{
	uint32_t words[12] = { 2 };
	char xml[128];

	snprintf(xml, sizeof(xml),
		 "<domain type='xen'><name>generated</name><memory>%llu</memory></domain>\n",
		 (unsigned long long)mem_kib);
	words[1] = (uint32_t)strlen(xml) + 1;
	put_text(s, "libvirt-xml\n ");
	xr_sink_put(s, "\0 \r", 3);
	xr_sink_put(s, words, sizeof(words));
	xr_sink_put(s, xml, words[1]);
}

static void put_libxl_header(struct xr_sink *s)
{
	put_text(s, "LibxlFmt");
	xr_sink_put(s, (uint32_t[]){ htobe32(2), 0 }, 8);
	xr_sink_put(s, (uint32_t[]){ 1, 0 }, 8);
}

void xr_emit_layer(struct xr_sink *s, enum xr_emit_layer layer, uint64_t mem_kib)
{
	if (layer == XR_EMIT_XL)
		put_xl_header(s, mem_kib);
	if (layer == XR_EMIT_LIBVIRT)
		put_libvirt_header(s, mem_kib);
	if (layer != XR_EMIT_BARE)
		put_libxl_header(s);
}

void xr_emit_headers(struct xr_sink *s, uint32_t version, bool pv)
{
	static const unsigned char marker[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };
	uint32_t image[4] = { htobe32(0x58454e46), htobe32(version), 0, 0 };
	uint32_t domain[4] = { pv ? 1 : 2, 12, 4, version == 2 ? 12 : 17 };

	xr_sink_put(s, marker, sizeof(marker));
	xr_sink_put(s, image, sizeof(image));
	xr_sink_put(s, domain, sizeof(domain));
}

void xr_emit_record_header(struct xr_sink *s, uint32_t type, uint32_t length)
{
	xr_sink_put(s, (uint32_t[]){ type, length }, 8);
}

void xr_emit_record(struct xr_sink *s, uint32_t type, const void *body, uint32_t length)
{
	static const unsigned char padding[8];

	xr_emit_record_header(s, type, length);
	xr_sink_put(s, body, length);
	xr_sink_put(s, padding, -length & 7);
}

void xr_emit_policies(struct xr_sink *s, bool cpuid, bool msr)
{
	static const uint32_t leaves[2][6] = {
		{ 0x0, ~0u, 0x1, 0x756e6547, 0x6c65746e, 0x49656e69 },
		{ 0x1, ~0u, 0x000306c3, 0x00010800, 0x80202001, 0x178bfbff },
	};
	static const uint64_t msrs[1][2] = { { 0xce, 0 } };

	if (cpuid)
		xr_emit_record(s, XR_EMIT_CPUID_POLICY, leaves, sizeof(leaves));
	if (msr)
		xr_emit_record(s, XR_EMIT_MSR_POLICY, msrs, sizeof(msrs));
}

void xr_emit_tsc(struct xr_sink *s, uint64_t nsec)
{
	struct {
		uint32_t mode, khz;
		uint64_t nsec;
		uint32_t incarnation, reserved;
	} body = { 0, 2400000, nsec, 1, 0 };

	xr_emit_record(s, XR_EMIT_TSC_INFO, &body, sizeof(body));
}

void xr_emit_context(struct xr_sink *s)
{
	struct {
		uint16_t typecode, instance;
		uint32_t length;
		uint32_t magic, version;
		uint64_t changeset;
		uint32_t cpuid, gtsc_khz;
		uint64_t end; /* typecode, instance and length all 0 */
	} body = { 1, 0, 24, 0x54381286, 1, 0, 0x000306c3, 2400000, 0 };

	xr_emit_record(s, XR_EMIT_HVM_CONTEXT, &body, sizeof(body));
}

void xr_emit_params(struct xr_sink *s, const struct xr_emit_param *params, uint32_t n)
{
	xr_emit_record_header(s, XR_EMIT_HVM_PARAMS, 8 + 16 * n);
	xr_sink_put(s, (uint32_t[]){ n, 0 }, 8);
	xr_sink_put(s, params, sizeof(*params) * n);
}

void xr_emit_libxl_end(struct xr_sink *s)
{
	xr_sink_put(s, (uint32_t[]){ 0, 0 }, 8);
}
