/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of one contender: its process and its figures. */
#include "bench/bench.h"
#include "bench/child.h"
#include "bench/limit.h"
#include "bench/mapped.h"

#include "host/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define ARGS_MAX (16 + BENCH_PASS_MAX)
#define MAX_PAGES_LEAST ((uint64_t)1 << 26)
#define HUGE_ENOUGH 0.95
#define COUNTS_ALL 16u
#define COUNTS_MAX 64u

const char *const bench_who_names[BENCH_WHO_COUNT + 1] = { "ours", "stock", "mapped", "limit" };

bool bench_is_bound(enum bench_who who)
{
	return who == BENCH_MAPPED || who == BENCH_LIMIT;
}

unsigned int bench_next_count(unsigned int count, unsigned int cores)
{
	const unsigned int most = cores < COUNTS_MAX ? cores : COUNTS_MAX;
	const unsigned int next = count < COUNTS_ALL ? count + 1 : 2 * count;

	if (count >= most)
		return 0;
	return next < most ? next : most;
}

unsigned int bench_small_runs(const struct bench_cell *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->done; i++)
		n += c->runs[i].huge >= 0 && c->runs[i].huge < HUGE_ENOUGH;
	return n;
}

struct attempt {
	const struct bench *b;
	const struct bench_cell *cell;
	struct xr_model *model; /* NULL: none outside of the contender's process */
	char number[3][32];
	char *args[ARGS_MAX];
	char preload_env[4096], model_env[32];
	char *env[3];
};

struct bound_arg {
	uint64_t bytes, frames;
	unsigned int workers;
	struct xr_model *model;
};

static int told(int rc)
{
	if (rc)
		fprintf(stderr, "%s\n", strerror(-rc));
	return rc ? 1 : 0;
}

static int limit_body(void *arg, FILE *out)
{
	const struct bound_arg *l = arg;
	struct bench_limit r;
	int rc = bench_limit_run(0, l->bytes, l->workers, &r);

	if (!rc)
		fprintf(out, "{\"seconds\": %.9f, \"cpu_seconds\": %.9f, \"huge\": %.4f}\n",
			r.seconds, r.cpu_seconds, r.huge);
	return told(rc);
}

static int mapped_body(void *arg, FILE *out)
{
	const struct bound_arg *l = arg;
	struct bench_mapped m;
	int rc = bench_mapped_run(0, l->bytes, l->frames, l->workers, l->model, &m);

	if (!rc)
		fprintf(out, "{\"seconds\": %.9f", m.seconds);
	for (unsigned int i = 0; !rc && i < BENCH_PART_COUNT; i++)
		fprintf(out, ", \"%s\": %.9f", bench_part_names[i], m.part[i]);
	if (!rc)
		fprintf(out, ", \"touch_fresh\": %.9f, \"touch_again\": %.9f}\n", m.touch_fresh,
			m.touch_again);
	return told(rc);
}

static int generate_body(int fd, void *arg)
{
	return xr_generate(fd, arg, NULL);
}

static void ours_args(struct attempt *a)
{
	const struct bench_options *o = &a->b->opt;
	char **arg = a->args;

	*arg++ = a->b->program;
	*arg++ = (char *)"restore";
	*arg++ = (char *)"--json";
	*arg++ = (char *)"--quiet";
	*arg++ = (char *)"--fd=0";
	if (a->model) {
		*arg++ = (char *)"--host=xen";
		*arg++ = (char *)"--domid=1";
	} else {
		*arg++ = (char *)"--host=model";
	}
	if (a->cell->stream->types_only)
		*arg++ = (char *)"--without-memory";
	if (a->cell->stream->gen.checkpoints)
		*arg++ = (char *)"--type=remus";
	if (a->cell->workers) {
		snprintf(a->number[0], sizeof(a->number[0]), "--workers=%u", a->cell->workers);
		*arg++ = a->number[0];
	}
	if (a->cell->section == BENCH_WATCHED) {
		snprintf(a->number[1], sizeof(a->number[1]), "--%s=/dev/null",
			 bench_watch_names[a->cell->watch]);
		*arg++ = a->number[1];
	}
	for (unsigned int i = 0; i < o->npass; i++)
		*arg++ = o->pass[i];
	*arg = NULL;
}

static void stock_args(struct attempt *a)
{
	char **arg = a->args;

	snprintf(a->number[0], sizeof(a->number[0]), "-s%llu",
		 (unsigned long long)a->cell->stream->libxc_offset);
	*arg++ = a->b->stock;
	*arg++ = (char *)"-n";
	*arg++ = (char *)"-d1";
	*arg++ = a->number[0];
	if (a->cell->stream->gen.checkpoints)
		*arg++ = (char *)"-r";
	*arg++ = (char *)"-";
	*arg = NULL;
}

/* A fresh guest, outside of the contender's process: making and freeing it is nobody's time. */
static int make_model(struct attempt *a)
{
	const enum bench_who who = a->cell->who;
	struct xr_model_settings set;
	int rc;

	if (who == BENCH_LIMIT || a->cell->stream->types_only ||
	    (!bench_is_bound(who) && !a->b->preload))
		return 0;
	xr_model_settings_default(&set);
	set.max_pages = a->cell->stream->gen.size_bytes >> 11;
	if (set.max_pages < MAX_PAGES_LEAST)
		set.max_pages = MAX_PAGES_LEAST;
	rc = xr_model_create(&a->model, &set);
	if (rc || bench_is_bound(who))
		return rc;
	rc = xr_model_share(a->model);
	if (rc < 0)
		return rc;
	snprintf(a->model_env, sizeof(a->model_env), "XR_MODEL_FD=%d", rc);
	snprintf(a->preload_env, sizeof(a->preload_env), "LD_PRELOAD=%s", a->b->preload);
	a->env[0] = a->model_env;
	a->env[1] = a->preload_env;
	return 0;
}

static double real_of(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

static uint64_t count_of(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static void parse_stages(const json_t *stages, struct bench_run *run)
{
	run->has_stages = json_is_object(stages);
	for (unsigned int i = 0; run->has_stages && i < BENCH_STAGE_COUNT; i++) {
		const json_t *s = json_object_get(stages, bench_stage_names[i]);

		run->stage[i].busy = real_of(s, "busy_seconds");
		run->stage[i].starved = real_of(s, "starved_seconds");
		run->stage[i].blocked = real_of(s, "blocked_seconds");
	}
}

static void parse_ours(const json_t *j, struct bench_run *run)
{
	const json_t *pages = json_object_get(j, "pages"), *calls = json_object_get(j, "calls");
	const char *kind = json_string_value(json_object_get(j, "worker_kind"));

	run->populated = count_of(pages, "populated");
	run->whole_2m = count_of(pages, "extents_2m") + 512 * count_of(pages, "extents_1g");
	run->workers = (unsigned int)count_of(j, "workers");
	run->has_calls = json_is_object(calls);
	for (unsigned int i = 0; i < BENCH_CALL_COUNT; i++)
		run->calls[i] = real_of(calls, bench_call_names[i]);
	parse_stages(json_object_get(j, "stages"), run);
	snprintf(run->how, sizeof(run->how), "%s, %s%s", kind ? kind : "?",
		 json_is_true(json_object_get(j, "io_uring")) ? "io_uring" : "plain reads",
		 json_is_true(json_object_get(j, "indexed")) ? ", indexed" : "");
}

static void parse_checkpoints(const json_t *j, struct bench_run *run)
{
	const double applied = real_of(j, "checkpoints") - 1;

	if (applied > 0)
		run->apply = real_of(j, "apply_seconds") / applied;
	run->apply_longest = real_of(j, "apply_seconds_longest");
}

int bench_parse(enum bench_who who, const char *text, struct bench_run *run)
{
	json_t *j = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	int rc = -EBADMSG;

	run->seconds = real_of(j, "seconds");
	if (run->seconds > 0) {
		rc = 0;
		if (who == BENCH_OURS)
			parse_ours(j, run);
		if (!bench_is_bound(who))
			parse_checkpoints(j, run);
		if (who == BENCH_LIMIT) {
			run->huge = real_of(j, "huge");
			run->cpu_seconds = real_of(j, "cpu_seconds");
		}
		for (unsigned int i = 0; who == BENCH_MAPPED && i < BENCH_PART_COUNT; i++)
			run->part[i] = real_of(j, bench_part_names[i]);
		run->touch_fresh = real_of(j, "touch_fresh");
		run->touch_again = real_of(j, "touch_again");
	}
	json_decref(j);
	return rc;
}

static void count(struct xr_model *m, struct bench_run *run)
{
	struct xr_model_stats st;
	double all = 0;

	xr_model_stats(m, &st);
	for (unsigned int i = 0; i < XR_CALL_COUNT; i++)
		if (i != XR_CALL_MAPPER)
			all += (double)st.calls[i];
	run->has_calls = run->has_mapped = true;
	run->calls[BENCH_CALL_POPULATE] = (double)st.calls[XR_CALL_POPULATE];
	run->calls[BENCH_CALL_RELEASE] = (double)st.calls[XR_CALL_RELEASE];
	run->calls[BENCH_CALL_MAP] = (double)st.calls[XR_CALL_MAP];
	run->calls[BENCH_CALL_UNMAP] = (double)st.calls[XR_CALL_UNMAP];
	run->calls[BENCH_CALL_OTHER] = 0;
	for (unsigned int i = 0; i < BENCH_CALL_OTHER; i++)
		all -= run->calls[i];
	run->calls[BENCH_CALL_OTHER] = all;
	run->mapped = (double)st.pages_mapped;
	for (unsigned int i = 0; i < sizeof(st.extents_populated) / sizeof(uint64_t); i++)
		run->extents += (double)st.extents_populated[i];
	run->populated = st.tot_pages;
	run->whole_2m = st.whole_2m + 512 * st.whole_1g;
	if (run->whole_2m)
		run->huge = (double)xr_model_huge_frames(m) / (double)(run->whole_2m << 9);
}

/* What the contender said last, for people. */
static void explain(const struct bench_outcome *o, char *text, size_t size)
{
	char how[64];
	const char *last = o->err;
	size_t n = strlen(last);

	bench_outcome_say(o, how, sizeof(how));
	while (n && o->err[n - 1] == '\n')
		o->err[--n] = '\0';
	last = strrchr(o->err, '\n');
	last = last ? last + 1 : o->err;
	snprintf(text, size, "%s%s%.400s", how, *last ? ": " : "", last);
}

static int execute(struct attempt *a, int fd, struct bench_timeline *tl, struct bench_run *run,
		   char *text, size_t size)
{
	const struct bench_stream *s = a->cell->stream;
	struct bound_arg bound = { s->bytes, s->populated ? s->populated : s->bytes >> 12,
				   a->cell->workers, a->model };
	struct bench_job job = {
		.argv = a->args[0] ? a->args : NULL,
		.body = a->cell->who == BENCH_MAPPED ? mapped_body : limit_body,
		.arg = &bound,
		.env = a->env,
		.in = fd,
		.timeout = a->b->opt.timeout,
		.watch = tl ? bench_timeline_look : NULL,
		.watch_arg = tl,
		.watch_ms = tl ? tl->every_ms : 0,
	};
	struct bench_outcome o;
	int rc;

	if (tl)
		bench_timeline_begin(tl);
	rc = bench_child_run(&job, &o);
	if (rc) {
		snprintf(text, size, "%s", strerror(-rc));
		return rc;
	}
	run->process_seconds = o.seconds;
	run->cpu_seconds = o.cpu_seconds;
	rc = o.timed_out || o.status ? -ECHILD : bench_parse(a->cell->who, o.out, run);
	if (rc == -EBADMSG)
		snprintf(text, size, "printed no figures");
	else if (rc)
		explain(&o, text, size);
	bench_outcome_free(&o);
	return rc;
}

static int open_feed(const struct attempt *a, struct bench_feed *feed)
{
	struct bench_stream *s = a->cell->stream;

	if (s->types_only)
		return bench_source_make(SOURCE_PIPE, generate_body, &s->gen, a->b->opt.pipe_bytes,
					 feed);
	return bench_source_open(a->cell->source, s->fd, a->b->opt.pipe_bytes, feed);
}

int bench_contend(const struct bench *b, const struct bench_cell *cell, struct bench_timeline *tl,
		  struct bench_run *run, char *text, size_t size)
{
	struct attempt a = { .b = b, .cell = cell };
	struct bench_feed feed = { -1, -1 };
	int rc;

	memset(run, 0, sizeof(*run));
	run->workers = cell->workers;
	run->huge = -1;
	rc = make_model(&a);
	if (cell->who == BENCH_OURS)
		ours_args(&a);
	else if (cell->who == BENCH_STOCK)
		stock_args(&a);
	if (!rc)
		rc = open_feed(&a, &feed);
	if (rc) {
		snprintf(text, size, "cannot be set up: %s", strerror(-rc));
		goto out;
	}
	rc = execute(&a, feed.fd, tl, run, text, size);
	if (bench_source_close(&feed) && !rc) {
		snprintf(text, size, "the writer of the stream failed");
		rc = -EIO;
	}
	if (!rc && a.model)
		count(a.model, run);
	if (!rc && !bench_is_bound(cell->who))
		rc = bench_verify(cell, a.model, run, text, size);
out:
	xr_model_destroy(&a.model);
	return rc;
}
