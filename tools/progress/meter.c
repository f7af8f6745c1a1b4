/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/meter.h"

#include <stdio.h>
#include <string.h>

#define GIB ((double)(1u << 30))
#define PAGE_BYTES 4096u
#define MEMORY 3.0 /* s that the rate looks back */
#define WIDE 100u  /* columns: there is room for all words */
#define BAR_MOST 20u
#define BAR_LEAST 5u
#define PERCENT 6u    /* "100%  " */
#define BESIDE_BAR 9u /* "[] " and that */

static const char *limit_of(const struct xr_progress *p)
{
	if (p->limit == XR_STAGE_NONE)
		return "";
	return p->source ? "source" : xr_stage_name(p->limit);
}

void xr_meter_update(struct xr_meter *m, const struct xr_progress *p)
{
	const bool counted = p->pages_total != 0;
	const uint64_t done = counted ? p->pages_done * PAGE_BYTES : p->bytes_done;
	const double passed = p->seconds - m->seconds;

	if (p->pass && !m->pass) { /* headers go by faster than contents */
		m->recent_bytes = m->recent_seconds = 0;
		m->done = 0;
	}
	m->total = counted ? p->pages_total * PAGE_BYTES : p->bytes_total;
	if (passed > 0 && done >= m->done) {
		const double keep = MEMORY / (MEMORY + passed);

		m->recent_bytes = m->recent_bytes * keep + (double)(done - m->done);
		m->recent_seconds = m->recent_seconds * keep + passed;
		m->rate = m->recent_bytes / m->recent_seconds;
	}
	m->done = done;
	m->pass = p->pass;
	m->pages = p->pages_done;
	m->seconds = p->seconds;
	m->left = m->total && m->rate > 0 && done <= m->total ? (double)(m->total - done) / m->rate
							      : -1;
	m->limit = limit_of(p);
}

double xr_meter_share(const struct xr_meter *m)
{
	if (!m->total)
		return -1;
	return m->done >= m->total ? 1 : (double)m->done / (double)m->total;
}

static void add(char *text, size_t size, size_t *n, const char *part)
{
	*n += (size_t)snprintf(text + *n, size - *n, "%s", part);
	if (*n >= size)
		*n = size - 1;
}

static void words(const struct xr_meter *m, bool terse, char *text, size_t size)
{
	const char *of = terse ? "/%.2f GiB" : " of %.2f GiB";
	char part[64];
	size_t n = 0;

	if (m->pass)
		snprintf(part, sizeof(part), "pass %u  ", m->pass);
	add(text, size, &n, m->pass ? part : "indexing  ");
	snprintf(part, sizeof(part), "%.2f", (double)m->done / GIB);
	add(text, size, &n, part);
	snprintf(part, sizeof(part), m->total ? of : " GiB", (double)m->total / GIB);
	add(text, size, &n, part);
	snprintf(part, sizeof(part), "  %.2f GiB/s", m->rate / GIB);
	add(text, size, &n, part);
	if (m->left >= 0) {
		const unsigned long s = (unsigned long)(m->left + 0.5);

		snprintf(part, sizeof(part), "  %lu:%02lu left", s / 60, s % 60);
		add(text, size, &n, part);
	}
	if (*m->limit) {
		snprintf(part, sizeof(part), "  %sby %s", terse ? "" : "limited ", m->limit);
		add(text, size, &n, part);
	}
}

void xr_meter_words(const struct xr_meter *m, char *text, size_t size)
{
	words(m, false, text, size);
}

/* A bar takes what the words leave, and gives way to them. */
void xr_meter_line(const struct xr_meter *m, unsigned int columns, char *text, size_t size)
{
	static const char full[] = "####################", none[] = "....................";
	const double share = xr_meter_share(m);
	char told[256];
	size_t room, bar = 0;

	words(m, columns < WIDE, told, sizeof(told));
	room = columns > strlen(told) ? columns - strlen(told) : 0;
	if (room >= BESIDE_BAR + BAR_LEAST)
		bar = room < BESIDE_BAR + BAR_MOST ? room - BESIDE_BAR : BAR_MOST;
	if (share >= 0 && bar) {
		const int done = (int)(share * (double)bar);

		snprintf(text, size, "[%.*s%.*s] %3u%%  %s", done, full, (int)bar - done, none,
			 (unsigned int)(share * 100), told);
	} else if (share >= 0 && room >= PERCENT) {
		snprintf(text, size, "%3u%%  %s", (unsigned int)(share * 100), told);
	} else {
		snprintf(text, size, "%s", told);
	}
	if (columns < size)
		text[columns] = '\0';
}
