/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "props/running.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_DATA 1u
#define MARK 0x7878u /* first word of a page of Xen's */

/* What a part of the stream says of a pfn. */
enum { SAYS_RAM = 1, SAYS_NONE = 2, SAYS_NO_DATA = 4 };

struct named {
	uint64_t pfn;
	unsigned int says;
};

static int by_pfn(const void *a, const void *b)
{
	const uint64_t x = ((const struct named *)a)->pfn, y = ((const struct named *)b)->pfn;

	return (x > y) - (x < y);
}

static unsigned int says(uint64_t entry)
{
	const unsigned int type = (unsigned int)(entry >> 60);

	if (type == 0xd || type == 0xf)
		return SAYS_NONE;
	return type == 0xe ? SAYS_NO_DATA : SAYS_RAM;
}

/* All that the records in [at, end) say, each pfn once. Returns how many; free *out. */
static size_t names(const struct builder *b, size_t at, size_t end, struct named **out)
{
	const unsigned char *p = builder_data(b);
	struct named *all = NULL;
	size_t n = 0, kept = 0;
	uint32_t head[2], count;
	uint64_t e;

	for (; at + 16 <= end; at += 8 + (((size_t)head[1] + 7) & ~(size_t)7)) {
		memcpy(head, p + at, sizeof(head));
		memcpy(&count, p + at + 8, sizeof(count));
		if (head[0] != PAGE_DATA)
			continue;
		all = realloc(all, (n + count + 1) * sizeof(*all));
		for (uint32_t i = 0; i < count; i++) {
			memcpy(&e, p + at + 16 + 8ul * i, sizeof(e));
			all[n++] = (struct named){ e & 0xfffffffffffffull, says(e) };
		}
	}
	if (n)
		qsort(all, n, sizeof(*all), by_pfn);
	for (size_t i = 0; i < n; i++) {
		if (kept && all[kept - 1].pfn == all[i].pfn)
			all[kept - 1].says |= all[i].says;
		else
			all[kept++] = all[i];
	}
	*out = all;
	return kept;
}

static void fill(struct running *r, uint64_t pfn, uint64_t word)
{
	uint64_t page[XR_PAGE_SIZE / 8];

	for (size_t i = 0; i < XR_PAGE_SIZE / 8; i++)
		page[i] = word ? word + i : 0;
	if (word ? xr_model_dirty(r->model, pfn, page) : xr_model_poke(r->model, pfn, page))
		r->wrong = "the guest cannot write to a frame of its own";
}

static void put_xens(struct running *r, uint64_t pfn)
{
	fill(r, pfn, MARK);
	if (xr_model_put_xens(r->model, pfn))
		r->wrong = "the guest cannot put a page of Xen's into its memory";
}

static void act(struct running *r, struct xr_host *h, const struct named *at, bool last)
{
	const bool has = xr_model_order(r->model, at->pfn) >= 0;
	const bool comes = at->says == SAYS_RAM, goes = at->says == SAYS_NONE;

	if (!has && (comes || goes)) {
		if (r->taken++ < RUNNING_ROOM && h->ops->populate(h, 0, 1, &at->pfn, NULL) == 1)
			fill(r, at->pfn, at->pfn);
	} else if (has && goes && last && r->nxens < RUNNING_XENS && rng_chance(&r->rng, 1, 4)) {
		put_xens(r, at->pfn);
		r->xens[r->nxens++] = at->pfn;
	} else if (has && (comes || goes) && rng_chance(&r->rng, 1, 2)) {
		fill(r, at->pfn, 0);
		if (h->ops->release(h, 0, 1, &at->pfn) != 1 && !r->calls_fail)
			r->wrong = "the guest cannot give a frame back";
	} else if (has && comes) {
		fill(r, at->pfn, ~at->pfn);
	}
}

void running_guest(void *arg)
{
	struct running *r = arg;
	const unsigned int i = r->ran++;
	const bool last = i + 2 == r->complete;
	struct named *all;
	struct xr_host *h;
	size_t n;

	if (i + 1 >= r->complete)
		return;
	if (xr_host_model_open(&h, r->model)) {
		r->wrong = "no host for the guest";
		return;
	}
	n = names(r->b, r->c->resume[i], r->c->end[i + 1], &all);
	for (size_t j = 0; j < n && !r->wrong; j++)
		if (rng_chance(&r->rng, 1, 3))
			act(r, h, &all[j], last);
	free(all);
	h->ops->close(h);
}

void running_end(struct running *r)
{
	uint64_t page[XR_PAGE_SIZE / 8];
	struct xr_host *h;

	if (xr_host_model_open(&h, r->model))
		return;
	for (unsigned int i = 0; i < r->nxens; i++) {
		if (xr_model_peek(r->model, r->xens[i], page) || page[1] != MARK + 1)
			r->wrong = "a page that the guest shares with Xen was lost";
		else
			h->ops->release(h, 0, 1, &r->xens[i]);
	}
	h->ops->close(h);
}
