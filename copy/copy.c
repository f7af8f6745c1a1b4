/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The copy stage as a whole: its beginning, its end, its figures. */
#include "copy/dispatch.h"
#include "copy/spawn.h"
#include "copy/tuned.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_EVERY 50000000u /* ns */

/* What kind the workers are, and whether they are processes by exec, not by fork alone. */
static int choose_kind(enum xr_worker_kind asked, const struct xr_host *host,
		       enum xr_worker_kind *kind, bool *spawned, struct xr_error *err)
{
	const bool forks = asked != XR_WORKER_THREAD && xr_nursery_possible();

	*kind = XR_WORKER_THREAD;
	*spawned = asked != XR_WORKER_THREAD && !forks && xr_spawn_possible(host);
	if (forks || *spawned)
		*kind = XR_WORKER_PROCESS;
	else if (asked == XR_WORKER_PROCESS)
		return xr_fail(err, -EBUSY, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "copy workers can't be processes: the program has threads (or /proc "
			       "is missing), so that a fork is not safe, and there is no worker "
			       "program at %s",
			       xr_spawn_program());
	return 0;
}

static int check_config(const struct xr_copy_config *cfg, enum xr_worker_kind kind,
			const struct xr_keep *keep, struct xr_error *err)
{
	if (cfg->workers < 1 || cfg->workers > XR_LANES_MAX)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "%u copy workers asked for; 1 to %u are possible", cfg->workers,
			       XR_LANES_MAX);
	if (keep && keep->when == XR_UNMAP_AT_EXIT && kind != XR_WORKER_PROCESS)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "only a worker process can leave its mappings to the kernel");
	return 0;
}

static bool is_ready(const struct xr_copy *c, unsigned int lane)
{
	return __atomic_load_n(&c->arena->lane[lane].ready, __ATOMIC_ACQUIRE);
}

static int start_crew(struct xr_copy *c, struct xr_error *err)
{
	int rc;

	if (c->kind == XR_WORKER_PROCESS)
		rc = xr_nursery_start(&c->nursery, &c->crew, c->spawned, err);
	else
		rc = xr_threads_start(&c->threads, &c->crew, err);
	for (unsigned int i = 0; !rc && i < c->nlanes; i++)
		rc = xr_copy_wait(c, is_ready, i, err);
	return rc;
}

int xr_copy_open_tuned(struct xr_copy **out, struct xr_host *host, const struct xr_copy_config *cfg,
		       const struct xr_keep *keep, struct xr_error *err)
{
	enum xr_worker_kind kind;
	struct xr_copy *c;
	bool spawned;
	int rc = choose_kind(cfg->kind, host, &kind, &spawned, err);

	*out = NULL;
	if (!rc)
		rc = check_config(cfg, kind, keep, err);
	if (rc)
		return rc;
	if (!keep)
		keep = kind == XR_WORKER_PROCESS ? &xr_keep_processes : &xr_keep_threads;
	c = calloc(1, sizeof(*c));
	rc = c ? xr_arena_create(&c->arena, cfg->workers) : -ENOMEM;
	if (rc) {
		free(c);
		return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "no memory for the copy workers' queues");
	}
	c->crew = (struct xr_crew_config){
		.arena = c->arena,
		.host = host,
		.pool = cfg->pool,
		.p2m = cfg->p2m,
		.digests = cfg->digests,
		.fd = cfg->fd,
		.kept = { -1, -1 },
		.keep = *keep,
		.sandbox = cfg->sandbox,
	};
	for (unsigned int i = 0; i < cfg->nkept && i < XR_COPY_KEPT; i++)
		c->crew.kept[i] = cfg->kept[i];
	if (keep == &xr_keep_threads)
		c->crew.keep.pages /= cfg->workers;
	c->nlanes = cfg->workers;
	c->ordered = cfg->ordered;
	c->kind = kind;
	c->spawned = spawned;
	c->nursery = (struct xr_nursery){ -1, -1 };
	rc = start_crew(c, err);
	if (rc) {
		xr_copy_close(&c);
		return rc;
	}
	c->blocked = 0;
	*out = c;
	return 0;
}

int xr_copy_open(struct xr_copy **out, struct xr_host *host, const struct xr_copy_config *cfg,
		 struct xr_error *err)
{
	struct xr_copy_config threads = *cfg;
	struct xr_error own;
	int rc;

	xr_error_clear(&own);
	rc = xr_copy_open_tuned(out, host, cfg, NULL, &own);
	if (rc && cfg->kind == XR_WORKER_AUTO) {
		threads.kind = XR_WORKER_THREAD;
		xr_error_clear(&own);
		rc = xr_copy_open_tuned(out, host, &threads, NULL, &own);
	}
	if (rc && err && !err->code)
		*err = own;
	return rc;
}

struct xr_arena *xr_copy_arena(const struct xr_copy *c)
{
	return c->arena;
}

void xr_copy_set_pv(struct xr_copy *c, bool pv)
{
	__atomic_store_n(&c->arena->pv, pv && c->crew.p2m, __ATOMIC_RELEASE);
}

void xr_copy_set_ordered(struct xr_copy *c, bool ordered)
{
	c->ordered = ordered;
}

int xr_copy_check(struct xr_copy *c, struct xr_error *err)
{
	uint64_t now = xr_now();

	if (now - c->looked > LOOK_EVERY) {
		xr_copy_notice_death(c);
		c->looked = now;
	}
	return xr_arena_check(c->arena, err);
}

void xr_copy_set_cancel(struct xr_copy *c, const uint32_t *flag)
{
	c->cancel = flag;
}

static uint64_t total_done(const struct xr_copy *c)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < c->nlanes; i++)
		n += xr_read(&c->arena->lane[i].done);
	return n;
}

static uint64_t total_pushed(const struct xr_copy *c)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < c->nlanes; i++)
		n += c->end[i].pushed;
	return n;
}

void xr_copy_stats(const struct xr_copy *c, struct xr_copy_stats *out)
{
	*out = (struct xr_copy_stats){ .dispatch_blocked = c->blocked,
				       .kind = c->kind,
				       .lowest_differing = XR_NO_PFN };
	out->queued = total_pushed(c) - total_done(c);
	out->unrestricted = __atomic_load_n(&c->arena->unrestricted, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < c->nlanes; i++) {
		const struct xr_lane_stats *s = &c->arena->lane[i].stats;

		out->pages_written += xr_read(&s->written);
		out->pages_verified += xr_read(&s->verified);
		out->pages_differing += xr_read(&s->differing);
		if (xr_read(&s->lowest_differing) < out->lowest_differing)
			out->lowest_differing = xr_read(&s->lowest_differing);
		out->pages_cleared += xr_read(&s->cleared);
		out->tables_localised += xr_read(&s->localised);
		out->tables_lacking += xr_read(&s->lacking);
		out->map_calls += xr_read(&s->map_calls);
		out->unmap_calls += xr_read(&s->unmap_calls);
		out->pages_mapped += xr_read(&s->pages_mapped);
		out->times.busy += xr_read(&s->busy);
		out->times.starved += xr_read(&s->starved);
	}
}

static bool cancelled(const struct xr_copy *c)
{
	return c->cancel && __atomic_load_n(c->cancel, __ATOMIC_ACQUIRE);
}

/* As long as it gets on: a second without one finished item means that it is stuck. */
static void finish_work(struct xr_copy *c)
{
	uint64_t last = total_done(c), since = xr_now();

	while (last != total_pushed(c) && !xr_arena_failed(c->arena) &&
	       xr_now() - since < XR_GRACE_MS * 1000000ull) {
		uint32_t seen = xr_event_value(&c->arena->progress);

		if (cancelled(c))
			return;
		if (total_done(c) == last)
			xr_event_wait(&c->arena->progress, seen, 50);
		if (total_done(c) == last)
			continue;
		last = total_done(c);
		since = xr_now();
	}
}

void xr_copy_close(struct xr_copy **cp)
{
	struct xr_copy *c = *cp;

	if (!c)
		return;
	if (!c->win.open)
		finish_work(c);
	if (c->kind == XR_WORKER_PROCESS)
		xr_nursery_stop(&c->nursery, c->arena, cancelled(c));
	else
		xr_threads_stop(&c->threads, c->arena);
	for (unsigned int i = 0; i < c->nlanes; i++)
		xr_lane_discard(&c->arena->lane[i], c->end[i].pushed, c->crew.pool);
	xr_arena_destroy(c->arena);
	free(c);
	*cp = NULL;
}
