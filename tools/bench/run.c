/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of the runs: all cells of one stream take turns, and each round begins with another, so
 * that a drift of the machine hits all alike.
 */
#include "bench/bench.h"
#include "bench/child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_FEW 16384u    /* 64 MiB */
#define SLACK (256ull << 20) /* page tables, queues, the programs */

static uint64_t need_of(const struct bench_stream *s)
{
	const uint64_t guest = s->populated << 12;

	if (s->types_only)
		return SLACK;
	return (guest > s->bytes ? guest : s->bytes) + SLACK;
}

static int warm(const struct bench_stream *s)
{
	bench_touch_memory(need_of(s));
	return s->types_only ? 0 : bench_touch_file(s->fd);
}

static void label(const struct bench_cell *c, char *text, size_t size)
{
	char workers[24] = "";

	if (c->section == BENCH_WATCHED)
		snprintf(workers, sizeof(workers), " --%s", bench_watch_names[c->watch]);
	if (c->workers)
		snprintf(workers, sizeof(workers), " %u %s", c->workers,
			 c->who == BENCH_LIMIT ? "threads" : "workers");
	snprintf(text, size, "%-6s %-4s %8.2f GiB%s%s", bench_who_names[c->who],
		 bench_source_names[c->source],
		 (double)(c->stream->generated ? c->stream->gen.size_bytes : c->stream->bytes) /
			 (1u << 30),
		 c->stream->types_only ? " types only" : "", workers);
}

static int run_cell(struct bench *b, struct bench_cell *c, unsigned int round)
{
	char name[96];
	int rc;

	if (*c->error)
		return 0;
	label(c, name, sizeof(name));
	if (!b->opt.quiet)
		fprintf(stderr, "round %u of %u  %-46s ", round + 1, b->opt.runs, name);
	rc = warm(c->stream);
	if (!rc)
		rc = bench_contend(b, c, NULL, &c->runs[c->done], c->error, sizeof(c->error));
	if (bench_signalled())
		rc = -ECANCELED;
	if (!b->opt.quiet && !rc)
		fprintf(stderr, "%9.3f s\n", c->runs[c->done].seconds);
	else if (!b->opt.quiet)
		fputc('\n', stderr);
	if (rc == -ECANCELED) {
		*c->error = '\0'; /* no fault of the contender's */
		return rc;
	}
	if (rc && !*c->error)
		snprintf(c->error, sizeof(c->error), "%s", strerror(-rc));
	if (rc)
		fprintf(stderr, "xenrestore bench: %s: %s\n", name, c->error);
	c->done += !rc;
	return 0;
}

static int run_rounds(struct bench *b, const struct bench_stream *s)
{
	unsigned int *mine = calloc(b->ncells + 1, sizeof(*mine)), n = 0;
	int rc = mine ? 0 : -ENOMEM;

	for (unsigned int i = 0; mine && i < b->ncells; i++)
		if (b->cells[i].stream == s)
			mine[n++] = i;
	for (unsigned int r = 0; !rc && n && r < b->opt.runs; r++)
		for (unsigned int i = 0; !rc && i < n; i++)
			rc = run_cell(b, &b->cells[mine[(i + r * n / b->opt.runs) % n]], r);
	free(mine);
	return rc;
}

/* Traced runs stand apart: looking costs, and they count for nothing else. */
static int trace(struct bench *b, const struct bench_cell *c)
{
	struct bench_timeline *tl = &b->timelines[c->source];
	struct bench_run run;
	char text[512];
	int rc;

	tl->every_ms = bench_timeline_every(bench_summarise(c).seconds.median);
	if (!b->opt.quiet)
		fprintf(stderr, "timeline      ours  %s\n", bench_source_names[c->source]);
	rc = warm(c->stream);
	if (!rc)
		rc = bench_contend(b, c, tl, &run, text, sizeof(text));
	if (rc)
		tl->n = 0;
	return bench_signalled() ? -ECANCELED : 0;
}

static int trace_all(struct bench *b)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section == BENCH_MAIN && c->who == BENCH_OURS && c->done)
			rc = trace(b, c);
	}
	return rc;
}

static void warn_memory(struct bench *b, const struct bench_stream *s)
{
	const uint64_t need = need_of(s) + s->bytes, have = bench_memory_available();

	if (s->populated && s->populated < FRAMES_FEW)
		bench_warn(b, "the guest has %llu frames: such times are those of the start",
			   (unsigned long long)s->populated);
	if (!s->types_only && have < need)
		bench_warn(b,
			   "%.1f GiB of memory are available, %.1f GiB are needed for a guest and "
			   "its stream of %.2f GiB in the page cache: the disk is measured, too",
			   (double)have / (1u << 30), (double)need / (1u << 30),
			   (double)s->bytes / (1u << 30));
}

/* The cells of a stream that can't be had fail; what was measured before stays. */
static void give_up(struct bench *b, const struct bench_stream *s, int error)
{
	for (unsigned int i = 0; i < b->ncells; i++) {
		struct bench_cell *c = &b->cells[i];

		if (c->stream == s)
			snprintf(c->error, sizeof(c->error), "the stream could not be made: %s",
				 strerror(-error));
	}
}

int bench_run_all(struct bench *b)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < b->nstreams; i++) {
		struct bench_stream *s = &b->streams[i];

		if (!b->opt.quiet)
			fprintf(stderr, "stream %u of %u: %s\n", i + 1, b->nstreams,
				s->types_only  ? "made in each run"
				: s->generated ? "being generated"
					       : b->opt.stream);
		rc = bench_stream_prepare(s, &b->opt);
		if (rc && rc != -ECANCELED && i) {
			give_up(b, s, rc);
			bench_stream_release(s);
			rc = 0;
			continue;
		}
		if (!rc)
			warn_memory(b, s);
		if (!rc)
			rc = run_rounds(b, s);
		if (!rc && !i && !b->opt.no_timeline)
			rc = trace_all(b);
		bench_stream_release(s);
	}
	return rc;
}
