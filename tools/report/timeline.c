/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/timeline.h"

#include "base/trace.h"
#include "host/host.h"

#include <stdlib.h>
#include <string.h>

#define PASSES 65u /* the last one is that and all behind it */

/* Cumulative figures as they were last in a bin, and what was busy in it. */
struct bin {
	uint64_t bytes, pages;
	uint64_t records, copies;
	uint64_t waited, copied; /* ns */
};

struct timeline {
	uint64_t width; /* ns */
	struct bin bin[TIMELINE_BINS];
};

static struct bin *bin_at(struct timeline *t, uint64_t at)
{
	const uint64_t i = at / t->width;

	return &t->bin[i < TIMELINE_BINS ? i : TIMELINE_BINS - 1];
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A span lies in several bins. What comes after the last, when workers are dismissed, is left out.
 */
static void spread(struct timeline *t, const struct xr_trace_event *e)
{
	const uint64_t last = TIMELINE_BINS * t->width;
	const uint64_t ended = e->ended < last ? e->ended : last;
	uint64_t end;

	for (uint64_t at = e->begun; at < ended; at = end) {
		struct bin *b = bin_at(t, at);

		end = (at / t->width + 1) * t->width;
		if (end > ended)
			end = ended;
		*(e->span == XR_SPAN_wait ? &b->waited : &b->copied) += end - at;
	}
}

static void see(const struct xr_trace_event *e, void *timeline)
{
	struct timeline *t = timeline;
	struct bin *b = bin_at(t, e->begun);

	if (e->span == XR_SPAN_wait || e->span == XR_SPAN_copy)
		spread(t, e);
	if (e->span == XR_SPAN_queued) {
		b->records = most(b->records, e->arg);
		b->copies = most(b->copies, (uint64_t)e->result);
	}
	if (e->span == XR_SPAN_moved) {
		b->bytes = most(b->bytes, e->arg);
		b->pages = most(b->pages, (uint64_t)e->result);
	}
}

static json_t *bin_json(const struct timeline *t, const struct bin *b, const struct bin *before)
{
	const double width = (double)t->width, second = 1e9 / width;
	const double wait = (double)b->waited / width;

	return json_pack("[f,f,I,I,f,f]", (double)(b->bytes - before->bytes) * second,
			 (double)(b->pages - before->pages) * XR_PAGE_SIZE * second,
			 (json_int_t)b->records, (json_int_t)b->copies, wait < 1 ? 1 - wait : 0,
			 (double)b->copied / width);
}

json_t *timeline_json(double seconds)
{
	struct timeline *t = calloc(1, sizeof(*t));
	static const struct bin nothing;
	json_t *bins = t ? json_array() : NULL;
	uint64_t lost;

	if (!t)
		return NULL;
	t->width = (uint64_t)(seconds * 1e9 / TIMELINE_BINS) + 1;
	lost = xr_trace_each(see, t);
	for (unsigned int i = 0; i < TIMELINE_BINS; i++) {
		struct bin *b = &t->bin[i];
		const struct bin *before = i ? b - 1 : &nothing;

		b->bytes = most(b->bytes, before->bytes);
		b->pages = most(b->pages, before->pages);
		json_array_append_new(bins, bin_json(t, b, before));
	}
	bins = json_pack("{s:f,s:o,s:I}", "width", (double)t->width / 1e9, "bins", bins, "lost",
			 (json_int_t)lost);
	free(t);
	return bins;
}

struct pass {
	uint64_t begun, ended, pages;
	bool seen;
};

struct passes {
	uint64_t received; /* pages, so far */
	struct pass pass[PASSES];
};

/* These samples come in order: the control loop alone takes them. */
static void see_pass(const struct xr_trace_event *e, void *passes)
{
	struct passes *all = passes;
	struct pass *p = &all->pass[e->arg < PASSES ? e->arg : PASSES - 1];

	if (e->span != XR_SPAN_pass)
		return;
	if (!p->seen)
		p->begun = e->begun;
	p->seen = true;
	p->ended = e->begun;
	p->pages += (uint64_t)e->result - all->received;
	all->received = (uint64_t)e->result;
}

json_t *passes_json(void)
{
	struct passes all = { 0 };
	json_t *list = json_array();

	xr_trace_each(see_pass, &all);
	for (unsigned int i = 1; i < PASSES; i++) {
		const struct pass *p = &all.pass[i];

		if (p->seen)
			json_array_append_new(list, json_pack("{s:i,s:I,s:f,s:f}", "pass", (int)i,
							      "pages", (json_int_t)p->pages,
							      "begun", (double)p->begun / 1e9,
							      "ended", (double)p->ended / 1e9));
	}
	return list;
}

struct durations {
	enum xr_span span;
	size_t n, room;
	uint64_t *ns, total;
};

static void count(const struct xr_trace_event *e, void *durations)
{
	struct durations *d = durations;

	d->room += e->span == d->span;
}

static void take(const struct xr_trace_event *e, void *durations)
{
	struct durations *d = durations;

	if (e->span != d->span || d->n == d->room)
		return;
	d->ns[d->n++] = e->ended - e->begun;
	d->total += e->ended - e->begun;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double at(const struct durations *d, unsigned int percent)
{
	const size_t i = (d->n - 1) * percent / 100;

	return (double)d->ns[i] / 1e9;
}

static json_t *call_json(struct durations *d)
{
	qsort(d->ns, d->n, sizeof(*d->ns), ascending);
	return json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:f}", "name", xr_trace_name(d->span), "count",
			 (json_int_t)d->n, "seconds", (double)d->total / 1e9, "p50", at(d, 50),
			 "p90", at(d, 90), "p99", at(d, 99), "max", at(d, 100));
}

json_t *calls_json(void)
{
	static const enum xr_span calls[] = { XR_SPAN_populate, XR_SPAN_release, XR_SPAN_map,
					      XR_SPAN_unmap };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct durations d = { .span = calls[i] };

		xr_trace_each(count, &d);
		d.ns = d.room ? calloc(d.room, sizeof(*d.ns)) : NULL;
		if (!d.ns)
			continue;
		xr_trace_each(take, &d);
		if (d.n)
			json_array_append_new(list, call_json(&d));
		free(d.ns);
	}
	return list;
}
