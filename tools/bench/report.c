/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bench's result for a terminal of 100 columns. */
#include "bench/bench.h"

#include <string.h>

#define GIB ((double)(1u << 30))

static double guest_gib(const struct bench_stream *s)
{
	return s->types_only ? (double)s->gen.size_bytes / GIB : (double)(s->populated << 12) / GIB;
}

static void print_head(FILE *to, const struct bench *b)
{
	const struct bench_machine *m = &b->machine;
	const struct bench_stream *s = &b->streams[0];

	fprintf(to, "machine   %.60s, %u cores, %.1f GiB, %s\n", *m->cpu ? m->cpu : "unknown CPU",
		m->cores, (double)m->memory / GIB, m->kernel);
	fprintf(to, "          virtual machine: %s; huge pages: %s (thp %s, shmem %s); load %.2f\n",
		*m->hypervisor ? m->hypervisor : "unknown", m->model_huge ? "yes" : "no",
		*m->thp ? m->thp : "-", *m->shmem_thp ? m->shmem_thp : "-", m->load);
	if (b->opt.stream)
		fprintf(to, "stream    %s", b->opt.stream);
	else
		fprintf(to,
			"stream    generated, seed %llu, %u pass%s, permille: holes %u in runs of %u, "
			"dirty %u, zero %u",
			(unsigned long long)s->gen.seed, s->gen.passes,
			s->gen.passes == 1 ? "" : "es", s->gen.holes_permille, s->gen.hole_run,
			s->gen.dirty_permille, s->gen.zero_permille);
	fprintf(to, ": %.3f GiB for a guest of %.3f GiB\n", (double)s->bytes / GIB, guest_gib(s));
	fprintf(to,
		"method    %u rounds in turn; median [quartiles]; GiB of stream a second; pipe %u KiB\n\n",
		b->opt.runs, b->opt.pipe_bytes ? b->opt.pipe_bytes >> 10 : 64);
}

static void print_rate(FILE *to, const char *source, const char *who, unsigned int workers,
		       const struct bench_cell *c)
{
	const struct bench_summary s = bench_summarise(c);
	char n[16] = "";

	if (workers)
		snprintf(n, sizeof(n), "%u", workers);
	if (!c->done && !*c->error)
		return; /* stopped before its turn */
	if (!c->done) {
		fprintf(to, "  %-6s %-6s %3s  failed: %.70s\n", source, who, n, c->error);
		return;
	}
	fprintf(to, "  %-6s %-6s %3s %8.3f [%7.3f %7.3f] %9.3f [%8.3f %8.3f] %9.2f\n", source, who,
		n, s.gib_per_second.median, s.gib_per_second.q1, s.gib_per_second.q3,
		s.seconds.median, s.seconds.q1, s.seconds.q3, s.cpu_per_gib);
	if (*c->error)
		fprintf(to, "         after %u runs: %.80s\n", c->done, c->error);
}

static void print_failed(FILE *to, const struct bench *b, enum bench_who who,
			 enum bench_source source)
{
	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section == BENCH_MAIN && c->who == who && c->source == source && !c->done &&
		    *c->error)
			print_rate(to, bench_source_names[source], bench_who_names[who], 0, c);
	}
}

static void print_rates(FILE *to, const struct bench *b)
{
	fprintf(to, "throughput    n      GiB/s [quartiles]             seconds [quartiles]"
		    "          CPU s/GiB\n");
	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		for (unsigned int w = 0; w < BENCH_WHO_COUNT; w++) {
			const struct bench_cell *c = bench_find(b, w, s);

			if (c)
				print_rate(to, bench_source_names[s], bench_who_names[w],
					   c->runs[0].workers, c);
			else
				print_failed(to, b, w, s);
		}
	}
	fprintf(to,
		"  n: workers of ours; of the bounds, the best of 1..%u%s\n"
		"  mapped: every frame is populated, mapped as foreign memory and written, once\n"
		"  limit: the bytes are moved into memory in the largest pages\n",
		b->machine.cores, b->machine.cores > 16 ? " (beyond 16: doubled each time)" : "");
}

static void print_ratio(FILE *to, bench_ratio_of of, const struct bench_cell *a,
			const struct bench_cell *b)
{
	struct bench_stats r;

	if (!b) {
		fprintf(to, "  %22s", "-");
		return;
	}
	r = of(a, b);
	fprintf(to, "  %6.2f [%6.2f %6.2f]", r.median, r.q1, r.q3);
}

static void print_ratios(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		const struct bench_cell *ours = bench_find(b, BENCH_OURS, s),
					*stock = bench_find(b, BENCH_STOCK, s),
					*mapped = bench_find(b, BENCH_MAPPED, s),
					*limit = bench_find(b, BENCH_LIMIT, s);

		if (!ours || (!stock && !mapped && !limit))
			continue;
		if (!any)
			fprintf(to, "\nratios    ours : stock            ours : mapped           "
				    "ours : limit    (of the rates, by round)\n");
		any = true;
		fprintf(to, "  %-6s", bench_source_names[s]);
		print_ratio(to, bench_ratio, ours, stock);
		print_ratio(to, bench_ratio, ours, mapped);
		print_ratio(to, bench_ratio, ours, limit);
		fputc('\n', to);
	}
}

/* The bound of CPU time: more processes take more of it. */
static const struct bench_cell *find_mapped_by_one(const struct bench *b, enum bench_source source)
{
	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section == BENCH_MAIN && c->who == BENCH_MAPPED && c->source == source &&
		    c->workers == 1 && c->done)
			return c;
	}
	return NULL;
}

static void print_cpu_ratios(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		const struct bench_cell *ours = bench_find(b, BENCH_OURS, s),
					*stock = bench_find(b, BENCH_STOCK, s),
					*one = find_mapped_by_one(b, s);

		if (!ours || !stock)
			continue;
		if (!any)
			fprintf(to, "\nCPU time  ours : stock            "
				    "mapped, by one : stock                         (by round)\n");
		any = true;
		fprintf(to, "  %-6s", bench_source_names[s]);
		print_ratio(to, bench_cpu_ratio, ours, stock);
		if (one)
			print_ratio(to, bench_cpu_ratio, one, stock);
		fputc('\n', to);
	}
}

/* What no restore through foreign mappings can do without here, and which part of it is largest. */
static void print_bound(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		const struct bench_cell *c = bench_find(b, BENCH_MAPPED, s),
					*stock = bench_find(b, BENCH_STOCK, s);
		struct bench_summary sum;
		unsigned int top = 0;

		if (!c)
			continue;
		sum = bench_summarise(c);
		if (!any)
			fprintf(to, "\nmapped, us for each frame, of all its processes together\n");
		any = true;
		fprintf(to, "  %-6s", bench_source_names[s]);
		for (unsigned int i = 0; i < BENCH_PART_COUNT; i++) {
			fprintf(to, " %s %.2f", bench_part_names[i], sum.part_ns[i] / 1e3);
			if (sum.part_ns[i] > sum.part_ns[top])
				top = i;
		}
		fprintf(to, "  bound by: %s", bench_part_names[top]);
		if (stock)
			fprintf(to, "; %.2f of stock's time", bench_ratio(stock, c).median);
		fprintf(to,
			"\n         a frame written long ago: touch %.2f through a fresh mapping,"
			" %.2f through that again\n",
			sum.touch_fresh_ns / 1e3, sum.touch_again_ns / 1e3);
	}
}

/* The best in time is not the best in CPU time. */
static void print_bound_workers(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section != BENCH_MAIN || c->who != BENCH_MAPPED || !c->done)
			continue;
		if (!any)
			fprintf(to, "\nmapped, by its workers\n");
		any = true;
		print_rate(to, bench_source_names[c->source], "mapped", c->workers, c);
	}
}

static void print_stages(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		const struct bench_cell *c = bench_find(b, BENCH_OURS, s);
		struct bench_summary sum;

		if (!c || !(sum = bench_summarise(c)).has_stages)
			continue;
		if (!any)
			fprintf(to, "\nstages of ours, seconds busy/starved/blocked"
				    " (copy: all workers together)\n");
		any = true;
		fprintf(to, "  %-5s", bench_source_names[s]);
		for (unsigned int i = 0; i < BENCH_STAGE_COUNT; i++)
			fprintf(to, " %s %.2f/%.2f/%.2f", bench_stage_names[i], sum.stage[i].busy,
				sum.stage[i].starved, sum.stage[i].blocked);
		fprintf(to, "  limit: %s\n", sum.limiting);
	}
}

static void print_calls(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < 2 * SOURCE_COUNT; i++) {
		const struct bench_cell *c = bench_find(b, i % 2 ? BENCH_STOCK : BENCH_OURS, i / 2);
		struct bench_summary s;

		if (!c || !(s = bench_summarise(c)).has_calls)
			continue;
		if (!any)
			fprintf(to, "\ncalls per GiB of guest   populate  release      map    unmap"
				    "    other     pages mapped    extents   2M pages\n");
		any = true;
		fprintf(to, "  %-6s %-6s        ", bench_source_names[i / 2],
			bench_who_names[i % 2]);
		for (unsigned int k = 0; k < BENCH_CALL_COUNT; k++)
			fprintf(to, " %8.0f", s.calls_per_gib[k]);
		if (s.has_mapped)
			fprintf(to, " %16.0f %10.0f", s.mapped_per_gib, s.extents_per_gib);
		else
			fprintf(to, " %16s %10s", "-", "-");
		fprintf(to, " %10.0f\n", (double)c->runs[0].whole_2m / guest_gib(c->stream));
	}
}

static void print_checkpoints(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < 2 * SOURCE_COUNT; i++) {
		const struct bench_cell *c = bench_find(b, i % 2 ? BENCH_STOCK : BENCH_OURS, i / 2);
		struct bench_summary s;

		if (!c || (s = bench_summarise(c)).apply <= 0)
			continue;
		if (!any)
			fprintf(to, "\ncheckpoints, from good to applied, of all but the first: "
				    "ms on average, at most\n");
		any = true;
		fprintf(to, "  %-6s %-6s %12.3f %9.3f\n", bench_source_names[i / 2],
			bench_who_names[i % 2], s.apply * 1e3, s.apply_longest * 1e3);
	}
}

static void print_workers(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section != BENCH_WORKERS)
			continue;
		if (!any)
			fprintf(to, "\nworkers       n      GiB/s [quartiles]             seconds"
				    " [quartiles]          CPU s/GiB\n");
		any = true;
		print_rate(to, bench_source_names[c->source], "ours", c->workers, c);
	}
}

/* What it costs to be told: the time of the same round's run that tells nothing is 1. */
static void print_watched(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i], *plain;
		struct bench_stats r;

		if (c->section != BENCH_WATCHED)
			continue;
		plain = bench_find(b, BENCH_OURS, c->source);
		if (!any)
			fprintf(to, "\nours with     its time [quartiles]     CPU time"
				    "     (of a restore that tells nothing: 1)\n");
		any = true;
		fprintf(to, "  %-6s --%-8s", bench_source_names[c->source],
			bench_watch_names[c->watch]);
		if (!c->done || !plain) {
			fprintf(to, " failed: %.60s\n", c->error);
			continue;
		}
		r = bench_ratio(plain, c);
		fprintf(to, " %5.2f [%5.2f %5.2f] %10.2f\n", r.median, r.q1, r.q3,
			bench_summarise(c).cpu_seconds / bench_summarise(plain).cpu_seconds);
	}
}

static void print_size(FILE *to, const struct bench_stream *st, const struct bench_cell *c)
{
	const struct bench_summary s = bench_summarise(c);

	fprintf(to, "  %10.2f %-6s %-6s %9.3f [%8.3f %8.3f]", guest_gib(st),
		bench_source_names[c->source], bench_who_names[c->who], s.seconds.median,
		s.seconds.q1, s.seconds.q3);
	if (s.gib_per_second.n)
		fprintf(to, " %8.3f", s.gib_per_second.median);
	else
		fprintf(to, " %8s", "-");
	fprintf(to, " %9.1f %11.1f%s\n", s.ns_per_page, s.cpu_ns_per_page,
		st->types_only ? "  types only" : "");
}

static void print_scale(FILE *to, const struct bench *b)
{
	bool any = false;

	for (unsigned int i = 0; i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];

		if (c->section != BENCH_SCALE)
			continue;
		if (!any)
			fprintf(to, "\nguest GiB    source who      seconds [quartiles]            "
				    "GiB/s   ns/page  CPU ns/page\n");
		any = true;
		if (!c->done && *c->error)
			fprintf(to, "  %10.2f %-6s %-6s failed: %.60s\n", guest_gib(c->stream),
				bench_source_names[c->source], bench_who_names[c->who], c->error);
		else if (c == bench_find_scale(b, c->who, c->stream))
			print_size(to, c->stream, c);
	}
	if (b->opt.scale_types.n)
		fprintf(to, "  types only: a guest without contents, accounted, not backed\n");
}

void bench_report(FILE *to, const struct bench *b)
{
	print_head(to, b);
	print_rates(to, b);
	print_ratios(to, b);
	print_cpu_ratios(to, b);
	print_bound(to, b);
	print_bound_workers(to, b);
	print_stages(to, b);
	print_calls(to, b);
	print_checkpoints(to, b);
	print_workers(to, b);
	print_watched(to, b);
	print_scale(to, b);
	for (unsigned int i = 0; i < b->nwarnings; i++)
		fprintf(to, "%swarning: %s\n", i ? "" : "\n", b->warnings[i]);
}
