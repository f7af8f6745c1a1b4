/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest laid out in islands of pfns, and the passes that tell it. */
#include "lib/random.h"

#include "lib/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define BATCH_MAX 5000u
#define LIMIT ((uint64_t)1 << 36)

/* A pfn that the stream may name. */
struct slot {
	uint64_t pfn;
	uint64_t serial; /* of its contents; 0: zeros */
	bool ram;
	bool fixed; /* named by HVM_PARAMS: stays RAM */
	bool told;  /* the stream has called it RAM */
	bool known; /* its contents are defined */
};

struct maker {
	struct random_options o;
	struct rng r;
	struct random_stream *s;
	struct builder *b;

	struct slot *slots;
	size_t n;

	/* the record at hand */
	uint64_t entries[BATCH_MAX];
	uint32_t members[BATCH_MAX]; /* slot of each entry */
	unsigned char *contents;
	size_t have, room; /* pages in contents */
	uint32_t count, batch;

	uint64_t serial;
	unsigned int passes;
	unsigned int data_left; /* of this pass; the next one adds its share */
	unsigned int data_permille, dup_permille, extra_permille;
	bool fixed_batch, verify;
	struct xr_emit_param params[8];
	uint32_t nparams;
};

static bool may(struct maker *m, enum random_feature f, unsigned int n, unsigned int of)
{
	return rng_chance(&m->r, n, of) && (m->o.features & f);
}

static uint64_t between(struct maker *m, uint64_t low, uint64_t high)
{
	return low + rng_below(&m->r, high - low + 1);
}

static void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "random: no memory\n");
	abort();
}

/* --- the guest ----------------------------------------------------------------------------- */

static size_t island_length(struct maker *m)
{
	static const size_t edges[] = { 1, 2, 511, 512, 513, 1024, 1025, 1536, 2048 };

	if (rng_chance(&m->r, 1, 3))
		return between(m, 1, 64);
	if (rng_chance(&m->r, 1, 2))
		return edges[rng_below(&m->r, sizeof(edges) / sizeof(edges[0]))];
	return between(m, 65, 2600);
}

static void add_island(struct maker *m, uint64_t first, size_t length)
{
	uint64_t next = m->n ? m->slots[m->n - 1].pfn + 1 : 0;

	if (first < next)
		first = next;
	for (size_t i = 0; i < length && m->n < m->o.max_pfns && first + i < LIMIT; i++)
		m->slots[m->n++] = (struct slot){ .pfn = first + i };
}

static void lay_out(struct maker *m)
{
	uint64_t first = 0;

	m->slots = must(calloc(m->o.max_pfns + 1, sizeof(*m->slots)));
	if (rng_chance(&m->r, 1, 40))
		return;
	if (rng_chance(&m->r, 1, 3))
		first = between(m, 1, rng_chance(&m->r, 1, 2) ? 1100 : 900000);
	add_island(m, first, island_length(m));
	if (rng_chance(&m->r, 1, 3))
		add_island(m, between(m, first, 0x100000), island_length(m));
	if (may(m, RANDOM_FAR, 1, 4))
		add_island(m, 0x100000 - rng_below(&m->r, 2) * between(m, 0, 600),
			   island_length(m));
	if (may(m, RANDOM_FAR, 1, 6))
		add_island(m, between(m, 0x200000, LIMIT / 2), island_length(m));
	if (may(m, RANDOM_FAR, 1, 6))
		add_island(m, LIMIT - between(m, 1, 1100), 1100);
}

enum pattern { FULL, EMPTY, NO_FIRST, NO_LAST, NO_MIDDLE, NO_HEAD, NO_TAIL, SCATTERED, PATTERNS };

static bool is_ram(struct maker *m, enum pattern p, uint64_t in_region, uint64_t edge)
{
	switch (p) {
	case EMPTY:
		return false;
	case NO_FIRST:
		return in_region != 0;
	case NO_LAST:
		return in_region != 511;
	case NO_MIDDLE:
		return in_region != edge;
	case NO_HEAD:
		return in_region >= edge;
	case NO_TAIL:
		return in_region < edge;
	case SCATTERED:
		return rng_chance(&m->r, 7, 8);
	default:
		return true;
	}
}

static void choose_holes(struct maker *m)
{
	enum pattern p = FULL;
	uint64_t edge = 0, region = ~0ull;
	bool plain = rng_chance(&m->r, 1, 5);

	for (size_t i = 0; i < m->n; i++) {
		struct slot *s = &m->slots[i];

		if (s->pfn >> 9 != region) {
			region = s->pfn >> 9;
			p = rng_chance(&m->r, 1, 3) ? FULL
						    : (enum pattern)rng_below(&m->r, PATTERNS);
			edge = between(m, 1, 510);
		}
		s->ram = plain || is_ram(m, p, s->pfn & 511, edge);
	}
	if (m->n && rng_chance(&m->r, 1, 6))
		m->slots[m->n - 1].ram = false;
}

/* A slot that is RAM in the first pass, or any (LOST_PARAMS), or none. */
static struct slot *choose_page(struct maker *m)
{
	bool any = may(m, RANDOM_LOST_PARAMS, 1, 8);

	for (unsigned int tries = 0; m->n && tries < 100; tries++) {
		struct slot *s = &m->slots[rng_below(&m->r, m->n)];

		if (!any && !s->ram)
			continue;
		s->fixed |= !any;
		return s;
	}
	return NULL;
}

static void choose_params(struct maker *m)
{
	static const unsigned int pages[] = { XR_EMIT_STORE_PFN, XR_EMIT_IOREQ_PFN,
					      XR_EMIT_BUFIOREQ_PFN, XR_EMIT_CONSOLE_PFN };

	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		struct slot *s = rng_chance(&m->r, 1, 20) ? NULL : choose_page(m);

		if (s)
			m->params[m->nparams++] = (struct xr_emit_param){ pages[i], s->pfn };
	}
	if (rng_chance(&m->r, 1, 2))
		m->params[m->nparams++] = (struct xr_emit_param){ XR_EMIT_IDENT_PT, 0xfeffe000 };
	if (may(m, RANDOM_OPTIONAL, 1, 8)) /* PAE_ENABLED: to be skipped */
		m->params[m->nparams++] = (struct xr_emit_param){ 4, 1 };
}

/* --- records ------------------------------------------------------------------------------- */

static uint32_t next_batch(struct maker *m)
{
	static const uint32_t sizes[] = { 1, 7, 64, 511, 512, 513, 1000, 1024, 1025, 5000 };

	if (!(m->o.features & RANDOM_ODD_BATCHES))
		return 1024;
	if (m->fixed_batch && m->batch)
		return m->batch;
	return sizes[rng_below(&m->r, sizeof(sizes) / sizeof(sizes[0]))];
}

static void put_optional(struct maker *m)
{
	uint32_t length = (uint32_t)rng_below(&m->r, rng_chance(&m->r, 1, 10) ? 70000 : 60);
	unsigned char *body = must(malloc(length + 1));

	memset(body, 0xa5, length);
	builder_record(m->b, XR_EMIT_OPTIONAL | (uint32_t)between(m, 0, 0x1f), body, length);
	free(body);
}

static void put_params(struct maker *m)
{
	builder_params(m->b, m->params, m->nparams);
	for (uint32_t p = 0; p < m->nparams; p++) {
		for (size_t i = 0; i < m->n && m->params[p].index != XR_EMIT_IDENT_PT; i++) {
			struct slot *s = &m->slots[i];

			if (s->pfn != m->params[p].value || m->params[p].index == 4)
				continue;
			s->serial = 0;
			s->known = s->told && s->ram;
		}
	}
}

/* Before a page was named its clearing must fail. That too is a stream, but of the wilder kind. */
static bool params_backed(const struct maker *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->slots[i].fixed && !m->slots[i].told)
			return false;
	}
	return true;
}

static void put_extras(struct maker *m)
{
	if (!rng_chance(&m->r, m->extra_permille, 1000))
		return;
	if (may(m, RANDOM_OPTIONAL, 1, 2))
		put_optional(m);
	if (may(m, RANDOM_STRAY, 1, 3))
		builder_tsc(m->b);
	if (may(m, RANDOM_STRAY, 1, 3))
		builder_context(m->b);
	if (!m->verify && may(m, RANDOM_EARLY_PARAMS, 1, 3) &&
	    (params_backed(m) || may(m, RANDOM_LOST_PARAMS, 1, 4)))
		put_params(m);
	if (may(m, RANDOM_OPTIONAL, 1, 6))
		builder_params(m->b, NULL, 0);
}

static void flush(struct maker *m)
{
	if (m->count) {
		builder_page_data(m->b, m->entries, m->count, m->have ? m->contents : NULL);
		m->count = 0;
		m->have = 0;
		put_extras(m);
	}
	m->batch = next_batch(m);
}

static void put_contents(struct maker *m, uint64_t pfn, uint64_t serial)
{
	if (m->have == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->contents = must(realloc(m->contents, m->room * PAGE));
	}
	if (serial)
		builder_fill(pfn, serial, m->contents + m->have * PAGE);
	else
		memset(m->contents + m->have * PAGE, 0, PAGE);
	m->have++;
}

/* RAM with contents as far as the budget goes, else without. */
static unsigned int ram_type(struct maker *m)
{
	if (!m->data_left && (m->o.features & RANDOM_XALLOC))
		return XR_EMIT_XALLOC;
	if (rng_below(&m->r, 1000) >= m->data_permille && (m->o.features & RANDOM_XALLOC))
		return XR_EMIT_XALLOC;
	m->data_left -= m->data_left > 0;
	return XR_EMIT_NOTAB;
}

static unsigned int hole_type(struct maker *m)
{
	return rng_chance(&m->r, 1, 8) ? XR_EMIT_BROKEN : XR_EMIT_XTAB;
}

static void add_entry(struct maker *m, size_t i, unsigned int type)
{
	static const uint64_t reserved = 0xffull << 52;
	struct slot *s = &m->slots[i];

	s->ram = builder_is_ram(type);
	s->told |= s->ram;
	if (!s->ram)
		s->serial = 0;
	s->known &= s->ram;
	if (builder_has_data(type)) {
		s->known = true;
		s->serial = rng_chance(&m->r, 1, 10) ? 0 : ++m->serial;
		put_contents(m, s->pfn, s->serial);
	}
	m->members[m->count] = (uint32_t)i;
	m->entries[m->count++] =
		XR_EMIT_ENTRY(type, s->pfn) | (may(m, RANDOM_OPTIONAL, 1, 50) ? reserved : 0);
}

static void add_duplicate(struct maker *m)
{
	size_t i = m->members[rng_below(&m->r, m->count)];
	bool take = (m->o.features & RANDOM_BALLOON) && !m->slots[i].fixed;

	if (rng_chance(&m->r, 1, 2) && take)
		add_entry(m, i, hole_type(m));
	else
		add_entry(m, i, ram_type(m));
}

static void put(struct maker *m, size_t i, unsigned int type)
{
	if (m->count >= m->batch)
		flush(m);
	add_entry(m, i, type);
	while (m->count < m->batch && rng_chance(&m->r, m->dup_permille, 1000))
		add_duplicate(m);
}

/* --- passes -------------------------------------------------------------------------------- */

static void first_pass(struct maker *m)
{
	bool omit = may(m, RANDOM_OMIT_HOLES, 1, 4);
	bool descend = may(m, RANDOM_DISORDER, 1, 8);
	bool shuffle = may(m, RANDOM_DISORDER, 1, 8);
	uint32_t *order = must(calloc(m->n + 1, sizeof(*order)));

	for (uint32_t i = 0; i < m->n; i++)
		order[i] = descend ? (uint32_t)m->n - 1 - i : i;
	for (size_t i = m->n; shuffle && i > 1; i--) {
		size_t j = rng_below(&m->r, i);
		uint32_t t = order[i - 1];

		order[i - 1] = order[j];
		order[j] = t;
	}
	for (size_t i = 0; i < m->n; i++) {
		bool ram = m->slots[order[i]].ram;

		if (ram || !omit)
			put(m, order[i], ram ? ram_type(m) : hole_type(m));
	}
	flush(m);
	free(order);
}

static void later_pass(struct maker *m)
{
	size_t from = rng_chance(&m->r, 1, 2) ? rng_below(&m->r, m->n + 1) : 0;
	unsigned int dirty = (unsigned int)between(m, 1, rng_chance(&m->r, 1, 4) ? 900 : 100);
	unsigned int out = may(m, RANDOM_BALLOON, 1, 2) ? (unsigned int)between(m, 1, 300) : 0;
	unsigned int in = may(m, RANDOM_BALLOON, 1, 2) ? (unsigned int)between(m, 1, 700) : 0;

	m->data_left += m->o.max_data / m->passes;
	for (size_t i = from; i < m->n; i++) {
		const struct slot *s = &m->slots[i];

		if (s->ram && !s->fixed && rng_chance(&m->r, out, 1000))
			put(m, i, hole_type(m));
		else if (s->ram && rng_chance(&m->r, dirty, 1000))
			put(m, i, ram_type(m));
		else if (!s->ram && rng_chance(&m->r, in, 1000))
			put(m, i, ram_type(m));
		else if (!s->ram && rng_chance(&m->r, dirty, 4000))
			put(m, i, hole_type(m));
	}
	flush(m);
}

/* All RAM that has contents once more, to be compared; some of it differs. */
static void verify_pass(struct maker *m)
{
	builder_record(m->b, XR_EMIT_VERIFY, NULL, 0);
	m->verify = true;
	m->data_left += m->o.max_data / 2;
	for (size_t i = 0; i < m->n && m->data_left; i++) {
		const struct slot *s = &m->slots[i];
		uint64_t shown = rng_chance(&m->r, 1, 30) ? ++m->serial : s->serial;
		unsigned int type = s->ram ? XR_EMIT_XALLOC : XR_EMIT_XTAB;

		if (m->count >= m->batch)
			flush(m);
		if (s->known) {
			put_contents(m, s->pfn, shown);
			m->data_left--;
			type = XR_EMIT_NOTAB;
		}
		m->entries[m->count++] = XR_EMIT_ENTRY(type, s->pfn);
	}
	flush(m);
}

static void put_head(struct maker *m)
{
	m->s->layer = XR_EMIT_BARE;
	if (may(m, RANDOM_LAYERS, 1, 2))
		m->s->layer = (enum xr_emit_layer)between(m, XR_EMIT_LIBXL, XR_EMIT_LIBVIRT);
	m->s->version = may(m, RANDOM_V2, 1, 4) ? 2 : 3;
	builder_begin(m->b, m->s->layer, m->s->version, false);
	if (may(m, RANDOM_OPTIONAL, 1, 10))
		put_optional(m);
	if (m->s->version == 3)
		builder_static(m->b, rng_chance(&m->r, 3, 4), rng_chance(&m->r, 3, 4));
}

/* What is told of CPUs and devices. */
static void put_state(struct maker *m)
{
	bool params_first = rng_chance(&m->r, 1, 4);

	builder_tsc(m->b);
	if (params_first)
		put_params(m);
	builder_context(m->b);
	if (!params_first)
		put_params(m);
}

static void put_end(struct maker *m)
{
	builder_end(m->b, m->s->layer != XR_EMIT_BARE,
		    may(m, RANDOM_TRAILING, 2, 3) ? between(m, 1, 9000) : 0);
}

static void put_checkpoint(struct maker *m)
{
	put_state(m);
	checkpoints_put(&m->s->cp, m->b, rng_chance(&m->r, 1, 3) ? 0 : between(m, 1, 200));
}

/* The first image is there. */
static void put_checkpoints(struct maker *m)
{
	put_checkpoint(m);
	while (m->s->cp.n < m->o.checkpoints) {
		later_pass(m);
		if (may(m, RANDOM_PASSES, 1, 3))
			later_pass(m);
		put_checkpoint(m);
	}
	if (rng_chance(&m->r, 1, 2))
		later_pass(m);
	if (rng_chance(&m->r, 1, 2))
		put_end(m);
	else
		m->b->end_offset = builder_size(m->b);
}

static void choose_style(struct maker *m)
{
	m->passes = 1;
	if (m->o.max_passes > 1 && may(m, RANDOM_PASSES, 2, 3))
		m->passes = (unsigned int)between(m, 2, m->o.max_passes);
	m->passes += m->o.checkpoints;
	m->data_left = m->o.max_data / m->passes;
	m->data_permille = (unsigned int)(rng_chance(&m->r, 1, 2) ? 1000 : between(m, 0, 1000));
	m->dup_permille = may(m, RANDOM_DUPLICATES, 1, 4) ? (unsigned int)between(m, 1, 300) : 0;
	m->extra_permille = (unsigned int)(rng_chance(&m->r, 1, 3) ? between(m, 1, 500) : 0);
	m->fixed_batch = rng_chance(&m->r, 2, 3);
	m->batch = next_batch(m);
}

void random_options_default(struct random_options *o, uint64_t seed)
{
	*o = (struct random_options){
		.seed = seed,
		.features = RANDOM_ALL,
		.max_data = 480,
		.max_pfns = 3500,
		.max_passes = 5,
	};
}

static void read_reference(struct random_stream *s, const struct random_options *o)
{
	size_t end;

	if (o->checkpoints) {
		checkpoints_ref(&s->cp, &s->b, s->cp.n, &s->ref);
		return;
	}
	refmodel_init(&s->ref);
	end = refmodel_stream(&s->ref, builder_data(&s->b), builder_size(&s->b), s->b.libxc_offset);
	if (end == s->b.end_offset)
		return;
	fprintf(stderr, "random: seed %llu: %s\n", (unsigned long long)o->seed,
		s->ref.broken ? s->ref.broken : "the end is elsewhere");
	abort();
}

void random_stream_make(struct random_stream *s, const struct random_options *o)
{
	struct maker *m = must(calloc(1, sizeof(*m)));

	*s = (struct random_stream){ .features = o->features };
	m->o = *o;
	m->r = rng_seed(o->seed);
	m->s = s;
	m->b = &s->b;
	choose_style(m);
	lay_out(m);
	choose_holes(m);
	choose_params(m);
	put_head(m);
	first_pass(m);
	for (unsigned int pass = 1; pass + m->o.checkpoints < m->passes; pass++)
		later_pass(m);
	if (m->o.checkpoints) {
		put_checkpoints(m);
	} else {
		if (may(m, RANDOM_VERIFY, 1, 12))
			verify_pass(m);
		put_state(m);
		put_end(m);
	}
	read_reference(s, o);
	free(m->contents);
	free(m->slots);
	free(m);
}

void random_stream_free(struct random_stream *s)
{
	builder_free(&s->b);
	refmodel_free(&s->ref);
}
