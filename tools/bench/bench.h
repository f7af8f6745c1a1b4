/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a bench is made of: streams, cells (one contender on one source of one stream) and the runs
 * of each cell. Filled by plan.c and run.c, told by report.c, json.c and html.c.
 */
#ifndef XR_BENCH_H
#define XR_BENCH_H

#include "bench/machine.h"
#include "bench/mapped.h"
#include "bench/options.h"
#include "bench/output.h"
#include "bench/source.h"
#include "bench/stats.h"
#include "bench/timeline.h"
#include "cli/options.h"

#include <jansson.h>

/* A stream to be restored. */
struct bench_stream {
	struct xr_gen_options gen;
	bool generated;	 /* gen made it; else it is the file of --stream */
	bool types_only; /* no contents: made anew by a writer process in every run, never stored */
	int fd;		 /* the unlinked temporary file, or the given one; -1 if types_only */
	uint64_t bytes;	 /* in all, layers included; 0 if not known (types_only) */
	uint64_t libxc_offset; /* where the libxc stream begins */
	uint64_t populated;    /* frames that the guest must have; 0: not known yet */
	char digest[65];       /* given: of the guest as the first restorer left it; "" before */
};

struct xr_model;

enum bench_who { BENCH_OURS, BENCH_STOCK, BENCH_MAPPED, BENCH_LIMIT, BENCH_WHO_COUNT };
extern const char *const bench_who_names[BENCH_WHO_COUNT + 1]; /* NULL-terminated */

enum bench_section { BENCH_MAIN, BENCH_WORKERS, BENCH_WATCHED, BENCH_SCALE, BENCH_SECTION_COUNT };
extern const char *const bench_section_names[BENCH_SECTION_COUNT];

/* What ours may be asked to tell of a restore. */
enum bench_watch { BENCH_RECEIPT, BENCH_REPORT, BENCH_TRACE, BENCH_WATCH_COUNT };
extern const char *const bench_watch_names[BENCH_WATCH_COUNT + 1]; /* NULL-terminated */

enum bench_stage { BENCH_STREAM, BENCH_POPULATE, BENCH_COPY, BENCH_STAGE_COUNT };
extern const char *const bench_stage_names[BENCH_STAGE_COUNT];

struct bench_stage_times {
	double busy, starved, blocked; /* seconds; copy: the sum over the workers */
};

enum bench_call {
	BENCH_CALL_POPULATE,
	BENCH_CALL_RELEASE,
	BENCH_CALL_MAP,
	BENCH_CALL_UNMAP,
	BENCH_CALL_OTHER,
	BENCH_CALL_COUNT
};
extern const char *const bench_call_names[BENCH_CALL_COUNT];

struct bench_run {
	double seconds;		/* of the restore, as the contender measured it */
	double process_seconds; /* of its process from fork to end */
	double cpu_seconds;	/* of its process from fork to end, workers included */
	bool has_stages, has_calls, has_mapped;
	struct bench_stage_times stage[BENCH_STAGE_COUNT];
	double calls[BENCH_CALL_COUNT];
	double mapped;			 /* pages */
	double extents;			 /* granted, of any size */
	double part[BENCH_PART_COUNT];	 /* mapped: seconds */
	double touch_fresh, touch_again; /* mapped: seconds a frame */
	double apply, apply_longest;	 /* of checkpoints: seconds on average, at most */
	uint64_t populated;		 /* frames the guest has; 0: not known */
	uint64_t whole_2m;		 /* entries of 2M (a 1G one counts 512) */
	double huge;	      /* of what should lie in huge pages, this share did; < 0: nothing */
	unsigned int workers; /* ours: as it was; mapped: processes; limit: threads */
	char how[48];	      /* ours: "process, io_uring, indexed" */
};

struct bench_cell {
	enum bench_section section;
	enum bench_who who;
	enum bench_source source;
	unsigned int workers;	/* asked for; ours: 0 lets it choose; mapped, limit: how many */
	enum bench_watch watch; /* of the watched section */
	struct bench_stream *stream;
	struct bench_run *runs; /* options.runs of them */
	unsigned int done;
	char error[512]; /* not empty: it failed and was not run again */
};

struct bench {
	struct bench_options opt;
	struct bench_machine machine;
	struct bench_stream *streams;
	unsigned int nstreams;
	struct bench_cell *cells;
	unsigned int ncells, room;
	struct bench_timeline *timelines; /* SOURCE_COUNT of them, of ours */
	char *program, *preload, *stock;  /* paths; the last two NULL: not found */
	char *warnings[24];
	unsigned int nwarnings;
	char date[32]; /* UTC, ISO 8601 */
	struct bench_output json, html;
};

void bench_warn(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* plan.c: list the streams and the cells. 0 or a negative errno. */
int bench_plan(struct bench *b);
void bench_free(struct bench *b);

/* stream.c: what --stream or the generator gives, ready to be run; and let go of. 0 or a negative
 * errno, told on stderr. */
int bench_stream_prepare(struct bench_stream *s, const struct bench_options *opt);
void bench_stream_release(struct bench_stream *s);

/* run.c: run every cell options.runs times, those of one stream in turn; then the timelines. 0 or a
 * negative errno; a cell that fails is noted in it and is no failure of the bench. */
int bench_run_all(struct bench *b);

/* contender.c: one run. 0, or a negative errno with the reason in text. */
int bench_contend(const struct bench *b, const struct bench_cell *cell, struct bench_timeline *tl,
		  struct bench_run *run, char *text, size_t size);
/* verify.c: a restorer that is fast because it does not do the work must not win. m may be NULL:
 * then only the number of frames is known. 0, or a negative errno with the reason in text. */
int bench_verify(const struct bench_cell *c, struct xr_model *m, const struct bench_run *run,
		 char *text, size_t size);
/* The figures in what a contender printed. 0 or -EBADMSG. */
int bench_parse(enum bench_who who, const char *text, struct bench_run *run);

/* summary.c: what follows from the runs. */
struct bench_summary {
	struct bench_stats seconds, gib_per_second; /* of stream bytes; 0 if types_only */
	double process_seconds, cpu_seconds;	    /* medians */
	double cpu_per_gib;			    /* CPU seconds per GiB of stream */
	double ns_per_page, cpu_ns_per_page;	    /* per frame of the guest */
	bool has_stages, has_calls, has_mapped;
	struct bench_stage_times stage[BENCH_STAGE_COUNT]; /* medians */
	double share[BENCH_STAGE_COUNT];		   /* busy, of one thread's time */
	double sender;	      /* of the time, the stream stage waited for bytes */
	const char *limiting; /* a stage's name, "sender", or "" */
	double calls_per_gib[BENCH_CALL_COUNT], all_calls_per_gib, mapped_per_gib; /* of guest */
	double extents_per_gib;
	double apply,
		apply_longest; /* checkpoints: seconds, medians of the rounds' averages, maxima */
	double touch_fresh_ns, touch_again_ns;
	double part_ns[BENCH_PART_COUNT]; /* mapped: per frame of the guest, all workers together */
};
struct bench_summary bench_summarise(const struct bench_cell *cell);

/* By how much a is faster than b: statistics of the ratios of their rates, round by round. */
struct bench_stats bench_ratio(const struct bench_cell *a, const struct bench_cell *b);
/* Of the CPU times, a to b. */
struct bench_stats bench_cpu_ratio(const struct bench_cell *a, const struct bench_cell *b);
typedef struct bench_stats (*bench_ratio_of)(const struct bench_cell *a,
					     const struct bench_cell *b);

/* No restorer: a bound that restores are held against, tried with 1..cores workers. */
bool bench_is_bound(enum bench_who who);

/* The next number of workers that a bound is tried with: every one up to 16, then doubled, and as
 * many as there are cores (64 at most). 0: that was the last. */
unsigned int bench_next_count(unsigned int count, unsigned int cores);

/* Of the cell's runs, those that got small pages where large ones were due. */
unsigned int bench_small_runs(const struct bench_cell *c);

/* The cell of the main section: for a bound the one with the best median. NULL: none has runs. */
const struct bench_cell *bench_find(const struct bench *b, enum bench_who who,
				    enum bench_source source);
/* Likewise in the scale section. */
const struct bench_cell *bench_find_scale(const struct bench *b, enum bench_who who,
					  const struct bench_stream *stream);

void bench_report(FILE *to, const struct bench *b);
json_t *bench_json(const struct bench *b); /* NULL: no memory */
int bench_html(FILE *to, const json_t *j); /* 0 or a negative errno */

/* The program's `bench` command. */
int bench_run_command(int argc, char **argv);
extern const struct xr_command xr_command_bench;

#endif
