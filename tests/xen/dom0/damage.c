/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Spoil one thing in a save file, to see whether it is noticed. */
#include "stream.h"
#include "xr-lab.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The contents of a pfn, of the first or the last record that has them. */
static uint8_t *contents(const struct stream *s, unsigned long pfn, bool last)
{
	struct record r = { .at = s->start };
	uint8_t *found = NULL, *page;

	for (; record_get(s, &r) && r.type != REC_END && (last || !found); record_step(s, &r)) {
		if (r.type != REC_PAGE_DATA)
			continue;
		page = r.body + 8 + 8 * (size_t)u32(r.body);
		for (uint32_t i = 0; i < u32(r.body); i++) {
			uint64_t e = record_entry(&r, i);

			if (!has_data(e))
				continue;
			if (PFN(e) == pfn)
				found = page;
			page += PAGE;
		}
	}
	return found;
}

static bool damage_page(const struct stream *s, const char *kind, unsigned long pfn,
			unsigned long other)
{
	uint8_t *page = contents(s, pfn, true), *from = NULL;

	if (!page)
		return false;
	if (!strcmp(kind, "zero")) {
		memset(page, 0, PAGE);
		return true;
	}
	if (!strcmp(kind, "flip")) {
		page[PAGE / 2] ^= 0x10;
		return true;
	}
	if (!strcmp(kind, "copy"))
		from = contents(s, other, true);
	else if (!strcmp(kind, "stale"))
		from = contents(s, pfn, false);
	if (!from || !memcmp(page, from, PAGE))
		return false;
	memcpy(page, from, PAGE);
	return true;
}

static bool damage_record(const struct stream *s, const char *kind, unsigned long n)
{
	struct record r = { .at = s->start };
	uint32_t type = 0x7654, length = 0x10000000;

	for (; record_get(s, &r) && r.type != REC_END && n; n--)
		record_step(s, &r);
	if (n)
		return false;
	if (!strcmp(kind, "type")) {
		memcpy(s->data + r.at, &type, 4);
		return true;
	}
	if (!strcmp(kind, "length")) {
		memcpy(s->data + r.at + 4, &length, 4);
		return true;
	}
	if (r.type != REC_PAGE_DATA)
		return false;
	r.body[15] = (uint8_t)((r.body[15] & 0x0f) | 0x50);
	return true;
}

int stream_damage(const char *path, const char *kind, unsigned long pfn, unsigned long other)
{
	bool of_record = !strcmp(kind, "type") || !strcmp(kind, "length") || !strcmp(kind, "pfn");
	struct stream s;

	if (!stream_open(&s, path, true))
		return 1;
	if (of_record ? damage_record(&s, kind, pfn) : damage_page(&s, kind, pfn, other))
		return munmap(s.data, s.size) ? 1 : 0;
	fprintf(stderr, "xr-lab: %s: nothing to damage there\n", path);
	return 1;
}
