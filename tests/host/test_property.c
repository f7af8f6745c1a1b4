/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model against a naive p2m: an array with, for each gfn, its order, contents and frame
 * identity, changed by the rules as they are written down. Random calls, everything compared.
 */
#include "host_test.h"

#define SPACE (12 * PAGES_2M)
#define MAPS 8u
#define STEPS 4000u

/* A frame of the naive model: it lives while it is at a gfn, leaked or mapped. */
struct frame {
	bool owned; /* at a gfn, or leaked */
	unsigned int maps;
	uint32_t value;
};

struct mapping {
	size_t n;
	unsigned char *at;
	uint32_t frame[64]; /* 0: failed */
};

struct naive {
	uint32_t frame[SPACE]; /* 0: empty */
	int order[SPACE];
	struct frame *all;
	uint32_t nr;
	uint64_t tot, leaked, live, released_mapped;
	struct mapping map[MAPS];
};

#define MAX_FRAMES (8u << 20)

static void lose(struct naive *n, uint64_t gfn)
{
	struct frame *f = &n->all[n->frame[gfn]];

	f->owned = false;
	n->frame[gfn] = 0;
	n->order[gfn] = -1;
	if (f->maps)
		n->released_mapped++;
	else
		n->tot--;
}

static void split(struct naive *n, uint64_t gfn)
{
	uint64_t first = gfn & ~(uint64_t)511;

	if (n->order[gfn] != 9)
		return;
	for (uint64_t g = first; g < first + 512; g++)
		n->order[g] = 0;
}

static void naive_populate(struct naive *n, unsigned int order, uint64_t gfn)
{
	bool whole = order == 9 && gfn % 512 == 0;

	for (uint64_t g = gfn; g < gfn + (1u << order); g++) {
		n->leaked += n->frame[g] != 0;
		split(n, g);
		n->frame[g] = ++n->nr;
		n->all[n->nr] = (struct frame){ true, 0, 0 };
		n->order[g] = 0;
		n->tot++;
	}
	for (uint64_t g = gfn; whole && g < gfn + 512; g++)
		n->order[g] = 9;
}

/* Returns extents done. */
static long naive_release(struct naive *n, unsigned int order, uint64_t gfn)
{
	bool whole = order == 9 && gfn % 512 == 0 && n->order[gfn] == 9;

	for (uint64_t g = gfn; g < gfn + (1u << order); g++) {
		if (!n->frame[g])
			return 0;
		if (!whole)
			split(n, g);
		lose(n, g);
	}
	return 1;
}

/* Mostly in few places, so that calls meet. */
static uint64_t some_gfn(uint64_t *s)
{
	return rnd(s, 3) ? rnd(s, 12) * 512 + rnd(s, 12) : rnd(s, SPACE);
}

static void step_extent(struct rig *r, struct naive *n, uint64_t *s, bool take, uint64_t max)
{
	unsigned int order = rnd(s, 5) ? 0 : rnd(s, 6) ? 9 : 3;
	uint64_t gfns[20];
	size_t count = 1 + rnd(s, order ? 3 : 20);
	long want = 0, got;
	bool dead = false;

	for (size_t i = 0; i < count; i++) {
		gfns[i] = some_gfn(s);
		if (order == 9 && rnd(s, 8))
			gfns[i] &= ~(uint64_t)511;
		if (gfns[i] + (1u << order) > SPACE)
			gfns[i] = SPACE - (1u << order);
		/* backed gfns are met seldom, or everything would be leaks */
		if (!take && n->frame[gfns[i]] && rnd(s, 10))
			gfns[i] = some_gfn(s) & ~(uint64_t)511;
		if (gfns[i] + (1u << order) > SPACE)
			gfns[i] = SPACE - (1u << order);
		if (dead)
			continue;
		dead = take ? !naive_release(n, order, gfns[i]) : n->tot + (1u << order) > max;
		if (!dead && !take)
			naive_populate(n, order, gfns[i]);
		want += !dead;
	}
	got = take ? r->h->ops->release(r->h, order, count, gfns)
		   : r->h->ops->populate(r->h, order, count, gfns, NULL);
	cr_assert_eq(got, want);
}

static void check_mapping(struct naive *n, const struct mapping *map)
{
	for (size_t i = 0; i < map->n; i++) {
		uint32_t value;

		if (!map->frame[i])
			continue;
		memcpy(&value, map->at + i * XR_PAGE_SIZE + 64, 4);
		cr_assert_eq(value, n->all[map->frame[i]].value);
	}
}

static void step_unmap(struct rig *r, struct naive *n, struct mapping *map)
{
	check_mapping(n, map);
	cr_assert_eq(unmap(r, map->at, map->n), 0);
	for (size_t i = 0; i < map->n; i++) {
		struct frame *f = &n->all[map->frame[i]];

		if (!map->frame[i])
			continue;
		n->live--;
		if (!--f->maps && !f->owned)
			n->tot--;
	}
	map->n = 0;
}

static void step_map(struct rig *r, struct naive *n, uint64_t *s, struct mapping *map)
{
	uint64_t gfns[64], from = some_gfn(s);
	int err[64];

	map->n = 1 + rnd(s, 64);
	for (size_t i = 0; i < map->n; i++)
		gfns[i] = rnd(s, 8) ? (from + i) % SPACE : some_gfn(s);
	map->at = r->h->ops->map(r->map, map->n, gfns, err);
	cr_assert_not_null(map->at);
	for (size_t i = 0; i < map->n; i++) {
		struct frame *f = &n->all[n->frame[gfns[i]]];

		map->frame[i] = n->frame[gfns[i]];
		cr_assert_eq(err[i], map->frame[i] ? 0 : -EINVAL);
		if (!map->frame[i])
			continue;
		f->maps++;
		n->live++;
	}
	check_mapping(n, map);
	for (size_t i = 0; i < map->n; i++) {
		struct frame *f = &n->all[map->frame[i]];

		if (!map->frame[i] || !rnd(s, 2))
			continue;
		f->value = (uint32_t)rnd(s, 1u << 31);
		memcpy(map->at + i * XR_PAGE_SIZE + 64, &f->value, 4);
	}
}

static void check_gfn(struct rig *r, struct naive *n, uint64_t gfn)
{
	unsigned char page[XR_PAGE_SIZE];
	uint32_t value;

	cr_assert_eq(xr_model_order(r->m, gfn), n->order[gfn]);
	cr_assert_eq(xr_model_peek(r->m, gfn, page), n->frame[gfn] ? 0 : -ENOENT);
	memcpy(&value, page + 64, 4);
	cr_assert(!n->frame[gfn] || value == n->all[n->frame[gfn]].value);
}

static void check_counts(struct rig *r, const struct naive *n)
{
	struct xr_model_stats st = stats(r);

	cr_assert_eq(st.tot_pages, n->tot);
	cr_assert_eq(st.leaked, n->leaked);
	cr_assert_eq(st.live_mappings, n->live);
	cr_assert_eq(st.released_mapped, n->released_mapped);
}

static void check_all(struct rig *r, struct naive *n)
{
	struct xr_model_stats st = stats(r);
	uint64_t small = 0, whole = 0, bytes;

	for (uint64_t g = 0; g < SPACE; g++) {
		uint64_t next = g;

		check_gfn(r, n, g);
		small += n->order[g] == 0;
		whole += n->order[g] == 9;
		while (next < SPACE && !n->frame[next])
			next++;
		if (g % 61 == 0)
			cr_assert_eq(xr_model_next(r->m, g), next < SPACE ? next : XR_NO_PFN);
	}
	cr_assert_eq(st.pages_4k, small);
	cr_assert_eq(st.whole_2m * 512, whole);
	/* every page of memory is accounted for (part of a huge page may be slow to split) */
	bytes = file_bytes(r->m->file[0]) + file_bytes(r->m->file[1]);
	cr_assert_eq(bytes, n->tot * XR_PAGE_SIZE);
}

Test(property, behaves_as_the_rules_say, .timeout = 120)
{
	static struct naive n;
	uint64_t s = seed("property"), max = 9 * PAGES_2M;
	struct rig r = rig(max);

	n.all = calloc(MAX_FRAMES, sizeof(*n.all));
	memset(n.order, -1, sizeof(n.order));
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int what = (unsigned int)rnd(&s, 10);
		struct mapping *map = &n.map[rnd(&s, MAPS)];

		if (what < 3)
			step_extent(&r, &n, &s, false, max);
		else if (what < 6)
			step_extent(&r, &n, &s, true, max);
		else if (map->n)
			step_unmap(&r, &n, map);
		else
			step_map(&r, &n, &s, map);
		check_counts(&r, &n);
		check_gfn(&r, &n, some_gfn(&s));
		if (i % 500 == 0)
			check_all(&r, &n);
	}
	for (unsigned int i = 0; i < MAPS; i++) {
		if (n.map[i].n)
			step_unmap(&r, &n, &n.map[i]);
	}
	check_counts(&r, &n);
	check_all(&r, &n);
	free(n.all);
	rig_close(&r);
}
