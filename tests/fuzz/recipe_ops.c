/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations of a recipe. The first bytes say what stands around the records; then each operation
 * is a byte and what it wants. Page contents cost most: few entries carry them, and where their
 * budget is spent RAM comes without.
 */
#include "fuzz/recipe_pv.h"

#include <string.h>

#define RAW_MOST 4000u
#define LIMIT ((uint64_t)1 << 36)
#define CHECKPOINTS 12u

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
	OP_PLAIN_KINDS, /* of a plain stream of an HVM guest there are no more */
	OP_CHECKPOINT = OP_PLAIN_KINDS,
	OP_HVM_KINDS,
	OP_IMAGE = OP_HVM_KINDS, /* from here on of PV guests: recipe_pv.c */
	OP_ENTRY,
	OP_WORD,
	OP_FRAMES,
	OP_VCPU,
	OP_KINDS,
};

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

void recipe_flush(struct cook *c)
{
	static unsigned char contents[ALL_PAGES * PAGE];
	uint32_t have = 0;

	if (!c->n)
		return;
	need_static(c);
	for (uint32_t i = 0; i < c->n; i++) {
		const uint64_t pfn = XR_EMIT_PFN(c->entry[i]);
		unsigned char *to = contents + (size_t)have * PAGE;

		if (!builder_has_data(XR_EMIT_TYPE(c->entry[i])))
			continue;
		have++;
		if (!c->r->pv || !recipe_pv_contents(c, pfn, to))
			fill(to, pfn, c->b->records);
	}
	builder_page_data(c->b, c->entry, c->n, contents);
	c->n = c->data = 0;
}

void recipe_add(struct cook *c, uint64_t pfn, unsigned int type)
{
	if (c->r->pv && !recipe_pv_fits(c, pfn, type))
		unsound(c);
	if (c->all >= ALL_ENTRIES)
		return;
	if (c->n == ENTRIES)
		recipe_flush(c);
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

uint64_t recipe_place(struct cook *c)
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

	if (c->r->pv)
		return recipe_pv_place(c, base);
	return bases[base & 15] + fuzz_take(c->in, base & 0x10 ? 2 : 1);
}

unsigned int recipe_length(struct cook *c)
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
	const unsigned int n = recipe_length(c), how = byte(c);
	const unsigned int most = types[how & 3], other = types[how >> 2 & 3];
	const unsigned int every = (how >> 4) * (how >> 4) + 2;

	for (unsigned int i = 0; i < n; i++)
		recipe_add(c, pfn + i, i % every == every - 1 ? other : most);
}

static void some(struct cook *c)
{
	const unsigned int n = byte(c) % 8 + 1;

	for (unsigned int i = 0; i < n; i++) {
		const unsigned int how = byte(c);
		const uint64_t near = c->pfn + (how & 0x0f) - 4;

		recipe_add(c, how & 0x80 ? recipe_place(c) : near & (LIMIT - 1), byte(c) >> 4);
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
		p[i].value = which & 0x20 ? fuzz_take(c->in, 8) : recipe_place(c);
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

	if (c->r->pv)
		unsound(c);
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
	if (c->r->pv && !c->image)
		unsound(c);
	builder_record(c->b, XR_EMIT_VERIFY, NULL, 0);
	c->verify = true;
}

static void state(struct cook *c)
{
	if (c->r->pv) {
		recipe_pv_state(c);
		return;
	}
	builder_tsc(c->b);
	builder_context(c->b);
}

/* With what a saver sends at its end. */
static void checkpoint(struct cook *c)
{
	const unsigned int how = byte(c);

	if (c->r->cp.n == CHECKPOINTS)
		return;
	need_static(c);
	if (c->r->pv && !c->image)
		recipe_pv_image(c, 0, PV_PFNS);
	recipe_flush(c);
	if (!c->r->checkpointed || how & 0x80)
		unsound(c);
	if (!(how & 0x80))
		state(c);
	checkpoints_put(&c->r->cp, c->b, how & 0x3f);
	c->r->good += c->r->sound;
}

static void carry_out(struct cook *c, enum op op)
{
	if (op > OP_SOME && op != OP_AGAIN && op != OP_IMAGE)
		recipe_flush(c);
	switch (op) {
	case OP_RUN:
		run(c, c->pfn);
		break;
	case OP_RUN_AT:
		run(c, recipe_place(c));
		break;
	case OP_SOME:
		some(c);
		break;
	case OP_AGAIN:
		c->pfn = c->first;
		break;
	case OP_PARAMS:
		params(c);
		if (c->r->pv)
			unsound(c);
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
	case OP_CHECKPOINT:
		checkpoint(c);
		break;
	case OP_IMAGE:
		recipe_pv_some_image(c);
		break;
	case OP_ENTRY:
		recipe_pv_entry(c);
		break;
	case OP_WORD:
		recipe_pv_word(c);
		break;
	case OP_FRAMES:
		recipe_pv_frames(c);
		break;
	case OP_VCPU:
		recipe_pv_vcpu(c);
		break;
	default:
		break;
	}
}

static void finish_checkpointed(struct cook *c, unsigned int tail)
{
	recipe_flush(c);
	if (!c->r->cp.n)
		checkpoint(c);
	if (tail & 1)
		builder_end(c->b, false, 0);
	else
		c->b->end_offset = builder_size(c->b);
}

static void finish(struct cook *c, unsigned int tail)
{
	if (c->r->pv && !c->image && tail & 0x40)
		unsound(c);
	else if (c->r->pv && !c->image)
		recipe_pv_image(c, 0, PV_PFNS);
	recipe_flush(c);
	need_static(c);
	if (tail & 0x10) {
		builder_tsc(c->b);
		unsound(c);
	} else {
		state(c);
	}
	builder_end(c->b, tail & 1, tail & 0x20 ? tail * 7ul : 0);
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
	const unsigned int kinds = r->pv	     ? OP_KINDS
				   : r->checkpointed ? OP_HVM_KINDS
						     : OP_PLAIN_KINDS;

	memset(&c, 0, sizeof(c));
	c.r = r;
	c.b = &r->b;
	c.in = in;
	c.static_due = version == 3;
	r->sound = true;
	r->bare = (head & 3) == XR_EMIT_BARE && head & 8;
	builder_begin(c.b, head & 3, version, r->pv != ((head & 0xf0) == 0xf0));
	if ((head & 0xf0) == 0xf0)
		unsound(&c); /* the domain is not of the stream's kind */
	if (r->pv)
		recipe_pv_begin(&c, tail & 0x80);
	while (in->left && has_room(&c))
		carry_out(&c, byte(&c) % kinds);
	if (r->checkpointed)
		finish_checkpointed(&c, tail);
	else
		finish(&c, tail);
	r->pfns = c.max_pfn + 1;
}
