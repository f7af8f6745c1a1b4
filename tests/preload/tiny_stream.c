/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See the header. The writer knows the guest as an array, and works the digest out from that. */
#include "tiny_stream.h"

#include <nettle/sha2.h>
#include <stdbool.h>
#include <string.h>

#define PFNS 4096u
#define BATCH 1024u
#define PAGE 4096u
#define SPECIAL 4u /* the last pfns: named by HVM_PARAMS */
#define XTAB ((uint64_t)0xf << 60)

enum { END, PAGE_DATA, TSC = 8, CONTEXT, PARAMS, STATIC_END = 0x10, CPUID, MSR };

struct guest {
	FILE *f;
	uint64_t rng;
	bool ram[PFNS];
	uint64_t value[PFNS]; /* a page is made from its value */
};

static uint64_t rnd(struct guest *g, uint64_t below)
{
	g->rng ^= g->rng << 13;
	g->rng ^= g->rng >> 7;
	g->rng ^= g->rng << 17;
	return g->rng % below;
}

static void put(struct guest *g, const void *p, size_t n)
{
	fwrite(p, 1, n, g->f);
}

static void put32(struct guest *g, uint32_t v)
{
	put(g, &v, sizeof(v));
}

static void put64(struct guest *g, uint64_t v)
{
	put(g, &v, sizeof(v));
}

static void record(struct guest *g, uint32_t type, uint32_t length)
{
	put32(g, type);
	put32(g, length);
}

static void make_page(uint64_t value, unsigned char page[PAGE])
{
	memset(page, 0, PAGE);
	for (size_t i = 0; value && i < PAGE; i += 8) {
		uint64_t v = value * (i + 1);

		memcpy(page + i, &v, 8);
	}
}

static void page_data(struct guest *g, const uint64_t *entry, uint32_t n)
{
	unsigned char page[PAGE];
	uint32_t with_data = 0;

	for (uint32_t i = 0; i < n; i++)
		with_data += !(entry[i] & XTAB);
	record(g, PAGE_DATA, 8 + 8 * n + PAGE * with_data);
	put32(g, n);
	put32(g, 0);
	put(g, entry, 8 * n);
	for (uint32_t i = 0; i < n; i++) {
		if (entry[i] & XTAB)
			continue;
		make_page(g->value[entry[i]], page);
		put(g, page, PAGE);
	}
}

static void first_pass(struct guest *g)
{
	uint64_t entry[BATCH];

	for (uint64_t pfn = 0; pfn < PFNS; pfn++) {
		bool hole = pfn < PFNS - SPECIAL && (pfn / 512 == 1 || rnd(g, 20) == 0);

		g->ram[pfn] = !hole;
		g->value[pfn] = rnd(g, 10) ? rnd(g, ~0u) : 0;
		entry[pfn % BATCH] = hole ? pfn | XTAB : pfn;
		if (pfn % BATCH == BATCH - 1)
			page_data(g, entry, BATCH);
	}
}

/* Some frames once more, and some that were holes. */
static void second_pass(struct guest *g)
{
	uint64_t entry[BATCH];
	uint32_t n = 0;

	for (uint64_t pfn = 0; pfn < PFNS - SPECIAL; pfn++) {
		if (rnd(g, 9) || n == BATCH)
			continue;
		g->ram[pfn] = true;
		g->value[pfn] = rnd(g, ~0u);
		entry[n++] = pfn;
	}
	page_data(g, entry, n);
}

static void headers(struct guest *g)
{
	static const unsigned char image[24] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
						 'X',  'E',  'N',  'F',	 0,    0,    0,	   3 };
	static const uint32_t domain[4] = { 2, 12, 4, 17 };

	put(g, image, sizeof(image));
	put(g, domain, sizeof(domain));
}

static void policies(struct guest *g)
{
	static const unsigned char zero[24];

	record(g, CPUID, 24);
	put(g, zero, 24);
	record(g, MSR, 16);
	put(g, zero, 16);
	record(g, STATIC_END, 0);
}

static void state(struct guest *g)
{
	static const uint64_t index[SPECIAL] = { 1, 5, 6, 17 };
	static const unsigned char zero[24];
	/* a header record with its magic, and an end */
	static const uint32_t context[6] = { 1, 8, 0x54381286, 0, 0, 0 };

	record(g, TSC, 24);
	put(g, zero, 24);
	record(g, CONTEXT, sizeof(context));
	put(g, context, sizeof(context));
	record(g, PARAMS, 8 + 16 * SPECIAL);
	put64(g, SPECIAL);
	for (uint32_t i = 0; i < SPECIAL; i++) {
		put64(g, index[i]);
		put64(g, PFNS - SPECIAL + i);
		g->value[PFNS - SPECIAL + i] = 0;
	}
}

static void work_out(const struct guest *g, struct tiny *want)
{
	unsigned char page[PAGE], sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	memset(want, 0, sizeof(*want));
	sha256_init(&ctx);
	for (uint64_t pfn = 0; pfn < PFNS; pfn++) {
		if (!g->ram[pfn])
			continue;
		want->populated++;
		make_page(g->value[pfn], page);
		sha256_update(&ctx, sizeof(pfn), (const uint8_t *)&pfn);
		sha256_update(&ctx, PAGE, page);
	}
	sha256_digest(&ctx, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(want->sha256 + 2 * i, 3, "%02x", sum[i]);
}

void tiny_stream_write(FILE *f, uint64_t seed, size_t prefix, struct tiny *want)
{
	static struct guest g;

	memset(&g, 0, sizeof(g));
	g.f = f;
	g.rng = seed | 1;
	while (prefix--)
		putc('?', f);
	headers(&g);
	policies(&g);
	first_pass(&g);
	second_pass(&g);
	state(&g);
	record(&g, END, 0);
	work_out(&g, want);
}
