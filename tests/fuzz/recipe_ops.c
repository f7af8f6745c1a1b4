/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations of a recipe. The first bytes say what stands around the records; then each operation
 * is a byte and what it wants. Page contents cost most: few entries carry them, and where their
 * budget is spent RAM comes without.
 */
#include "fuzz/recipe_ops.h"

#include <string.h>

#define PAGE 4096u
#define ENTRIES 2600u /* to a record, at most */
#define ALL_ENTRIES 6000u
#define ALL_PAGES 160u
#define RAW_MOST 4000u
#define LIMIT ((uint64_t)1 << 36)

enum op {
	OP_RUN,	   /* pfns that follow the last one */
	OP_RUN_AT, /* from somewhere else on */
	OP_SOME,   /* one or a few, each with its type */
	OP_FLUSH,  /* end the record */
	OP_AGAIN,  /* go back to the first pfn: another pass */
	OP_PARAMS,
	OP_TSC,
	OP_CONTEXT,
	OP_OPTIONAL,
	OP_VERIFY,
	OP_STATIC,
	OP_RECORD, /* of any type, with bytes of the input */
	OP_PAGES,  /* PAGE_DATA that contradicts itself */
	OP_RAW,	   /* bytes of the input */
	OP_END,
	OP_KINDS,
};

struct cook {
	struct recipe *r;
	struct builder *b;
	struct fuzz_input *in;
	uint64_t entry[ENTRIES];
	uint32_t n, data; /* of the record at hand */
	uint32_t all, pages;
	uint64_t pfn, first;
	bool begun, static_due, verify, ended;
	uint32_t once; /* parameters that can be set once and were, a bit each */
};

static unsigned int byte(struct cook *c)
{
	return (unsigned int)fuzz_take(c->in, 1);
}

static void unsound(struct cook *c)
{
	c->r->sound = false;
}

/* Cheap, and no two alike. */
static void fill(unsigned char *page, uint64_t pfn, uint64_t serial)
{
	const uint64_t key = pfn * 0x9e3779b97f4a7c15ull ^ serial << 48;

	for (unsigned int i = 0; i < PAGE / 8; i++) {
		const uint64_t word = key + i;

		memcpy(page + 8ul * i, &word, 8);
	}
}

static void need_static(struct cook *c)
{
	if (!c->static_due)
		return;
	c->static_due = false;
	builder_static(c->b, c->pages & 1, true);
}

static void flush(struct cook *c)
{
	static unsigned char contents[ALL_PAGES * PAGE];
	uint32_t have = 0;

	if (!c->n)
		return;
	need_static(c);
	for (uint32_t i = 0; i < c->n; i++) {
		if (builder_has_data(XR_EMIT_TYPE(c->entry[i])))
			fill(contents + (size_t)have++ * PAGE, XR_EMIT_PFN(c->entry[i]),
			     c->b->records);
	}
	builder_page_data(c->b, c->entry, c->n, contents);
	c->n = c->data = 0;
}

static void add(struct cook *c, uint64_t pfn, unsigned int type)
{
	if (c->all >= ALL_ENTRIES)
		return;
	if (c->n == ENTRIES)
		flush(c);
	if (builder_has_data(type) && c->pages == ALL_PAGES)
		type = XR_EMIT_XALLOC;
	if (builder_has_data(type)) {
		c->pages++;
		c->data++;
	}
	if (pfn >= LIMIT || (type >= 5 && type <= 8))
		unsound(c);
	if (!c->begun)
		c->first = pfn;
	c->begun = true;
	c->pfn = pfn + 1;
	c->all++;
	c->entry[c->n++] = XR_EMIT_ENTRY(type, pfn & 0x000fffffffffffffull);
}

static uint64_t place(struct cook *c)
{
	static const uint64_t bases[] = {
		0,
		0x80,
		0x1f0,
		0x200,
		0x400,
		0x3fe00,
		0x40000,
		0xfbf00,
		0xfc000,
		0xfed00,
		0xfff00,
		0x100000,
		(uint64_t)1 << 30,
		LIMIT - 0x300,
		LIMIT - 1, /* and, rarely, beyond */
		((uint64_t)1 << 51) - 3,
	};
	const unsigned int base = byte(c);

	return bases[base & 15] + fuzz_take(c->in, base & 0x10 ? 2 : 1);
}

static unsigned int length(struct cook *c)
{
	static const unsigned int lengths[] = { 1,   2,	  7,	64,   510,  511,
						512, 513, 1023, 1024, 1025, 1536 };
	const unsigned int n = byte(c);

	return n < 12 ? lengths[n] : n;
}

/* Type of the i-th frame: nearly all the same, every so many another. */
static void run(struct cook *c, uint64_t pfn)
{
	static const unsigned int types[] = { XR_EMIT_XALLOC, XR_EMIT_NOTAB, XR_EMIT_XTAB,
					      XR_EMIT_BROKEN };
	const unsigned int n = length(c), how = byte(c);
	const unsigned int most = types[how & 3], other = types[how >> 2 & 3];
	const unsigned int every = (how >> 4) * (how >> 4) + 2;

	for (unsigned int i = 0; i < n; i++)
		add(c, pfn + i, i % every == every - 1 ? other : most);
}

static void some(struct cook *c)
{
	const unsigned int n = byte(c) % 8 + 1;

	for (unsigned int i = 0; i < n; i++) {
		const unsigned int how = byte(c);
		const uint64_t near = c->pfn + (how & 0x0f) - 4;

		add(c, how & 0x80 ? place(c) : near & (LIMIT - 1), byte(c) >> 4);
	}
}

static void params(struct cook *c)
{
	static const unsigned char indices[] = { 1, 5, 6, 17, 12, 27, 28, 29, 4, 0, 1, 17 };
	const unsigned int n = byte(c) % 6;
	struct xr_emit_param p[6];

	for (unsigned int i = 0; i < n; i++) {
		const unsigned int which = byte(c);

		p[i].index = which & 0x80 ? fuzz_take(c->in, which & 0x40 ? 8 : 1)
					  : indices[which % sizeof(indices)];
		p[i].value = which & 0x20 ? fuzz_take(c->in, 8) : place(c);
		if (which & 0x80 || (p[i].index < 32 && c->once >> p[i].index & 1))
			unsound(c);
		if (p[i].index == 5 || p[i].index == 6)
			c->once |= 1u << p[i].index;
	}
	builder_params(c->b, p, n);
}

static const uint8_t *take_bytes(struct cook *c, size_t *n)
{
	const uint8_t *at = c->in->at;

	if (*n > c->in->left)
		*n = c->in->left;
	if (*n > RAW_MOST)
		*n = RAW_MOST;
	c->in->at += *n;
	c->in->left -= *n;
	return at;
}

static void optional(struct cook *c)
{
	static const unsigned char body[3000];
	const unsigned int type = byte(c);

	builder_record(c->b, XR_EMIT_OPTIONAL | type, body, type & 0x80 ? 2999 : type % 17);
}

static void any_record(struct cook *c)
{
	const unsigned int type = byte(c);
	size_t n = byte(c);
	const uint8_t *body;

	if (type & 0x80)
		n = n << 4 | byte(c) % 16;
	body = take_bytes(c, &n);
	builder_record(c->b, type & 0x7f, body, (uint32_t)n);
	unsound(c);
}

/* Count and length that do not fit each other, or the entries. */
static void odd_pages(struct cook *c)
{
	const uint64_t entry = XR_EMIT_ENTRY(byte(c) & 15, c->pfn & (LIMIT - 1));
	const uint32_t count = (uint32_t)fuzz_take(c->in, 1),
		       length = (uint32_t)fuzz_take(c->in, 3);
	const uint32_t head[4] = { XR_EMIT_PAGE_DATA, length, count, 0 };

	need_static(c);
	builder_raw(c->b, head, sizeof(head));
	for (uint32_t i = 0; i < count % 5; i++)
		builder_raw(c->b, &entry, sizeof(entry));
	unsound(c);
}

static void raw(struct cook *c)
{
	size_t n = fuzz_take(c->in, 2) % 512;
	const uint8_t *bytes = take_bytes(c, &n);

	builder_raw(c->b, bytes, n);
	unsound(c);
}

static void context(struct cook *c)
{
	size_t n = byte(c);
	const uint8_t *bytes;

	if (n < 128) {
		builder_context(c->b);
		return;
	}
	bytes = take_bytes(c, &n);
	builder_record(c->b, XR_EMIT_HVM_CONTEXT, bytes, (uint32_t)n);
	/* The last one counts, and the usual end has one more. */
	if (!n)
		unsound(c);
}

static void statics(struct cook *c)
{
	const unsigned int how = byte(c);

	if (!c->static_due)
		unsound(c);
	c->static_due = false;
	builder_static(c->b, how & 1, how & 2);
}

static void verify(struct cook *c)
{
	builder_record(c->b, XR_EMIT_VERIFY, NULL, 0);
	c->verify = true;
}

static void carry_out(struct cook *c, enum op op)
{
	if (op > OP_SOME && op != OP_AGAIN)
		flush(c);
	switch (op) {
	case OP_RUN:
		run(c, c->pfn);
		break;
	case OP_RUN_AT:
		run(c, place(c));
		break;
	case OP_SOME:
		some(c);
		break;
	case OP_AGAIN:
		c->pfn = c->first;
		break;
	case OP_PARAMS:
		params(c);
		break;
	case OP_TSC:
		builder_tsc(c->b);
		break;
	case OP_CONTEXT:
		context(c);
		break;
	case OP_OPTIONAL:
		optional(c);
		break;
	case OP_VERIFY:
		verify(c);
		break;
	case OP_STATIC:
		statics(c);
		break;
	case OP_RECORD:
		any_record(c);
		break;
	case OP_PAGES:
		odd_pages(c);
		break;
	case OP_RAW:
		raw(c);
		break;
	case OP_END:
		builder_record(c->b, XR_EMIT_END, NULL, 0);
		unsound(c);
		break;
	default:
		break;
	}
}

static void finish(struct cook *c, unsigned int tail)
{
	flush(c);
	need_static(c);
	builder_tsc(c->b);
	if (tail & 0x10)
		unsound(c);
	else
		builder_context(c->b);
	builder_end(c->b, tail & 1, tail & 0x20 ? tail * 7ul : 0);
	c->r->trailing = builder_size(c->b) - c->b->end_offset;
}

/* Is there room for whatever comes next, and for the end? */
static bool has_room(const struct cook *c)
{
	const size_t pages = ALL_PAGES - c->pages + c->data;

	return builder_size(c->b) + pages * PAGE + 2 * ENTRIES * 8 + 2 * RAW_MOST < RECIPE_BYTES;
}

void recipe_cook(struct recipe *r, struct fuzz_input *in)
{
	static struct cook c;
	const unsigned int head = (unsigned int)fuzz_take(in, 1);
	const unsigned int tail = (unsigned int)fuzz_take(in, 1);
	const unsigned int version = head & 4 ? 2 : 3;

	memset(&c, 0, sizeof(c));
	c.r = r;
	c.b = &r->b;
	c.in = in;
	c.static_due = version == 3;
	r->sound = true;
	r->bare = (head & 3) == XR_EMIT_BARE && head & 8;
	builder_begin(c.b, head & 3, version, (head & 0xf0) == 0xf0);
	if ((head & 0xf0) == 0xf0)
		unsound(&c); /* the domain is not PV */
	while (in->left && has_room(&c))
		carry_out(&c, byte(&c) % OP_KINDS);
	finish(&c, tail);
}
