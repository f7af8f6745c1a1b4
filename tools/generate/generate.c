/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of every page as a function of (seed, pfn, pass), and the stream that tells it. */
#include "generate/generate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define LOW_END 0xf0000ull     /* 3840 MiB: where libxl begins the MMIO hole by default */
#define SPECIAL 0xfeff8ull     /* libxc puts the special pages of a PVH guest here */
#define HIGH_BEGIN 0x100000ull /* 4 GiB */
#define REGION 512u

enum decision { HOLE = 1, ZERO, DIRTY, OUT, IN, CONTENTS };

struct layout {
	uint64_t low, special, high_end;
};

/* A page after some pass: is it there, which pass wrote it last, did that pass name it? */
struct life {
	bool ram, named;
	unsigned int written;
};

struct run {
	const struct xr_gen_options *o;
	struct layout at;
	struct xr_sink sink;
	struct xr_gen_summary sum;
	uint64_t *entries;
	unsigned int n, with_data;
	unsigned int pass;
	uint64_t region_left; /* pages that the 2M region at hand still lacks to be whole */
};

/* The finaliser of splitmix64: every input bit moves every output bit. */
static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t hash(const struct xr_gen_options *o, enum decision what, unsigned int pass,
			    uint64_t pfn)
{
	uint64_t key = (uint64_t)what << 56 ^ (uint64_t)pass << 40 ^ pfn;

	return mix(mix(key + 0x9e3779b97f4a7c15ull) ^ o->seed);
}

static inline bool chance(const struct xr_gen_options *o, enum decision what, unsigned int pass,
			  uint64_t pfn, unsigned int permille)
{
	return permille && (hash(o, what, pass, pfn) >> 32) * 1000 >> 32 < permille;
}

static struct layout layout_of(const struct xr_gen_options *o)
{
	uint64_t pages = o->size_bytes / PAGE;
	struct layout l;

	l.low = pages < LOW_END ? pages : LOW_END;
	l.special = o->compact ? l.low : SPECIAL;
	l.high_end = pages > LOW_END ? HIGH_BEGIN + pages - LOW_END : 0;
	return l;
}

static inline bool is_special(const struct layout *l, uint64_t pfn)
{
	return pfn - l->special < XR_GEN_SPECIAL;
}

static inline bool is_slot(const struct layout *l, uint64_t pfn)
{
	return pfn < l->low || is_special(l, pfn) || (pfn >= HIGH_BEGIN && pfn < l->high_end);
}

static inline uint64_t nr_pfns(const struct layout *l)
{
	return l->high_end ? l->high_end : l->special + XR_GEN_SPECIAL;
}

/* pfn must be a slot. */
static struct life life_of(const struct xr_gen_options *o, const struct layout *at, uint64_t pfn,
			   unsigned int pass)
{
	bool fixed = is_special(at, pfn);
	uint64_t run = o->hole_run > 1 ? (pfn + o->seed % o->hole_run) / o->hole_run : pfn;
	struct life l = { .named = true };

	l.ram = fixed || !chance(o, HOLE, 0, run, o->holes_permille);
	for (unsigned int k = 1; k <= pass; k++) {
		if (!l.ram) {
			l.ram = l.named = chance(o, IN, k, pfn, o->balloon_in_permille);
			l.written = k;
		} else if (!fixed && chance(o, OUT, k, pfn, o->balloon_out_permille)) {
			l.ram = false;
			l.named = true;
		} else {
			l.named = chance(o, DIRTY, k, pfn, o->dirty_permille);
			l.written = l.named ? k : l.written;
		}
	}
	return l;
}

static void fill_page(const struct xr_gen_options *o, uint64_t pfn, unsigned int pass, void *page)
{
	uint64_t key = hash(o, CONTENTS, pass, pfn);
	unsigned char *to = page;

	if (chance(o, ZERO, pass, pfn, o->zero_permille)) {
		memset(page, 0, PAGE);
		return;
	}
	for (unsigned int i = 0; i < PAGE; i += 8) {
		uint64_t word = key += 0x9e3779b97f4a7c15ull;

		word = (word ^ word >> 32) * 0xd6e8feb86659fd93ull;
		memcpy(to + i, &word, 8);
	}
}

void xr_gen_options_default(struct xr_gen_options *o)
{
	*o = (struct xr_gen_options){
		.size_bytes = 256ull << 20,
		.hole_run = 1,
		.passes = 1,
		.dirty_permille = 20,
		.batch = 1024,
		.version = 3,
	};
}

const char *xr_gen_check(const struct xr_gen_options *o)
{
	if (o->size_bytes % PAGE || o->size_bytes > 64ull << 40)
		return "the size must be a multiple of 4096 bytes and at most 64 TiB";
	if (o->holes_permille > 1000 || o->zero_permille > 1000 || o->dirty_permille > 1000 ||
	    o->balloon_out_permille > 1000 || o->balloon_in_permille > 1000)
		return "a share in permille is at most 1000";
	if (!o->hole_run)
		return "a stretch of holes has at least one page";
	if (!o->passes || o->passes > 1000)
		return "there are 1 to 1000 passes";
	if (o->checkpoints > o->passes)
		return "there are no more checkpoints than passes";
	if (o->checkpoints && (o->layer != XR_EMIT_BARE || o->trailing))
		return "a stream with checkpoints has nothing before or behind it";
	if (!o->batch || o->batch > XR_GEN_BATCH_MAX)
		return "a record holds 1 to 32704 pfns";
	if (o->version != 2 && o->version != 3)
		return "stream versions are 2 and 3";
	if (o->layer > XR_EMIT_LIBVIRT)
		return "unknown layer";
	return NULL;
}

static void record_done(struct run *r, struct xr_sink *s)
{
	r->sum.records += !s->error;
}

static void put_batch(struct run *r)
{
	struct xr_sink *s = &r->sink;

	if (!r->n)
		return;
	xr_emit_record_header(s, XR_EMIT_PAGE_DATA, 8 + 8 * r->n + PAGE * r->with_data);
	xr_sink_put(s, (uint32_t[]){ r->n, 0 }, 8);
	xr_sink_put(s, r->entries, 8ul * r->n);
	for (unsigned int i = 0; i < r->n && r->with_data; i++) {
		void *page;

		if (XR_EMIT_TYPE(r->entries[i]) != XR_EMIT_NOTAB)
			continue;
		page = xr_sink_room(s, PAGE);
		if (!page)
			return;
		fill_page(r->o, XR_EMIT_PFN(r->entries[i]), r->pass, page);
	}
	record_done(r, s);
	r->sum.pages += r->with_data;
	r->n = r->with_data = 0;
}

static void count_final(struct run *r, uint64_t pfn, bool ram)
{
	if (pfn % REGION == 0)
		r->region_left = REGION;
	r->sum.populated += ram;
	r->region_left -= ram;
	r->sum.whole_2m += pfn % REGION == REGION - 1 && !r->region_left;
}

static void put_pfn(struct run *r, uint64_t pfn)
{
	unsigned int type = r->o->types_only ? XR_EMIT_XALLOC : XR_EMIT_NOTAB;
	struct life l = { .named = !r->pass };

	if (is_slot(&r->at, pfn))
		l = life_of(r->o, &r->at, pfn, r->pass);
	if (r->pass == r->o->passes - 1)
		count_final(r, pfn, l.ram);
	if (!l.named)
		return;
	r->entries[r->n++] = XR_EMIT_ENTRY(l.ram ? type : XR_EMIT_XTAB, pfn);
	r->with_data += l.ram && !r->o->types_only;
	if (r->n == r->o->batch)
		put_batch(r);
}

static void put_pass(struct run *r)
{
	uint64_t end = nr_pfns(&r->at);

	for (uint64_t pfn = 0; pfn < end && !r->sink.error; pfn++)
		put_pfn(r, pfn);
	put_batch(r);
}

/* Which special page is which is libxc's choice, too. */
static void put_params(struct run *r)
{
	uint64_t at = r->at.special;
	struct xr_emit_param params[] = {
		{ XR_EMIT_STORE_PFN, at + 4 },	      { XR_EMIT_IOREQ_PFN, at + 5 },
		{ XR_EMIT_BUFIOREQ_PFN, at + 3 },     { XR_EMIT_PAGING_RING_PFN, at },
		{ XR_EMIT_MONITOR_RING_PFN, at + 1 }, { XR_EMIT_SHARING_RING_PFN, at + 2 },
		{ XR_EMIT_CONSOLE_PFN, at + 7 },      { XR_EMIT_IDENT_PT, (at + 6) << 12 },
	};

	xr_emit_params(&r->sink, params, sizeof(params) / sizeof(params[0]));
	r->sum.store_gfn = at + 4;
	r->sum.console_gfn = at + 7;
}

static bool is_cleared(const struct layout *l, uint64_t pfn)
{
	uint64_t i = pfn - l->special;

	return i == 3 || i == 4 || i == 5 || i == 7;
}

static void put_head(struct run *r)
{
	xr_emit_layer(&r->sink, r->o->layer, r->o->size_bytes / 1024);
	r->sum.libxc_offset = xr_sink_at(&r->sink);
	xr_emit_headers(&r->sink, r->o->version, false);
	if (r->o->version == 2)
		return;
	xr_emit_policies(&r->sink, true, true);
	xr_emit_record(&r->sink, XR_EMIT_STATIC_DATA_END, NULL, 0);
	r->sum.records += 3;
}

/* What goes with a guest that is complete. */
static void put_state(struct run *r, enum xr_emit_type end)
{
	xr_emit_tsc(&r->sink, hash(r->o, CONTENTS, 0, ~0ull) >> 16);
	xr_emit_context(&r->sink);
	put_params(r);
	xr_emit_record(&r->sink, end, NULL, 0);
	r->sum.records += 4;
}

static void put_tail(struct run *r)
{
	static const char junk[] = "these bytes are not ours to read; ";

	if (!r->o->checkpoints)
		put_state(r, XR_EMIT_END);
	r->sum.end_offset = xr_sink_at(&r->sink);
	if (r->o->layer != XR_EMIT_BARE)
		xr_emit_libxl_end(&r->sink);
	for (uint64_t i = 0; i < r->o->trailing && !r->sink.error; i++)
		xr_sink_put(&r->sink, &junk[i % (sizeof(junk) - 1)], 1);
}

int xr_generate(int fd, const struct xr_gen_options *o, struct xr_gen_summary *sum)
{
	struct run r = { .o = o };
	int rc = -EINVAL;

	if (fd < 0 || xr_gen_check(o))
		return rc;
	r.at = layout_of(o);
	rc = xr_sink_open(&r.sink, fd);
	r.entries = malloc(8ul * o->batch);
	if (rc || !r.entries) {
		rc = -ENOMEM;
		goto out;
	}
	put_head(&r);
	for (; r.pass < o->passes; r.pass++) {
		put_pass(&r);
		if (r.pass + o->checkpoints >= o->passes)
			put_state(&r, XR_EMIT_CHECKPOINT);
	}
	put_tail(&r);
	rc = xr_sink_flush(&r.sink);
	r.sum.bytes = xr_sink_at(&r.sink);
	r.sum.highest_pfn = nr_pfns(&r.at) - 1;
	if (sum)
		*sum = r.sum;
out:
	free(r.entries);
	xr_sink_close(&r.sink);
	return rc;
}

uint64_t xr_gen_pfns(const struct xr_gen_options *o)
{
	struct layout at = layout_of(o);

	return nr_pfns(&at);
}

bool xr_gen_expect_page(const struct xr_gen_options *o, uint64_t pfn, void *page)
{
	struct layout at = layout_of(o);
	struct life l;

	if (!is_slot(&at, pfn))
		return false;
	l = life_of(o, &at, pfn, o->passes - 1);
	if (!l.ram || !page)
		return l.ram;
	if (o->types_only || is_cleared(&at, pfn))
		memset(page, 0, PAGE);
	else
		fill_page(o, pfn, l.written, page);
	return true;
}
