/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/refmodel.h"

#include "lib/builder.h"
#include "lib/digest.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define HEADERS 40u /* image header and domain header */

static const unsigned char zeros[PAGE];

void refmodel_init(struct refmodel *m)
{
	memset(m, 0, sizeof(*m));
	m->nslots = 1024;
	m->slots = calloc(m->nslots, sizeof(*m->slots));
	m->highest = ~0ull;
	memset(m->params, 0xff, sizeof(m->params));
}

void refmodel_free(struct refmodel *m)
{
	free(m->slots);
	free(m->pfns);
	memset(m, 0, sizeof(*m));
}

static struct ref_slot *slot_of(const struct refmodel *m, uint64_t pfn)
{
	size_t i = (size_t)(pfn * 0x9e3779b97f4a7c15ull >> 20) & (m->nslots - 1);

	while (m->slots[i].used && m->slots[i].pfn != pfn)
		i = (i + 1) & (m->nslots - 1);
	return &m->slots[i];
}

static void grow(struct refmodel *m)
{
	struct ref_slot *old = m->slots;
	size_t n = m->nslots;

	m->nslots *= 4;
	m->slots = calloc(m->nslots, sizeof(*m->slots));
	for (size_t i = 0; i < n; i++) {
		if (old[i].used)
			*slot_of(m, old[i].pfn) = old[i];
	}
	free(old);
}

static void set_backed(struct refmodel *m, uint64_t pfn)
{
	struct ref_slot *s;

	if (m->used * 2 > m->nslots)
		grow(m);
	s = slot_of(m, pfn);
	if (!s->used) {
		*s = (struct ref_slot){ .pfn = pfn, .used = true };
		m->used++;
	}
	if (!s->backed) {
		s->backed = true;
		m->backed++;
	}
	if (m->backed > m->peak)
		m->peak = m->backed;
}

static void set_hole(struct refmodel *m, uint64_t pfn)
{
	struct ref_slot *s = slot_of(m, pfn);

	if (!s->used || !s->backed)
		return;
	s->backed = false;
	s->page = NULL;
	m->backed--;
}

static void take_contents(struct refmodel *m, uint64_t pfn, const unsigned char *page)
{
	struct ref_slot *s = slot_of(m, pfn);

	m->pages++;
	s->record = m->records;
	if (m->verify)
		m->differences += !s->page || memcmp(s->page, page, PAGE) != 0;
	else
		s->page = page;
}

static void clear(struct refmodel *m, uint64_t pfn)
{
	struct ref_slot *s = slot_of(m, pfn);

	if (s->used && s->backed)
		s->page = zeros;
}

static void count_replaced(struct refmodel *m, uint64_t pfn)
{
	struct ref_slot *s = slot_of(m, pfn);

	m->replaced += s->used && s->record == m->records;
	s->record = 0;
}

static bool broken(struct refmodel *m, const char *why)
{
	m->broken = why;
	return false;
}

static bool page_data(struct refmodel *m, const unsigned char *body, uint32_t length)
{
	uint32_t count = 0, at;

	if (length >= 8)
		memcpy(&count, body, 4);
	if (!count || (length - 8) / 8 < count)
		return broken(m, "PAGE_DATA is too short");
	at = 8 + 8 * count;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry, pfn;

		memcpy(&entry, body + 8 + 8ul * i, 8);
		pfn = XR_EMIT_PFN(entry);
		count_replaced(m, pfn);
		if (m->highest == ~0ull || pfn > m->highest)
			m->highest = pfn;
		if (!builder_is_ram(XR_EMIT_TYPE(entry))) {
			set_hole(m, pfn);
			continue;
		}
		set_backed(m, pfn);
		if (!builder_has_data(XR_EMIT_TYPE(entry)))
			continue;
		if (length - at < PAGE)
			return broken(m, "PAGE_DATA lacks contents");
		take_contents(m, pfn, body + at);
		at += PAGE;
	}
	return at == length || broken(m, "PAGE_DATA is too long");
}

static bool hvm_params(struct refmodel *m, const unsigned char *body, uint32_t length)
{
	uint32_t count = 0;

	if (length >= 8)
		memcpy(&count, body, 4);
	if (length != 8 + 16ull * count)
		return broken(m, "HVM_PARAMS has a wrong length");
	for (uint32_t i = 0; i < count; i++) {
		struct xr_emit_param p;

		memcpy(&p, body + 8 + 16ul * i, sizeof(p));
		if (p.index < 64)
			m->params[p.index] = p.value;
		if (p.index == XR_EMIT_STORE_PFN || p.index == XR_EMIT_IOREQ_PFN ||
		    p.index == XR_EMIT_BUFIOREQ_PFN || p.index == XR_EMIT_CONSOLE_PFN)
			clear(m, p.value);
	}
	return true;
}

bool refmodel_record(struct refmodel *m, uint32_t type, const void *body, uint32_t length)
{
	m->records++;
	switch (type) {
	case XR_EMIT_END:
		m->ended = true;
		return true;
	case XR_EMIT_VERIFY:
		m->verify = true;
		return true;
	case XR_EMIT_PAGE_DATA:
		return page_data(m, body, length);
	case XR_EMIT_HVM_PARAMS:
		return hvm_params(m, body, length);
	default:
		return true;
	}
}

size_t refmodel_stream(struct refmodel *m, const void *stream, size_t size, size_t offset)
{
	const unsigned char *bytes = stream;
	size_t at = offset + HEADERS;

	while (!m->ended) {
		uint32_t head[2];

		if (at > size || size - at < 8) {
			broken(m, "the stream ends too early");
			return 0;
		}
		memcpy(head, bytes + at, 8);
		at += 8;
		if (size - at < head[1]) {
			broken(m, "a record is cut off");
			return 0;
		}
		if (!refmodel_record(m, head[0], bytes + at, head[1]))
			return 0;
		at += ((size_t)head[1] + 7) & ~(size_t)7;
	}
	refmodel_finish(m);
	return at;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t count_whole(const struct refmodel *m)
{
	uint64_t whole = 0;

	for (uint64_t i = 0; i + 512 <= m->backed; i++)
		whole += m->pfns[i] % 512 == 0 && m->pfns[i + 511] == m->pfns[i] + 511;
	return whole;
}

void refmodel_finish(struct refmodel *m)
{
	size_t n = 0;

	free(m->pfns);
	m->pfns = calloc(m->backed + 1, sizeof(*m->pfns));
	for (size_t i = 0; i < m->nslots; i++) {
		if (m->slots[i].used && m->slots[i].backed)
			m->pfns[n++] = m->slots[i].pfn;
	}
	qsort(m->pfns, n, sizeof(*m->pfns), by_value);
	m->whole_2m = count_whole(m);
}

bool refmodel_backed(const struct refmodel *m, uint64_t pfn)
{
	const struct ref_slot *s = slot_of(m, pfn);

	return s->used && s->backed;
}

const unsigned char *refmodel_page(const struct refmodel *m, uint64_t pfn)
{
	return slot_of(m, pfn)->page;
}

bool refmodel_cleared(const struct refmodel *m, uint64_t pfn)
{
	return refmodel_page(m, pfn) == zeros;
}

struct cursor {
	const struct refmodel *m;
	size_t i;
};

static int next_page(void *opaque, uint64_t *pfn, void *page)
{
	struct cursor *c = opaque;
	const unsigned char *from;

	if (c->i == c->m->backed)
		return 0;
	*pfn = c->m->pfns[c->i++];
	from = refmodel_page(c->m, *pfn);
	memcpy(page, from ? from : zeros, PAGE);
	return 1;
}

void refmodel_digest(const struct refmodel *m, char hex[65])
{
	struct cursor c = { m, 0 };

	digest_pages(next_page, &c, hex);
}
