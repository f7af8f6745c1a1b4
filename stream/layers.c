/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/layers.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum state {
	IDENT, /* 8 bytes that tell the layer */
	XL,    /* rest of a header whose first 8 bytes are in head */
	LIBVIRT,
	LIBXL,
	DATA,	      /* optional data of xl, XML of libvirt: passed over */
	LIBXL_IDENT,  /* behind those */
	LIBXL_RECORD, /* LIBXC_CONTEXT */
	MARKER,
	DONE,
};

static int fail(const struct xr_layers *l, int code, uint64_t base, struct xr_error *err,
		const char *text, uint32_t value)
{
	const struct xr_where at = { base + l->taken, XR_NO_RECORD, XR_NO_TYPE };

	return xr_fail(err, code, XR_STAGE_STREAM, &at, XR_NO_PFN, text, value);
}

static void expect(struct xr_layers *l, enum state state, size_t want)
{
	l->state = state;
	l->want = (uint32_t)want;
	l->skip = state == DATA;
}

void xr_layers_init(struct xr_layers *l, enum xr_layer mode)
{
	memset(l, 0, sizeof(*l));
	expect(l, mode == XR_LAYER_LIBXC ? MARKER : IDENT, 8);
}

static int ident(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	static const uint64_t marker = XR_WIRE_MARKER, libxl = XR_WIRE_LIBXL_IDENT;
	uint64_t be;

	memcpy(l->head, bytes, 8);
	memcpy(&be, bytes, 8);
	if (be64toh(be) == marker)
		expect(l, DONE, 0);
	else if (be64toh(be) == libxl)
		expect(l, LIBXL, sizeof(struct xr_wire_libxl) - 8);
	else if (l->state == LIBXL_IDENT)
		return fail(l, -EBADMSG, base, err,
			    "no libxl stream (LibxlFmt) behind the save file's header", 0);
	else if (!memcmp(bytes, XR_WIRE_XL_MAGIC, 8))
		expect(l, XL, sizeof(struct xr_wire_xl) - 8);
	else if (!memcmp(bytes, XR_WIRE_LIBVIRT_MAGIC, 8))
		expect(l, LIBVIRT, sizeof(struct xr_wire_libvirt) - 8);
	else
		return fail(l, -EBADMSG, base, err,
			    "this is no Xen save file or migration stream: it begins neither like "
			    "xl's, libvirt's or libxl's nor like a libxc stream",
			    0);
	return 0;
}

static int marker(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	uint64_t be;

	memcpy(&be, bytes, 8);
	if (be64toh(be) != XR_WIRE_MARKER)
		return fail(
			l, -EBADMSG, base, err,
			"no libxc stream here: its marker is missing (a legacy stream of Xen 4.5 "
			"or older, or another layer)",
			0);
	expect(l, DONE, 0);
	return 0;
}

/* Behind xl's or libvirt's header, which ends at `at`: so many bytes, then the libxl stream. */
static void data_follows(struct xr_layers *l, uint64_t at, uint32_t length)
{
	l->seen.data_at = at;
	l->seen.data_length = length;
	if (length)
		expect(l, DATA, length);
	else
		expect(l, LIBXL_IDENT, 8);
}

static int xl(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	struct xr_wire_xl h;
	uint32_t unknown;

	memcpy(l->head + 8, bytes, sizeof(h) - 8);
	memcpy(&h, l->head, sizeof(h));
	if (memcmp(h.magic, XR_WIRE_XL_MAGIC, sizeof(h.magic)))
		return fail(l, -EBADMSG, base, err, "the magic of the xl save file is damaged", 0);
	if (le32toh(h.order) == __builtin_bswap32(XR_WIRE_XL_ORDER))
		return fail(l, -EOPNOTSUPP, base, err,
			    "the xl save file was made on a big-endian machine", 0);
	if (le32toh(h.order) != XR_WIRE_XL_ORDER)
		return fail(l, -EBADMSG, base, err, "the xl save file's byte-order mark is %#x",
			    le32toh(h.order));
	unknown = le32toh(h.mandatory) & ~(XR_WIRE_XL_JSON | XR_WIRE_XL_STREAM2);
	if (unknown)
		return fail(l, -EOPNOTSUPP, base, err,
			    "the xl save file has mandatory flags that are not known: %#x",
			    unknown);
	if (!(le32toh(h.mandatory) & XR_WIRE_XL_STREAM2))
		return fail(l, -EOPNOTSUPP, base, err,
			    "the xl save file holds a legacy stream (Xen 4.5 or older); convert it "
			    "first",
			    0);
	l->seen.xl = true;
	l->seen.mandatory = le32toh(h.mandatory);
	l->seen.optional = le32toh(h.optional);
	data_follows(l, sizeof(h), le32toh(h.data_length));
	return 0;
}

static int libvirt(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	struct xr_wire_libvirt h;

	memcpy(l->head + 8, bytes, sizeof(h) - 8);
	memcpy(&h, l->head, sizeof(h));
	if (memcmp(h.magic, XR_WIRE_LIBVIRT_MAGIC, sizeof(h.magic)))
		return fail(l, -EBADMSG, base, err, "the magic of libvirt's save file is damaged",
			    0);
	if (le32toh(h.version) != XR_WIRE_LIBVIRT_STREAM2)
		return fail(
			l, -EOPNOTSUPP, base, err,
			"libvirt's save file is of version %u; 2 is supported (1 holds a legacy "
			"stream)",
			le32toh(h.version));
	l->seen.libvirt = true;
	data_follows(l, sizeof(h), le32toh(h.xml_length));
	return 0;
}

static int libxl(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	struct xr_wire_libxl h;
	uint32_t options;

	memcpy(l->head + 8, bytes, sizeof(h) - 8);
	memcpy(&h, l->head, sizeof(h));
	options = be32toh(h.be_options);
	if (be32toh(h.be_version) != XR_WIRE_LIBXL_VERSION)
		return fail(l, -EOPNOTSUPP, base, err, "libxl stream version %u; 2 is supported",
			    be32toh(h.be_version));
	if (options & XR_WIRE_LIBXL_BIG_ENDIAN)
		return fail(l, -EOPNOTSUPP, base, err, "the libxl stream is big-endian", 0);
	if (options & ~(XR_WIRE_LIBXL_BIG_ENDIAN | XR_WIRE_LIBXL_CONVERTED))
		return fail(l, -EOPNOTSUPP, base, err,
			    "the libxl stream has options that are not known: %#x", options);
	l->seen.libxl = true;
	l->seen.libxl_options = options;
	expect(l, LIBXL_RECORD, sizeof(struct xr_wire_record));
	return 0;
}

static int libxl_record(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	struct xr_wire_record h;

	memcpy(&h, bytes, sizeof(h));
	if (le32toh(h.type) != XR_WIRE_LIBXL_CONTEXT)
		return fail(l, -EBADMSG, base, err,
			    "the libxl stream begins with a record of type %#x, not LIBXC_CONTEXT",
			    le32toh(h.type));
	if (h.length)
		return fail(l, -EBADMSG, base, err,
			    "libxl's LIBXC_CONTEXT record has length %u, not 0", le32toh(h.length));
	expect(l, MARKER, 8);
	return 0;
}

static int data(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	(void)bytes;
	(void)base;
	(void)err;
	expect(l, LIBXL_IDENT, 8);
	return 0;
}

int xr_layers_step(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err)
{
	static int (*const steps[])(struct xr_layers *, const void *, uint64_t,
				    struct xr_error *) = {
		[IDENT] = ident,
		[XL] = xl,
		[LIBVIRT] = libvirt,
		[LIBXL] = libxl,
		[DATA] = data,
		[LIBXL_IDENT] = ident,
		[LIBXL_RECORD] = libxl_record,
		[MARKER] = marker,
	};
	const uint32_t size = l->want;
	const int rc = steps[l->state](l, bytes, base, err);

	l->taken += size;
	return rc;
}
