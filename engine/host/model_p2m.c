/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model's p2m: one word for each 2M region, a table of 512 words only where a region holds 4K
 * entries. The words of regions that were never set are not touched, so they take no memory.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <string.h>

/*
 * A region's word: its kind in the low bits; above them the first mfn of a whole region, or for a
 * split one the number of its entries in use and its table. A word of a table: mfn << 1 | 1, or 0.
 */
enum { EMPTY, SPLIT, WHOLE_2M, IN_1G };

#define KIND_BITS 2
#define USED_SHIFT KIND_BITS
#define USED_ONE ((uint64_t)1 << USED_SHIFT)
#define USED_MASK ((uint64_t)0x3ff << USED_SHIFT)
#define TABLE_SHIFT 12

static unsigned int kind(uint64_t word)
{
	return word & ((1u << KIND_BITS) - 1);
}

static uint64_t whole(uint64_t mfn, unsigned int k)
{
	return mfn << KIND_BITS | k;
}

static uint64_t whole_mfn(uint64_t word)
{
	return word >> KIND_BITS;
}

static uint64_t *table_of(struct xr_model *m, uint64_t word)
{
	return m->table[word >> TABLE_SHIFT];
}

static uint64_t used(uint64_t word)
{
	return (word & USED_MASK) >> USED_SHIFT;
}

static bool gib_touched(const struct xr_model *m, uint64_t gib)
{
	return m->s->gib[gib / 64] >> (gib % 64) & 1;
}

static uint64_t region_word(struct xr_model *m, uint64_t region)
{
	if (region >= REGIONS || !gib_touched(m, region / GIB_REGIONS))
		return EMPTY;
	return m->region[region];
}

static void set_region(struct xr_model *m, uint64_t region, uint64_t word)
{
	uint64_t gib = region / GIB_REGIONS;

	m->s->gib[gib / 64] |= (uint64_t)1 << (gib % 64);
	m->region[region] = word;
}

static uint32_t take_table(struct xr_model *m)
{
	struct model_state *s = m->s;
	uint32_t t = s->free_table;

	if (t)
		s->free_table = (uint32_t)m->table[t][0];
	else if (s->tables_used + 1 < s->nr_tables)
		t = ++s->tables_used;
	return t;
}

static void give_table(struct xr_model *m, uint64_t word)
{
	uint32_t t = (uint32_t)(word >> TABLE_SHIFT);

	m->table[t][0] = m->s->free_table;
	m->s->free_table = t;
}

/* A 1G entry becomes 512 entries of 2M. */
static void split_1g(struct xr_model *m, uint64_t region)
{
	uint64_t first = region & ~(uint64_t)(GIB_REGIONS - 1);

	for (uint64_t r = first; r < first + GIB_REGIONS; r++)
		m->region[r] = whole(whole_mfn(m->region[r]), WHOLE_2M);
	m->s->stats.whole_1g--;
	m->s->stats.whole_2m += GIB_REGIONS;
}

/* Make the region one of 4K entries, its pages staying where they are. */
static int split_region(struct xr_model *m, uint64_t region)
{
	uint64_t word = region_word(m, region);
	uint64_t mfn = whole_mfn(word);
	uint32_t t;

	if (kind(word) == SPLIT)
		return 0;
	t = take_table(m);
	if (!t)
		return -ENOMEM;
	if (kind(word) == EMPTY) {
		memset(m->table[t], 0, sizeof(m->table[t]));
		set_region(m, region, (uint64_t)t << TABLE_SHIFT | SPLIT);
		return 0;
	}
	if (kind(word) == IN_1G)
		split_1g(m, region);
	for (unsigned int i = 0; i < REGION_PAGES; i++)
		m->table[t][i] = (mfn + i) << 1 | 1;
	set_region(m, region, (uint64_t)t << TABLE_SHIFT | REGION_PAGES * USED_ONE | SPLIT);
	m->s->stats.whole_2m--;
	m->s->stats.pages_4k += REGION_PAGES;
	return 0;
}

uint64_t model_p2m_get_locked(struct xr_model *m, uint64_t gfn, int *order)
{
	uint64_t word = region_word(m, gfn / REGION_PAGES);
	uint64_t entry;

	*order = -1;
	switch (kind(word)) {
	case WHOLE_2M:
		*order = XR_ORDER_2M;
		return whole_mfn(word) + gfn % REGION_PAGES;
	case IN_1G:
		*order = XR_ORDER_1G;
		return whole_mfn(word) + gfn % REGION_PAGES;
	case SPLIT:
		entry = table_of(m, word)[gfn % REGION_PAGES];
		if (!entry)
			return NO_FRAME;
		*order = XR_ORDER_4K;
		return entry >> 1;
	default:
		return NO_FRAME;
	}
}

/* Take every entry of a region out; the pages it had. */
static uint64_t drop_region(struct xr_model *m, uint64_t region)
{
	uint64_t word = region_word(m, region);
	uint64_t pages = 0;

	switch (kind(word)) {
	case SPLIT:
		pages = used(word);
		m->s->stats.pages_4k -= pages;
		give_table(m, word);
		break;
	case IN_1G:
		split_1g(m, region);
		/* fall through */
	case WHOLE_2M:
		pages = REGION_PAGES;
		m->s->stats.whole_2m--;
		break;
	}
	if (kind(word) != EMPTY)
		set_region(m, region, EMPTY);
	return pages;
}

static void set_2m(struct xr_model *m, uint64_t region, uint64_t mfn)
{
	m->s->stats.leaked += drop_region(m, region);
	set_region(m, region, whole(mfn, WHOLE_2M));
	m->s->stats.whole_2m++;
}

static void set_1g(struct xr_model *m, uint64_t region, uint64_t mfn)
{
	for (unsigned int i = 0; i < GIB_REGIONS; i++) {
		m->s->stats.leaked += drop_region(m, region + i);
		set_region(m, region + i, whole(mfn + (uint64_t)i * REGION_PAGES, IN_1G));
	}
	m->s->stats.whole_1g++;
}

static int set_4k(struct xr_model *m, uint64_t gfn, uint64_t mfn)
{
	uint64_t region = gfn / REGION_PAGES;
	int rc = split_region(m, region);
	uint64_t *entry;

	if (rc)
		return rc;
	entry = &table_of(m, m->region[region])[gfn % REGION_PAGES];
	if (*entry) {
		m->s->stats.leaked++;
	} else {
		m->region[region] += USED_ONE;
		m->s->stats.pages_4k++;
	}
	*entry = mfn << 1 | 1;
	return 0;
}

static bool fits(uint64_t gfn, uint64_t mfn, uint64_t left, unsigned int order)
{
	uint64_t size = (uint64_t)1 << order;

	return left >= size && !((gfn | mfn) & (size - 1));
}

int model_p2m_set_locked(struct xr_model *m, uint64_t gfn, uint64_t mfn, unsigned int order)
{
	uint64_t left = (uint64_t)1 << order;

	while (left) {
		unsigned int o = XR_ORDER_4K;
		int rc = 0;

		if (fits(gfn, mfn, left, XR_ORDER_1G)) {
			o = XR_ORDER_1G;
			set_1g(m, gfn / REGION_PAGES, mfn);
		} else if (fits(gfn, mfn, left, XR_ORDER_2M)) {
			o = XR_ORDER_2M;
			set_2m(m, gfn / REGION_PAGES, mfn);
		} else {
			rc = set_4k(m, gfn, mfn);
		}
		if (rc)
			return rc;
		gfn += (uint64_t)1 << o;
		mfn += (uint64_t)1 << o;
		left -= (uint64_t)1 << o;
	}
	return 0;
}

static uint64_t del_1g(struct xr_model *m, uint64_t region, uint64_t *mfn)
{
	*mfn = whole_mfn(m->region[region]);
	for (unsigned int i = 0; i < GIB_REGIONS; i++)
		set_region(m, region + i, EMPTY);
	m->s->stats.whole_1g--;
	return (uint64_t)GIB_REGIONS * REGION_PAGES;
}

static uint64_t del_4k(struct xr_model *m, uint64_t gfn, uint64_t *mfn)
{
	uint64_t region = gfn / REGION_PAGES;
	uint64_t word = m->region[region];
	uint64_t *entry = &table_of(m, word)[gfn % REGION_PAGES];

	if (!*entry)
		return 0;
	*mfn = *entry >> 1;
	*entry = 0;
	m->s->stats.pages_4k--;
	word -= USED_ONE;
	if (!used(word)) {
		give_table(m, word);
		word = EMPTY;
	}
	m->region[region] = word;
	return 1;
}

uint64_t model_p2m_del_locked(struct xr_model *m, uint64_t gfn, uint64_t pages, uint64_t *mfn)
{
	uint64_t region = gfn / REGION_PAGES;
	unsigned int k = kind(region_word(m, region));

	if (k == EMPTY)
		return 0;
	if (k == IN_1G && fits(gfn, 0, pages, XR_ORDER_1G))
		return del_1g(m, region, mfn);
	if (k != SPLIT && fits(gfn, 0, pages, XR_ORDER_2M)) {
		*mfn = whole_mfn(m->region[region]);
		return drop_region(m, region);
	}
	if (split_region(m, region))
		return 0;
	return del_4k(m, gfn, mfn);
}

static uint64_t next_in_region(struct xr_model *m, uint64_t from)
{
	uint64_t word = region_word(m, from / REGION_PAGES);
	uint64_t *table;

	if (kind(word) == EMPTY)
		return NO_FRAME;
	if (kind(word) != SPLIT)
		return from;
	table = table_of(m, word);
	for (uint64_t i = from % REGION_PAGES; i < REGION_PAGES; i++) {
		if (table[i])
			return (from & ~(uint64_t)(REGION_PAGES - 1)) + i;
	}
	return NO_FRAME;
}

uint64_t model_p2m_next_locked(struct xr_model *m, uint64_t from)
{
	while (from >> GFN_BITS == 0) {
		uint64_t gib_pages = (uint64_t)GIB_REGIONS * REGION_PAGES;
		uint64_t found;

		if (!gib_touched(m, from / gib_pages)) {
			from = (from / gib_pages + 1) * gib_pages;
			continue;
		}
		found = next_in_region(m, from);
		if (found != NO_FRAME)
			return found;
		from = (from / REGION_PAGES + 1) * REGION_PAGES;
	}
	return NO_FRAME;
}

void model_p2m_clear_locked(struct xr_model *m)
{
	for (uint64_t word = 0; word < REGIONS / GIB_REGIONS / 64; word++) {
		for (; m->s->gib[word]; m->s->gib[word] &= m->s->gib[word] - 1) {
			uint64_t gib = word * 64 + (uint64_t)__builtin_ctzll(m->s->gib[word]);

			memset(&m->region[gib * GIB_REGIONS], 0, GIB_REGIONS * sizeof(*m->region));
		}
	}
	m->s->tables_used = m->s->free_table = 0;
}
