/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect/mutants.h"

#include "lib/builder.h"
#include "lib/pvguest.h"
#include "lib/rng.h"
#include "stream/wire.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS 40u /* of libxc: image and domain */
#define LIBXL 24u   /* its header and LIBXC_CONTEXT */
#define RECORDS 48u

/* A stream and where its records are: those of libxc, then those of libxl behind them. */
struct original {
	struct builder b;
	const char *name;
	enum xr_emit_layer layer;
	size_t record[RECORDS + 1]; /* the last: the end */
	unsigned int records;
};

/* --- the originals -------------------------------------------------------------------------- */

static void pages(struct builder *b, uint64_t first)
{
	const uint64_t entries[] = { XR_EMIT_ENTRY(XR_EMIT_NOTAB, first),
				     XR_EMIT_ENTRY(XR_EMIT_XTAB, first + 1),
				     XR_EMIT_ENTRY(XR_EMIT_XALLOC, first + 2),
				     XR_EMIT_ENTRY(XR_EMIT_NOTAB, first + 3) };

	builder_page_data(b, entries, 4, NULL);
}

static void hvm_state(struct builder *b)
{
	static const struct xr_emit_param params[] = { { XR_EMIT_STORE_PFN, 3 },
						       { XR_EMIT_CONSOLE_PFN, 10 } };

	builder_tsc(b);
	builder_context(b);
	builder_params(b, params, 2);
}

static void emulator(struct builder *b, uint32_t type, const char *data, uint32_t n)
{
	const uint32_t head[] = { type, 8 + n, 2, 0 };

	builder_raw(b, head, sizeof(head));
	builder_raw(b, data, n);
	builder_raw(b, "\0\0\0\0\0\0\0", -n & 7);
}

static void hvm(struct original *o, enum xr_emit_layer layer, uint32_t version)
{
	struct builder *b = &o->b;

	o->layer = layer;
	builder_begin(b, layer, version, false);
	if (version > 2)
		builder_static(b, true, true);
	pages(b, 0);
	pages(b, 9);
	hvm_state(b);
}

static void plain(struct original *o)
{
	hvm(o, XR_EMIT_BARE, 3);
	builder_end(&o->b, false, 0);
}

static void old(struct original *o)
{
	hvm(o, XR_EMIT_BARE, 2);
	builder_end(&o->b, false, 0);
}

static void verified(struct original *o)
{
	hvm(o, XR_EMIT_BARE, 3);
	builder_record(&o->b, XR_EMIT_VERIFY, NULL, 0);
	pages(&o->b, 0);
	builder_end(&o->b, false, 0);
}

static void xl(struct original *o)
{
	hvm(o, XR_EMIT_XL, 3);
	builder_end(&o->b, false, 0);
	emulator(&o->b, 3, "a device model", 14);
	xr_emit_libxl_end(&o->b.sink);
}

static void with_xenstore(struct original *o)
{
	static const char data[] = "physmap/0/name\0vga";

	hvm(o, XR_EMIT_LIBXL, 3);
	builder_end(&o->b, false, 0);
	emulator(&o->b, 2, data, sizeof(data));
	xr_emit_libxl_end(&o->b.sink);
}

static void libvirt(struct original *o)
{
	hvm(o, XR_EMIT_LIBVIRT, 2);
	builder_end(&o->b, true, 0);
}

static void checkpointed(struct original *o)
{
	hvm(o, XR_EMIT_BARE, 3);
	builder_record(&o->b, XR_EMIT_CHECKPOINT, NULL, 0);
	pages(&o->b, 0);
	hvm_state(&o->b);
	builder_end(&o->b, false, 0);
}

static void pv(struct original *o, enum xr_emit_layer layer, unsigned int width)
{
	struct pvguest g;

	o->layer = layer;
	pvguest_init(&g, width);
	builder_begin(&o->b, layer, 3, true);
	pvguest_head(&g, &o->b);
	pvguest_pages(&g, &o->b, PVG_START, PVG_GDT + 1);
	pvguest_pages(&g, &o->b, PVG_ROOT, PVG_L1);
	pvguest_pages(&g, &o->b, PVG_XALLOC - 3, PVG_BROKEN + 2);
	pvguest_tail(&g, &o->b);
	pvguest_free(&g);
}

static void pv64(struct original *o)
{
	pv(o, XR_EMIT_BARE, 8);
}

static void pv32(struct original *o)
{
	pv(o, XR_EMIT_XL, 4);
	xr_emit_libxl_end(&o->b.sink);
}

static void find_records(struct original *o)
{
	const size_t size = builder_size(&o->b);
	size_t at = o->b.libxc_offset + HEADERS;
	uint32_t head[2];

	for (; at < size; at += 8 + ((head[1] + 7) & ~7u)) {
		cr_assert_lt(o->records, RECORDS);
		o->record[o->records++] = at;
		memcpy(head, builder_data(&o->b) + at, 8);
	}
	cr_assert_eq(at, size);
	o->record[o->records] = at;
}

/* --- changes of bytes ----------------------------------------------------------------------- */

static void add(struct mutants *m, struct variant v)
{
	if (m->n == m->room) {
		m->room = m->room ? 2 * m->room : 1024;
		m->all = realloc(m->all, m->room * sizeof(*m->all));
		cr_assert_not_null(m->all);
	}
	v.stream = m->streams - 1;
	if (!v.size)
		v.size = m->stream[v.stream].size;
	m->all[m->n++] = v;
}

static void put(struct mutants *m, const struct original *o, unsigned char *bytes, size_t n)
{
	cr_assert_lt(m->streams, MUTANTS_STREAMS);
	m->stream[m->streams].bytes = bytes;
	m->stream[m->streams].size = n;
	m->stream[m->streams].name = o->name;
	m->stream[m->streams].form = o->layer == XR_EMIT_BARE ? "libxc"
				     : o->layer == XR_EMIT_XL ? "xl"
							      : "libxl";
	m->stream[m->streams++].start = o->layer == XR_EMIT_LIBVIRT ? o->b.libxc_offset - LIBXL : 0;
	add(m, (struct variant){ 0 });
}

static void flip(struct mutants *m, const struct original *o, size_t at, struct rng *r)
{
	struct variant v = { .at = at, .n = 1 };

	v.bytes[0] = builder_data(&o->b)[at] ^ (unsigned char)(1u << rng_below(r, 8));
	add(m, v);
}

static void flips(struct mutants *m, const struct original *o, size_t from, size_t to,
		  struct rng *r)
{
	for (size_t at = from; at < to; at++)
		flip(m, o, at, r);
}

static void set_word(struct mutants *m, size_t at, uint32_t value)
{
	struct variant v = { .at = at, .n = 4 };

	memcpy(v.bytes, &value, 4);
	add(m, v);
}

static void types_and_lengths(struct mutants *m, const struct original *o, size_t at)
{
	uint32_t type, length;

	memcpy(&type, builder_data(&o->b) + at, 4);
	memcpy(&length, builder_data(&o->b) + at + 4, 4);
	for (uint32_t other = 0; other <= 0x13; other++)
		if (other != type)
			set_word(m, at, other);
	set_word(m, at, type | XR_REC_OPTIONAL);
	for (uint32_t by = 1; by <= 4096; by *= by == 1 ? 4 : by == 4 ? 2 : 512) {
		set_word(m, at + 4, length + by);
		set_word(m, at + 4, length - by);
	}
	set_word(m, at + 4, 0);
	set_word(m, at + 4, XR_WIRE_BODY_MAX);
	set_word(m, at + 4, XR_WIRE_BODY_MAX + 1);
	set_word(m, at + 4, UINT32_MAX - 3);
}

/* Its head, the beginning and the end of its body, padding included. */
static void change_record(struct mutants *m, const struct original *o, unsigned int i,
			  struct rng *r)
{
	const size_t at = o->record[i], end = o->record[i + 1], body = at + 8;
	const size_t first = end - body < 40 ? end : body + 40;

	types_and_lengths(m, o, at);
	flips(m, o, at, first, r);
	flips(m, o, end - first < 16 ? first : end - 16, end, r);
	for (size_t cut = at; cut <= body; cut += 4)
		add(m, (struct variant){ .size = cut });
	if (end > body)
		add(m, (struct variant){ .size = body + rng_below(r, end - body) });
}

/* Of the layers what has a meaning: not the text of a configuration. */
static void change_heads(struct mutants *m, const struct original *o, struct rng *r)
{
	const size_t libxc = o->b.libxc_offset;

	for (unsigned int twice = 0; twice < 2; twice++) {
		flips(m, o, libxc, libxc + HEADERS, r);
		if (o->layer != XR_EMIT_BARE)
			flips(m, o, libxc - LIBXL, libxc, r);
		if (o->layer == XR_EMIT_XL)
			flips(m, o, 0, sizeof(struct xr_wire_xl), r);
	}
	add(m, (struct variant){ .at = libxc + 17, .n = 1, .bytes = { 1 } }); /* big-endian */
	if (o->layer != XR_EMIT_BARE) {
		add(m, (struct variant){ .at = libxc - 9, .n = 1, .bytes = { 1 } });
		types_and_lengths(m, o, libxc - 8);
	}
	for (size_t cut = 1; cut < o->record[0]; cut += 1 + rng_below(r, 12))
		add(m, (struct variant){ .size = cut });
}

/* --- changes of records --------------------------------------------------------------------- */

struct piece {
	size_t from, to;
};

static void assemble(struct mutants *m, const struct original *o, const struct piece *pieces,
		     unsigned int n)
{
	unsigned char *bytes = malloc(2 * builder_size(&o->b));
	size_t size = 0;

	cr_assert_not_null(bytes);
	for (unsigned int i = 0; i < n; i++) {
		const size_t length = pieces[i].to - pieces[i].from;

		memcpy(bytes + size, builder_data(&o->b) + pieces[i].from, length);
		size += length;
	}
	put(m, o, bytes, size);
}

static void move_records(struct mutants *m, const struct original *o)
{
	const size_t size = builder_size(&o->b);

	for (unsigned int i = 0; i < o->records; i++) {
		const size_t at = o->record[i], next = o->record[i + 1];
		const size_t after = i + 2 <= o->records ? o->record[i + 2] : size;
		const struct piece without[] = { { 0, at }, { next, size } };
		const struct piece doubled[] = { { 0, next }, { at, size } };
		const struct piece swapped[] = {
			{ 0, at }, { next, after }, { at, next }, { after, size }
		};

		assemble(m, o, without, 2);
		assemble(m, o, doubled, 2);
		if (i + 1 < o->records)
			assemble(m, o, swapped, 4);
	}
}

/* -------------------------------------------------------------------------------------------- */

static void mutate(struct mutants *m, struct original *o, struct rng *r)
{
	const size_t size = builder_size(&o->b);
	unsigned char *bytes = malloc(size);

	cr_assert_not_null(bytes);
	memcpy(bytes, builder_data(&o->b), size);
	put(m, o, bytes, size);
	change_heads(m, o, r);
	for (unsigned int i = 0; i < o->records; i++)
		change_record(m, o, i, r);
	move_records(m, o);
}

void mutants_make(struct mutants *m, uint64_t seed)
{
	static const struct {
		const char *name;
		void (*make)(struct original *o);
	} kinds[] = {
		{ "plain", plain },
		{ "of version 2", old },
		{ "with VERIFY", verified },
		{ "of xl", xl },
		{ "of libxl with xenstore data", with_xenstore },
		{ "of libvirt", libvirt },
		{ "with a checkpoint", checkpointed },
		{ "of a 64-bit PV guest", pv64 },
		{ "of a 32-bit PV guest, of xl", pv32 },
	};
	struct rng r = rng_seed(seed);

	*m = (struct mutants){ 0 };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct original o = { .name = kinds[i].name };

		kinds[i].make(&o);
		find_records(&o);
		mutate(m, &o, &r);
		builder_free(&o.b);
	}
}

void mutants_free(struct mutants *m)
{
	for (unsigned int i = 0; i < m->streams; i++)
		free(m->stream[i].bytes);
	free(m->all);
}
