/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bench's result as JSON. Times are seconds, sizes bytes, rates GiB (2^30) of stream a second;
 * per_gib figures are per GiB of the guest, but cpu_seconds_per_gib, which is per GiB of stream.
 */
#include "bench/bench.h"
#include "xenrestore.h"

#define set(object, key, value) json_object_set_new(object, key, value)

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *machine_json(const struct bench *b)
{
	const struct bench_machine *m = &b->machine;
	json_t *j = json_object();

	set(j, "cpu", json_string(m->cpu));
	set(j, "kernel", json_string(m->kernel));
	set(j, "cores", count(m->cores));
	set(j, "memory", count(m->memory));
	set(j, "memory_available", count(m->available));
	set(j, "load", json_real(m->load));
	set(j, "virtual_machine", json_string(m->hypervisor));
	set(j, "thp", json_string(m->thp));
	set(j, "shmem_thp", json_string(m->shmem_thp));
	set(j, "model_huge_pages", json_boolean(m->model_huge));
	return j;
}

static json_t *stream_json(const struct bench *b, const struct bench_stream *s)
{
	json_t *j = json_object();

	set(j, "bytes", count(s->bytes));
	set(j, "populated_pages", count(s->populated));
	set(j, "types_only", json_boolean(s->types_only));
	if (!s->generated) {
		set(j, "file", json_string(b->opt.stream));
		set(j, "sha256", *s->digest ? json_string(s->digest) : json_null());
		return j;
	}
	set(j, "size", count(s->gen.size_bytes));
	set(j, "seed", count(s->gen.seed));
	set(j, "holes_permille", count(s->gen.holes_permille));
	set(j, "hole_run", count(s->gen.hole_run));
	set(j, "zero_permille", count(s->gen.zero_permille));
	set(j, "passes", count(s->gen.passes));
	set(j, "dirty_permille", count(s->gen.dirty_permille));
	set(j, "batch", count(s->gen.batch));
	set(j, "stream_version", count(s->gen.version));
	set(j, "balloon_out_permille", count(s->gen.balloon_out_permille));
	set(j, "balloon_in_permille", count(s->gen.balloon_in_permille));
	set(j, "checkpoints", count(s->gen.checkpoints));
	set(j, "lists_to_4g", json_boolean(!s->gen.compact));
	return j;
}

static json_t *stats_json(const struct bench_stats *s)
{
	return json_pack("{s:I,s:f,s:f,s:f,s:f,s:f}", "n", (json_int_t)s->n, "min", s->min, "q1",
			 s->q1, "median", s->median, "q3", s->q3, "max", s->max);
}

static json_t *stages_json(const struct bench_summary *s)
{
	json_t *j = json_object();

	for (unsigned int i = 0; i < BENCH_STAGE_COUNT; i++)
		set(j, bench_stage_names[i],
		    json_pack("{s:f,s:f,s:f,s:f}", "busy", s->stage[i].busy, "starved",
			      s->stage[i].starved, "blocked", s->stage[i].blocked, "busy_share",
			      s->share[i]));
	return j;
}

static json_t *calls_json(const struct bench_summary *s)
{
	json_t *j = json_object();

	for (unsigned int i = 0; i < BENCH_CALL_COUNT; i++)
		set(j, bench_call_names[i], json_real(s->calls_per_gib[i]));
	set(j, "all", json_real(s->all_calls_per_gib));
	return j;
}

static json_t *run_json(const struct bench_run *r)
{
	json_t *j = json_object();

	set(j, "seconds", json_real(r->seconds));
	set(j, "process_seconds", json_real(r->process_seconds));
	set(j, "cpu_seconds", json_real(r->cpu_seconds));
	set(j, "huge_share", r->huge < 0 ? json_null() : json_real(r->huge));
	return j;
}

static json_t *runs_json(const struct bench_cell *c)
{
	json_t *j = json_array();

	for (unsigned int i = 0; i < c->done; i++)
		json_array_append_new(j, run_json(&c->runs[i]));
	return j;
}

static json_t *parts_json(const struct bench_summary *s)
{
	json_t *j = json_object();

	for (unsigned int i = 0; i < BENCH_PART_COUNT; i++)
		set(j, bench_part_names[i], json_real(s->part_ns[i]));
	set(j, "touch_fresh", json_real(s->touch_fresh_ns));
	set(j, "touch_again", json_real(s->touch_again_ns));
	return j;
}

static void add_figures(json_t *j, const struct bench_cell *c)
{
	const struct bench_summary s = bench_summarise(c);

	set(j, "seconds", stats_json(&s.seconds));
	if (s.gib_per_second.n) {
		set(j, "gib_per_second", stats_json(&s.gib_per_second));
		set(j, "cpu_seconds_per_gib", json_real(s.cpu_per_gib));
	}
	set(j, "process_seconds", json_real(s.process_seconds));
	set(j, "cpu_seconds", json_real(s.cpu_seconds));
	set(j, "ns_per_page", json_real(s.ns_per_page));
	set(j, "cpu_ns_per_page", json_real(s.cpu_ns_per_page));
	set(j, "used", count(c->runs[0].workers));
	if (c->who == BENCH_OURS)
		set(j, "how", json_string(c->runs[0].how));
	set(j, "runs_with_small_pages", count(bench_small_runs(c)));
	if (s.has_stages) {
		set(j, "stages", stages_json(&s));
		set(j, "limiting", json_string(s.limiting));
		set(j, "sender_share", json_real(s.sender));
	}
	if (s.has_calls) {
		set(j, "calls_per_gib", calls_json(&s));
		set(j, "whole_2m", count(c->runs[0].whole_2m));
	}
	if (s.has_calls && s.has_mapped)
		set(j, "extents_per_gib", json_real(s.extents_per_gib));
	if (s.has_mapped)
		set(j, "pages_mapped_per_gib", json_real(s.mapped_per_gib));
	if (s.apply > 0)
		set(j, "checkpoint_apply_seconds",
		    json_pack("{s:f,s:f}", "average", s.apply, "longest", s.apply_longest));
	if (c->who == BENCH_MAPPED)
		set(j, "parts_ns_per_page", parts_json(&s));
}

static json_t *cell_json(const struct bench *b, const struct bench_cell *c)
{
	json_t *j = json_object();

	set(j, "section", json_string(bench_section_names[c->section]));
	set(j, "who", json_string(bench_who_names[c->who]));
	set(j, "source", json_string(bench_source_names[c->source]));
	set(j, "stream", count((uint64_t)(c->stream - b->streams)));
	set(j, "workers", count(c->workers));
	if (c->section == BENCH_WATCHED)
		set(j, "watched", json_string(bench_watch_names[c->watch]));
	if (c->done)
		add_figures(j, c);
	set(j, "runs", runs_json(c));
	if (*c->error)
		set(j, "error", json_string(c->error));
	return j;
}

static void add_ratio(json_t *j, const char *key, bench_ratio_of of, const struct bench_cell *a,
		      const struct bench_cell *b)
{
	struct bench_stats s;

	if (!a || !b)
		return;
	s = of(a, b);
	set(j, key, stats_json(&s));
}

static json_t *ratios_json(const struct bench *b)
{
	json_t *all = json_object();

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		const struct bench_cell *ours = bench_find(b, BENCH_OURS, s),
					*stock = bench_find(b, BENCH_STOCK, s),
					*limit = bench_find(b, BENCH_LIMIT, s);
		json_t *j = json_object();

		add_ratio(j, "ours_to_stock", bench_ratio, ours, stock);
		add_ratio(j, "ours_to_mapped", bench_ratio, ours, bench_find(b, BENCH_MAPPED, s));
		add_ratio(j, "ours_to_limit", bench_ratio, ours, limit);
		add_ratio(j, "cpu_ours_to_stock", bench_cpu_ratio, ours, stock);
		if (limit)
			set(j, "limit_threads", count(limit->workers));
		if (json_object_size(j))
			set(all, bench_source_names[s], j);
		else
			json_decref(j);
	}
	return all;
}

static json_t *timeline_json(const struct bench_timeline *t)
{
	json_t *points = json_array(), *lanes = json_array();

	for (unsigned int i = 0; i < LANE_COUNT; i++)
		json_array_append_new(lanes, json_string(bench_lane_names[i]));
	for (unsigned int i = 0; i < t->n; i++) {
		json_t *p = json_array();

		json_array_append_new(p, json_real(t->points[i].seconds));
		for (unsigned int k = 0; k < LANE_COUNT; k++)
			json_array_append_new(p, json_real((double)t->points[i].busy[k]));
		json_array_append_new(points, p);
	}
	return json_pack("{s:o,s:o,s:b}", "lanes", lanes, "points", points, "cut", t->skipped > 0);
}

static json_t *timelines_json(const struct bench *b)
{
	json_t *j = json_object();

	for (unsigned int s = 0; s < SOURCE_COUNT; s++)
		if (b->timelines[s].n)
			set(j, bench_source_names[s], timeline_json(&b->timelines[s]));
	return j;
}

json_t *bench_json(const struct bench *b)
{
	json_t *j = json_object(), *streams = json_array(), *cells = json_array(),
	       *warnings = json_array(), *pass = json_array();

	for (unsigned int i = 0; i < b->nstreams; i++)
		json_array_append_new(streams, stream_json(b, &b->streams[i]));
	for (unsigned int i = 0; i < b->ncells; i++)
		json_array_append_new(cells, cell_json(b, &b->cells[i]));
	for (unsigned int i = 0; i < b->nwarnings; i++)
		json_array_append_new(warnings, json_string(b->warnings[i]));
	for (unsigned int i = 0; i < b->opt.npass; i++)
		json_array_append_new(pass, json_string(b->opt.pass[i]));
	set(j, "format", count(1));
	set(j, "version", json_string(xr_version()));
	set(j, "date", json_string(b->date));
	set(j, "rounds", count(b->opt.runs));
	set(j, "pipe_bytes", count(b->opt.pipe_bytes ? b->opt.pipe_bytes : 65536));
	set(j, "options", pass);
	set(j, "machine", machine_json(b));
	set(j, "streams", streams);
	set(j, "cells", cells);
	set(j, "ratios", ratios_json(b));
	set(j, "timelines", timelines_json(b));
	if (set(j, "warnings", warnings)) {
		json_decref(j);
		return NULL;
	}
	return j;
}
