/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands before the libxc stream: found, passed over, refused with the right word. */
#include "stream/samples.h"

#include "stream/layers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Through the parser; *taken is what it has asked for. */
static int parse(const unsigned char *bytes, size_t n, enum xr_layer mode, uint64_t *taken,
		 struct xr_error *e)
{
	struct xr_layers l;
	int rc = 0;

	xr_error_clear(e);
	xr_layers_init(&l, mode);
	while (!rc && l.want) {
		const uint32_t want = l.want;

		cr_assert(l.skip || want <= XR_LAYERS_STEP);
		cr_assert(l.taken + want <= n, "asks for bytes that the layer does not have");
		rc = xr_layers_step(&l, l.skip ? NULL : bytes + l.taken, 100, e);
	}
	*taken = l.taken;
	return rc;
}

Test(layers, end_in_the_marker_and_not_a_byte_later)
{
	for (unsigned int layer = XR_EMIT_BARE; layer <= XR_EMIT_LIBVIRT; layer++) {
		struct xr_error e;
		struct builder b;
		uint64_t taken;

		builder_begin(&b, layer, 3, false);
		cr_assert_eq(parse(builder_data(&b), b.libxc_offset + 8, XR_LAYER_AUTO, &taken, &e),
			     0, "%s", e.text);
		cr_assert_eq(taken, b.libxc_offset + 8);
		builder_free(&b);
	}
}

Test(layers, a_bare_stream_only_where_that_is_asked_for)
{
	struct xr_error e;
	struct builder b;
	uint64_t taken;

	builder_begin(&b, XR_EMIT_BARE, 3, false);
	cr_assert_eq(parse(builder_data(&b), 8, XR_LAYER_LIBXC, &taken, &e), 0);
	builder_free(&b);
	builder_begin(&b, XR_EMIT_XL, 3, false);
	cr_assert_eq(parse(builder_data(&b), 8, XR_LAYER_LIBXC, &taken, &e), -EBADMSG);
	cr_assert_eq(e.offset, 100);
	builder_free(&b);
}

struct change {
	enum xr_emit_layer layer;
	size_t at;
	unsigned char value;
	int rc;
	const char *word;
};

static const struct change changes[] = {
	{ XR_EMIT_XL, 0, 'x', -EBADMSG, "save file" },
	{ XR_EMIT_XL, 31, 'x', -EBADMSG, "magic" },
	{ XR_EMIT_XL, 32, 9, -EBADMSG, "byte-order" },
	{ XR_EMIT_XL, 36, 0, -EOPNOTSUPP, "legacy" },
	{ XR_EMIT_XL, 36, 1, -EOPNOTSUPP, "legacy" },
	{ XR_EMIT_XL, 36, 2, 0, NULL },
	{ XR_EMIT_XL, 36, 7, -EOPNOTSUPP, "flags" },
	{ XR_EMIT_XL, 39, 0x80, -EOPNOTSUPP, "flags" },
	{ XR_EMIT_XL, 43, 0xff, 0, NULL },
	{ XR_EMIT_LIBVIRT, 15, 'x', -EBADMSG, "magic" },
	{ XR_EMIT_LIBVIRT, 16, 1, -EOPNOTSUPP, "version" },
	{ XR_EMIT_LIBXL, 0, 0, -EBADMSG, "neither" },
	{ XR_EMIT_LIBXL, 11, 1, -EOPNOTSUPP, "version" },
	{ XR_EMIT_LIBXL, 15, 1, -EOPNOTSUPP, "big-endian" },
	{ XR_EMIT_LIBXL, 15, 2, 0, NULL },
	{ XR_EMIT_LIBXL, 15, 4, -EOPNOTSUPP, "options" },
	{ XR_EMIT_LIBXL, 16, 3, -EBADMSG, "LIBXC_CONTEXT" },
	{ XR_EMIT_LIBXL, 20, 8, -EBADMSG, "length" },
	{ XR_EMIT_LIBXL, 24, 0, -EBADMSG, "marker" },
	{ XR_EMIT_BARE, 7, 0, -EBADMSG, "neither" },
};

Test(layers, what_is_wrong_is_refused_with_its_word)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		struct xr_error e;
		struct builder b;
		uint64_t taken;
		int rc;

		builder_begin(&b, c->layer, 3, false);
		b.sink.data[c->at] = c->value;
		rc = parse(builder_data(&b), builder_size(&b), XR_LAYER_AUTO, &taken, &e);
		cr_assert_eq(rc, c->rc, "case %zu: %d %s", i, rc, e.text);
		if (c->word)
			cr_assert(strstr(e.text, c->word), "case %zu: %s", i, e.text);
		builder_free(&b);
	}
}

Test(layers, the_other_byte_order_is_named)
{
	struct xr_error e;
	struct builder b;
	uint64_t taken;

	builder_begin(&b, XR_EMIT_XL, 3, false);
	memcpy(b.sink.data + 32, (unsigned char[]){ 1, 2, 3, 4 }, 4);
	cr_assert_eq(parse(builder_data(&b), builder_size(&b), XR_LAYER_AUTO, &taken, &e),
		     -EOPNOTSUPP);
	cr_assert(strstr(e.text, "big-endian"));
	builder_free(&b);
}

Test(layers, optional_data_of_any_length_is_passed_over)
{
	for (uint32_t n = 0; n < 20; n++) {
		struct xr_wire_xl h = { .order = XR_WIRE_XL_ORDER,
					.mandatory = XR_WIRE_XL_STREAM2 | XR_WIRE_XL_JSON,
					.data_length = n };
		struct xr_error e;
		struct builder b, behind;
		uint64_t taken;

		memcpy(h.magic, XR_WIRE_XL_MAGIC, sizeof(h.magic));
		builder_begin(&behind, XR_EMIT_LIBXL, 3, false);
		b = (struct builder){ 0 };
		xr_sink_open(&b.sink, -1);
		builder_raw(&b, &h, sizeof(h));
		builder_raw(&b, "any bytes whatsoever.....", n);
		builder_raw(&b, builder_data(&behind), builder_size(&behind));
		cr_assert_eq(parse(builder_data(&b), builder_size(&b), XR_LAYER_AUTO, &taken, &e),
			     0);
		cr_assert_eq(taken, sizeof(h) + n + behind.libxc_offset + 8);
		builder_free(&b);
		builder_free(&behind);
	}
}

Test(layers, noise_never_passes)
{
	unsigned char noise[64];
	uint64_t seed = sample_seed(1);

	for (unsigned int i = 0; i < 20000; i++) {
		struct xr_error e;
		uint64_t taken;

		for (unsigned int k = 0; k < sizeof(noise); k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			noise[k] = (unsigned char)(seed >> 56);
		}
		cr_assert_eq(parse(noise, sizeof(noise), XR_LAYER_AUTO, &taken, &e), -EBADMSG);
		cr_assert_eq(e.code, -EBADMSG);
	}
}
