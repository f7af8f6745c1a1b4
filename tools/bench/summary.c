/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/bench.h"

#include <string.h>

#define GIB ((double)(1u << 30))

const char *const bench_stage_names[BENCH_STAGE_COUNT] = { "stream", "populate", "copy" };
const char *const bench_call_names[BENCH_CALL_COUNT] = { "populate", "release", "map", "unmap",
							 "other" };

/* A double, given by its offset. */
static double value(const struct bench_run *r, size_t offset)
{
	double v;

	memcpy(&v, (const char *)r + offset, sizeof(v));
	return v;
}

/* Statistics of one of every run. */
static struct bench_stats field(const struct bench_cell *c, size_t offset)
{
	double v[BENCH_STATS_MAX];

	for (unsigned int i = 0; i < c->done; i++)
		v[i] = value(&c->runs[i], offset);
	return bench_stats(v, c->done);
}

static double median(const struct bench_cell *c, size_t offset)
{
	return field(c, offset).median;
}

/* Rates fall as times rise: the quartiles change places. */
static struct bench_stats rate(const struct bench_cell *c)
{
	const double gib = (double)c->stream->bytes / GIB;
	double v[BENCH_STATS_MAX];

	for (unsigned int i = 0; i < c->done; i++)
		v[i] = gib / c->runs[i].seconds;
	return bench_stats(v, c->done);
}

static void stages(const struct bench_cell *c, struct bench_summary *s)
{
	for (unsigned int i = 0; i < BENCH_STAGE_COUNT; i++) {
		const size_t at = offsetof(struct bench_run, stage) + i * sizeof(*s->stage);

		s->stage[i].busy = median(c, at + offsetof(struct bench_stage_times, busy));
		s->stage[i].starved = median(c, at + offsetof(struct bench_stage_times, starved));
		s->stage[i].blocked = median(c, at + offsetof(struct bench_stage_times, blocked));
	}
}

/*
 * The stage whose threads are busy for the largest part of the time holds up the rest. Where the
 * stream stage waits for bytes for longer than any stage is busy, it is the sender.
 */
static void attribute(const struct bench_cell *c, struct bench_summary *s)
{
	const double t = s->seconds.median;
	const unsigned int workers = c->runs[0].workers ? c->runs[0].workers : 1;
	unsigned int top = 0;

	stages(c, s);
	for (unsigned int i = 0; i < BENCH_STAGE_COUNT; i++) {
		s->share[i] = s->stage[i].busy / (i == BENCH_COPY ? t * workers : t);
		if (s->share[i] > s->share[top])
			top = i;
	}
	s->sender = s->stage[BENCH_STREAM].starved / t;
	s->limiting = c->source != SOURCE_FILE && s->sender > s->share[top]
			      ? "sender"
			      : bench_stage_names[top];
}

static void calls(const struct bench_cell *c, struct bench_summary *s, double guest_gib)
{
	for (unsigned int i = 0; i < BENCH_CALL_COUNT; i++) {
		const size_t at = offsetof(struct bench_run, calls) + i * sizeof(double);

		s->calls_per_gib[i] = median(c, at) / guest_gib;
		s->all_calls_per_gib += s->calls_per_gib[i];
	}
	if (!s->has_mapped)
		return;
	s->mapped_per_gib = median(c, offsetof(struct bench_run, mapped)) / guest_gib;
	s->extents_per_gib = median(c, offsetof(struct bench_run, extents)) / guest_gib;
}

struct bench_summary bench_summarise(const struct bench_cell *c)
{
	struct bench_summary s = { .limiting = "" };
	const double pages = (double)c->stream->populated;

	if (!c->done)
		return s;
	s.seconds = field(c, offsetof(struct bench_run, seconds));
	s.process_seconds = median(c, offsetof(struct bench_run, process_seconds));
	s.cpu_seconds = median(c, offsetof(struct bench_run, cpu_seconds));
	s.touch_fresh_ns = median(c, offsetof(struct bench_run, touch_fresh)) * 1e9;
	s.touch_again_ns = median(c, offsetof(struct bench_run, touch_again)) * 1e9;
	s.apply = median(c, offsetof(struct bench_run, apply));
	s.apply_longest = median(c, offsetof(struct bench_run, apply_longest));
	if (c->stream->bytes) {
		s.gib_per_second = rate(c);
		s.cpu_per_gib = s.cpu_seconds * GIB / (double)c->stream->bytes;
	}
	if (pages > 0) {
		s.ns_per_page = s.seconds.median * 1e9 / pages;
		s.cpu_ns_per_page = s.cpu_seconds * 1e9 / pages;
		for (unsigned int i = 0; i < BENCH_PART_COUNT; i++)
			s.part_ns[i] =
				median(c, offsetof(struct bench_run, part) + i * sizeof(double)) *
				1e9 / pages;
	}
	s.has_stages = c->runs[0].has_stages;
	s.has_mapped = c->runs[0].has_mapped;
	s.has_calls = c->runs[0].has_calls && pages > 0;
	if (s.has_stages)
		attribute(c, &s);
	if (s.has_calls)
		calls(c, &s, pages * 4096 / GIB);
	return s;
}

/* Of a figure of each run, that of a to that of b. */
static struct bench_stats by_round(const struct bench_cell *a, const struct bench_cell *b,
				   size_t offset)
{
	double v[BENCH_STATS_MAX];
	unsigned int n = a->done < b->done ? a->done : b->done;

	for (unsigned int i = 0; i < n; i++)
		v[i] = value(&a->runs[i], offset) / value(&b->runs[i], offset);
	return bench_stats(v, n);
}

struct bench_stats bench_ratio(const struct bench_cell *a, const struct bench_cell *b)
{
	return by_round(b, a, offsetof(struct bench_run, seconds));
}

struct bench_stats bench_cpu_ratio(const struct bench_cell *a, const struct bench_cell *b)
{
	return by_round(a, b, offsetof(struct bench_run, cpu_seconds));
}

static bool better(const struct bench_cell *c, const struct bench_cell *best)
{
	return c->done &&
	       (!best || bench_summarise(c).seconds.median < bench_summarise(best).seconds.median);
}

const struct bench_cell *bench_find(const struct bench *b, enum bench_who who,
				    enum bench_source source)
{
	const struct bench_cell *best = NULL;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section == BENCH_MAIN && c->who == who && c->source == source &&
		    better(c, best))
			best = c;
	}
	return best;
}

const struct bench_cell *bench_find_scale(const struct bench *b, enum bench_who who,
					  const struct bench_stream *stream)
{
	const struct bench_cell *best = NULL;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section == BENCH_SCALE && c->who == who && c->stream == stream &&
		    better(c, best))
			best = c;
	}
	return best;
}
