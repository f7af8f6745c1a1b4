/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which streams a bench has, and which cells are run on them. */
#include "bench/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const bench_section_names[BENCH_SECTION_COUNT] = { "main", "workers", "watched",
							       "scale" };
const char *const bench_watch_names[BENCH_WATCH_COUNT + 1] = { "receipt", "report", "trace" };

/* Above this the hole below 4 GiB is part of the guest's own memory map. */
#define LOW_RAM 0xf0000000ull

void bench_warn(struct bench *b, const char *fmt, ...)
{
	va_list args;

	if (b->nwarnings == sizeof(b->warnings) / sizeof(b->warnings[0]))
		return;
	va_start(args, fmt);
	if (vasprintf(&b->warnings[b->nwarnings], fmt, args) >= 0)
		b->nwarnings++;
	va_end(args);
}

static bool wanted(const struct bench *b, enum bench_who who)
{
	if (who == BENCH_STOCK && !(b->stock && b->preload))
		return false;
	return b->opt.contenders & 1u << who;
}

static void add_stream(struct bench *b, uint64_t bytes, bool types_only)
{
	struct bench_stream *s = &b->streams[b->nstreams++];

	*s = (struct bench_stream){
		.gen = b->opt.gen, .generated = true, .fd = -1, .types_only = types_only
	};
	s->gen.size_bytes = bytes;
	s->gen.types_only = types_only;
	s->gen.compact = bytes <= LOW_RAM && !b->opt.list_to_4g;
	if (types_only && !s->gen.holes_permille)
		s->populated = (bytes >> 12) + XR_GEN_SPECIAL;
}

static int add(struct bench *b, struct bench_cell cell)
{
	struct bench_cell *cells;
	unsigned int room;

	cell.runs = calloc(b->opt.runs, sizeof(*cell.runs));
	if (!cell.runs)
		return -ENOMEM;
	if (b->ncells == b->room) {
		room = b->room ? 2 * b->room : 64;
		cells = reallocarray(b->cells, room, sizeof(*cells));
		if (!cells) {
			free(cell.runs);
			return -ENOMEM;
		}
		b->cells = cells;
		b->room = room;
	}
	b->cells[b->ncells++] = cell;
	return 0;
}

static int add_bounds(struct bench *b, struct bench_cell cell)
{
	int rc = 0;

	for (unsigned int n = bench_next_count(0, b->machine.cores); !rc && n;
	     n = bench_next_count(n, b->machine.cores)) {
		cell.workers = n;
		rc = add(b, cell);
	}
	return rc;
}

static int add_contenders(struct bench *b, struct bench_cell cell)
{
	int rc = 0;

	for (unsigned int who = 0; !rc && who < BENCH_WHO_COUNT; who++) {
		if (!wanted(b, who))
			continue;
		cell.who = who;
		rc = bench_is_bound(who) ? add_bounds(b, cell) : add(b, cell);
	}
	return rc;
}

static int add_watched(struct bench *b, struct bench_cell cell)
{
	int rc = 0;

	cell.section = BENCH_WATCHED;
	for (unsigned int i = 0; !rc && i < BENCH_WATCH_COUNT; i++) {
		cell.watch = i;
		if (b->opt.watched & 1u << i && wanted(b, BENCH_OURS))
			rc = add(b, cell);
	}
	return rc;
}

static int add_main(struct bench *b)
{
	int rc = 0;

	for (unsigned int s = 0; !rc && s < SOURCE_COUNT; s++) {
		struct bench_cell cell = { .source = s, .stream = &b->streams[0] };

		if (!(b->opt.sources & 1u << s))
			continue;
		rc = add_contenders(b, cell);
		if (!rc)
			rc = add_watched(b, cell);
		cell.section = BENCH_WORKERS;
		for (unsigned int i = 0; !rc && i < b->opt.workers.n; i++) {
			cell.workers = (unsigned int)b->opt.workers.v[i];
			rc = wanted(b, BENCH_OURS) ? add(b, cell) : 0;
		}
	}
	return rc;
}

static int add_scale(struct bench *b)
{
	struct bench_cell cell = { .section = BENCH_SCALE };
	int rc = 0;

	while (!(b->opt.sources & 1u << cell.source))
		cell.source++;
	for (unsigned int i = 1; !rc && i < b->nstreams; i++) {
		cell.stream = &b->streams[i];
		if (!cell.stream->types_only) {
			rc = add_contenders(b, cell);
		} else if (wanted(b, BENCH_OURS)) {
			struct bench_cell types = cell;

			types.source = SOURCE_PIPE;
			rc = add(b, types);
		}
	}
	return rc;
}

int bench_plan(struct bench *b)
{
	const struct bench_options *o = &b->opt;
	const unsigned int streams = 1 + o->scale.n + o->scale_types.n;
	int rc;

	b->streams = calloc(streams, sizeof(*b->streams));
	b->timelines = calloc(SOURCE_COUNT, sizeof(*b->timelines));
	if (!b->streams || !b->timelines)
		return -ENOMEM;
	add_stream(b, o->gen.size_bytes, false);
	b->streams[0].generated = !o->stream;
	for (unsigned int i = 0; i < o->scale.n; i++)
		add_stream(b, o->scale.v[i], false);
	for (unsigned int i = 0; i < o->scale_types.n; i++)
		add_stream(b, o->scale_types.v[i], true);
	rc = add_main(b);
	return rc ? rc : add_scale(b);
}

void bench_free(struct bench *b)
{
	for (unsigned int i = 0; i < b->nstreams; i++)
		bench_stream_release(&b->streams[i]);
	for (unsigned int i = 0; i < b->ncells; i++)
		free(b->cells[i].runs);
	for (unsigned int i = 0; i < b->nwarnings; i++)
		free(b->warnings[i]);
	free(b->streams);
	free(b->cells);
	free(b->timelines);
	free(b->program);
	free(b->preload);
	free(b->stock);
	bench_options_free(&b->opt);
}
