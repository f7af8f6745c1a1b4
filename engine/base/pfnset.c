/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A radix tree over 36-bit pfns. Words of the upper levels are EMPTY, FULL or a pointer:
 *
 *   top[2048] -> span (128 GiB) -> word[1024] -> stretch (128 MiB) -> word[64] -> leaf (2 MiB, 512
 * bits)
 *
 * A stretch or leaf that becomes all empty or all full is freed and leaves its tag, a span only
 * when empty, so that the size follows the number of mixed regions and never the highest pfn.
 */
#include "base/pfnset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_SHIFT 9
#define STRETCH_SHIFT 15
#define SPAN_SHIFT 25

#define LEAF_PFNS (1u << LEAF_SHIFT)
#define STRETCH_PFNS (1u << STRETCH_SHIFT)
#define SPAN_PFNS ((uint64_t)1 << SPAN_SHIFT)

#define LEAVES (1u << (STRETCH_SHIFT - LEAF_SHIFT))
#define STRETCHES (1u << (SPAN_SHIFT - STRETCH_SHIFT))
#define SPANS (1u << (XR_PFN_BITS - SPAN_SHIFT))

/* What malloc takes for itself, so that bytes() tells the truth. */
#define ALLOC_COST 16u

typedef uintptr_t word_t;
#define EMPTY ((word_t)0)
#define FULL ((word_t)1)

struct leaf {
	uint64_t bits[8];
};

struct stretch {
	word_t leaf[LEAVES];
	uint32_t count; /* members */
};

struct span {
	word_t stretch[STRETCHES];
	uint32_t used; /* words that are not EMPTY */
};

struct xr_pfnset {
	uint64_t count;
	size_t bytes;
	struct span *top[SPANS];
};

static inline bool is_pointer(word_t w)
{
	return w > FULL;
}

static void *allocate(struct xr_pfnset *s, size_t size)
{
	void *p = calloc(1, size);

	if (p)
		s->bytes += size + ALLOC_COST;
	return p;
}

static void discard(struct xr_pfnset *s, void *p, size_t size)
{
	free(p);
	s->bytes -= size + ALLOC_COST;
}

struct xr_pfnset *xr_pfnset_new(void)
{
	struct xr_pfnset *s = calloc(1, sizeof(*s));

	if (s)
		s->bytes = sizeof(*s) + ALLOC_COST;
	return s;
}

static void free_stretch(struct xr_pfnset *s, word_t w)
{
	struct stretch *st;

	if (!is_pointer(w))
		return;
	st = (struct stretch *)w;
	for (unsigned int i = 0; i < LEAVES; i++)
		if (is_pointer(st->leaf[i]))
			discard(s, (void *)st->leaf[i], sizeof(struct leaf));
	discard(s, st, sizeof(*st));
}

void xr_pfnset_free(struct xr_pfnset *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < SPANS; i++) {
		if (!s->top[i])
			continue;
		for (unsigned int j = 0; j < STRETCHES; j++)
			free_stretch(s, s->top[i]->stretch[j]);
		free(s->top[i]);
	}
	free(s);
}

static inline word_t stretch_of(const struct xr_pfnset *s, uint64_t pfn)
{
	const struct span *sp = pfn < XR_PFN_LIMIT ? s->top[pfn >> SPAN_SHIFT] : NULL;

	return sp ? sp->stretch[pfn >> STRETCH_SHIFT & (STRETCHES - 1)] : EMPTY;
}

static inline word_t leaf_of(const struct xr_pfnset *s, uint64_t pfn)
{
	word_t w = stretch_of(s, pfn);

	if (!is_pointer(w))
		return w;
	return ((const struct stretch *)w)->leaf[pfn >> LEAF_SHIFT & (LEAVES - 1)];
}

bool xr_pfnset_has(const struct xr_pfnset *s, uint64_t pfn)
{
	word_t w = leaf_of(s, pfn);

	if (!is_pointer(w))
		return w == FULL;
	return ((const struct leaf *)w)->bits[pfn >> 6 & 7] >> (pfn & 63) & 1;
}

void xr_pfnset_region(const struct xr_pfnset *s, uint64_t pfn, uint64_t bits[8])
{
	word_t w = leaf_of(s, pfn);

	if (is_pointer(w))
		memcpy(bits, (const void *)w, sizeof(struct leaf));
	else
		memset(bits, w == FULL ? 0xff : 0, sizeof(struct leaf));
}

/* Bits [lo, hi) of a leaf that lie in its ith word. */
static uint64_t mask_of(unsigned int i, unsigned int lo, unsigned int hi)
{
	unsigned int a = lo > i * 64 ? lo - i * 64 : 0;
	unsigned int b = hi < i * 64 + 64 ? hi - i * 64 : 64;

	return ~(uint64_t)0 >> (64 - (b - a)) << a;
}

/* Set or clear [lo, hi) of a leaf: how many bits changed. */
static unsigned int change_bits(struct leaf *l, unsigned int lo, unsigned int hi, bool set)
{
	unsigned int changed = 0;

	for (unsigned int i = lo / 64; i * 64 < hi; i++) {
		uint64_t mask = mask_of(i, lo, hi);

		changed +=
			(unsigned int)__builtin_popcountll((set ? ~l->bits[i] : l->bits[i]) & mask);
		l->bits[i] = set ? l->bits[i] | mask : l->bits[i] & ~mask;
	}
	return changed;
}

static word_t tag_of(const struct leaf *l)
{
	uint64_t first = l->bits[0];

	if (first != 0 && ~first != 0)
		return (word_t)l;
	for (unsigned int i = 1; i < 8; i++)
		if (l->bits[i] != first)
			return (word_t)l;
	return first ? FULL : EMPTY;
}

static struct leaf *open_leaf(struct xr_pfnset *s, word_t w)
{
	struct leaf *l = is_pointer(w) ? (struct leaf *)w : allocate(s, sizeof(*l));

	if (l && w == FULL)
		memset(l, 0xff, sizeof(*l));
	return l;
}

/* Change [lo, hi) of one region: how many members changed, or -ENOMEM. */
static int change_region(struct xr_pfnset *s, word_t *w, unsigned int lo, unsigned int hi, bool set)
{
	unsigned int changed;
	struct leaf *l;

	if (*w == (set ? FULL : EMPTY))
		return 0;
	if (hi - lo == LEAF_PFNS && !is_pointer(*w)) {
		*w = set ? FULL : EMPTY;
		return LEAF_PFNS;
	}
	l = open_leaf(s, *w);
	if (!l)
		return -ENOMEM;
	changed = change_bits(l, lo, hi, set);
	*w = tag_of(l);
	if (!is_pointer(*w))
		discard(s, l, sizeof(*l));
	return (int)changed;
}

static struct stretch *open_stretch(struct xr_pfnset *s, word_t w)
{
	struct stretch *st = is_pointer(w) ? (struct stretch *)w : allocate(s, sizeof(*st));

	if (st && w == FULL) {
		st->count = STRETCH_PFNS;
		for (unsigned int i = 0; i < LEAVES; i++)
			st->leaf[i] = FULL;
	}
	return st;
}

static int change_leaves(struct xr_pfnset *s, struct stretch *st, unsigned int lo, unsigned int hi,
			 bool set)
{
	while (lo < hi) {
		unsigned int base = lo & ~(LEAF_PFNS - 1);
		unsigned int end = hi < base + LEAF_PFNS ? hi : base + LEAF_PFNS;
		int changed =
			change_region(s, &st->leaf[base / LEAF_PFNS], lo - base, end - base, set);

		if (changed < 0)
			return changed;
		st->count = set ? st->count + (uint32_t)changed : st->count - (uint32_t)changed;
		lo = end;
	}
	return 0;
}

/* Change [lo, hi) of one stretch and settle its word; the set's count follows. */
static int change_stretch(struct xr_pfnset *s, word_t *w, unsigned int lo, unsigned int hi,
			  bool set)
{
	uint32_t before = *w == FULL ? STRETCH_PFNS : 0;
	struct stretch *st;
	int ret = 0;

	if (*w == (set ? FULL : EMPTY))
		return 0;
	if (hi - lo == STRETCH_PFNS && !is_pointer(*w)) {
		*w = set ? FULL : EMPTY;
		s->count += set ? STRETCH_PFNS : -(uint64_t)STRETCH_PFNS;
		return 0;
	}
	st = open_stretch(s, *w);
	if (!st)
		return -ENOMEM;
	if (is_pointer(*w))
		before = st->count;
	ret = change_leaves(s, st, lo, hi, set);
	s->count += (uint64_t)st->count - before;
	*w = (word_t)st;
	if (st->count == 0 || st->count == STRETCH_PFNS) {
		*w = st->count ? FULL : EMPTY;
		discard(s, st, sizeof(*st));
	}
	return ret;
}

/* Change [pfn, end), which lies in one stretch. */
static int change_within(struct xr_pfnset *s, uint64_t pfn, uint64_t end, bool set)
{
	struct span **sp = &s->top[pfn >> SPAN_SHIFT];
	uint64_t base = pfn & ~(uint64_t)(STRETCH_PFNS - 1);
	word_t *w, old;
	int ret;

	if (!*sp && !set)
		return 0;
	if (!*sp)
		*sp = allocate(s, sizeof(**sp));
	if (!*sp)
		return -ENOMEM;
	w = &(*sp)->stretch[pfn >> STRETCH_SHIFT & (STRETCHES - 1)];
	old = *w;
	ret = change_stretch(s, w, (unsigned int)(pfn - base), (unsigned int)(end - base), set);
	(*sp)->used += (uint32_t)(*w != EMPTY) - (uint32_t)(old != EMPTY);
	if (!(*sp)->used) {
		discard(s, *sp, sizeof(**sp));
		*sp = NULL;
	}
	return ret;
}

static int change(struct xr_pfnset *s, uint64_t first, uint64_t n, bool set)
{
	uint64_t end = first + n;
	int ret = 0;

	while (first < end && !ret) {
		uint64_t next = (first | (STRETCH_PFNS - 1)) + 1;

		if (!set && !s->top[first >> SPAN_SHIFT]) {
			first = (first | (SPAN_PFNS - 1)) + 1;
			continue;
		}
		if (next > end)
			next = end;
		ret = change_within(s, first, next, set);
		first = next;
	}
	return ret;
}

int xr_pfnset_add(struct xr_pfnset *s, uint64_t first, uint64_t n)
{
	return change(s, first, n, true);
}

int xr_pfnset_del(struct xr_pfnset *s, uint64_t first, uint64_t n)
{
	return change(s, first, n, false);
}

/* The first bit >= from that is set (or clear) in a leaf; LEAF_PFNS if there is none. */
static unsigned int scan_leaf(const struct leaf *l, unsigned int from, bool absent)
{
	for (unsigned int i = from / 64; i < 8; i++) {
		uint64_t bits = absent ? ~l->bits[i] : l->bits[i];

		if (i == from / 64)
			bits &= ~(uint64_t)0 << (from & 63);
		if (bits)
			return i * 64 + (unsigned int)__builtin_ctzll(bits);
	}
	return LEAF_PFNS;
}

uint64_t xr_pfnset_next(const struct xr_pfnset *s, uint64_t from, bool absent)
{
	word_t hit = absent ? EMPTY : FULL;

	while (from < XR_PFN_LIMIT) {
		uint64_t skip = SPAN_PFNS - 1;
		word_t w = EMPTY;

		if (s->top[from >> SPAN_SHIFT]) {
			skip = STRETCH_PFNS - 1;
			w = stretch_of(s, from);
		}
		if (is_pointer(w)) {
			skip = LEAF_PFNS - 1;
			w = ((const struct stretch *)w)->leaf[from >> LEAF_SHIFT & (LEAVES - 1)];
		}
		if (w == hit)
			return from;
		if (is_pointer(w)) {
			unsigned int bit =
				scan_leaf((const struct leaf *)w,
					  (unsigned int)(from & (LEAF_PFNS - 1)), absent);

			if (bit < LEAF_PFNS)
				return (from & ~(uint64_t)(LEAF_PFNS - 1)) + bit;
		}
		from = (from | skip) + 1;
	}
	return XR_PFN_LIMIT;
}

enum xr_fill xr_pfnset_fill(const struct xr_pfnset *s, uint64_t pfn, unsigned int order)
{
	uint64_t size = (uint64_t)1 << order;
	uint64_t base = pfn & ~(size - 1);

	if (xr_pfnset_has(s, base))
		return xr_pfnset_next(s, base, true) >= base + size ? XR_FULL : XR_MIXED;
	return xr_pfnset_next(s, base, false) >= base + size ? XR_EMPTY : XR_MIXED;
}

uint64_t xr_pfnset_count(const struct xr_pfnset *s)
{
	return s->count;
}

size_t xr_pfnset_bytes(const struct xr_pfnset *s)
{
	return s->bytes;
}
