/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random work against a model that does the same in the most naive way. */
#include "run.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 4096u
#define STEPS (TSAN ? 8u : 40u) /* enough for generations where there are processes */

struct sim {
	struct rig *r;
	const struct setup *s;
	uint64_t random;
	uint64_t next_stamp;
	uint64_t is[FRAMES];  /* stamps; 0: zero */
	bool touched[FRAMES]; /* unordered: written or compared since the last drain */
	uint64_t written, verified, differing, cleared;
	uint64_t lowest; /* that differed; XR_NO_PFN: none */
	/* the window */
	uint64_t pfns[XR_WINDOW];
	size_t n;
	bool verify;
};

static uint64_t rnd(struct sim *m, uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 11) % below;
}

static size_t some_size(struct sim *m, size_t most)
{
	switch (rnd(m, 4)) {
	case 0:
		return 1;
	case 1:
		return 1 + rnd(m, 40) % most;
	case 2:
		return most;
	}
	return 1 + rnd(m, most);
}

/* A stretch, or frames here and there, in any order; never one twice. */
static void choose_frames(struct sim *m, bool fresh_only)
{
	bool stretch = rnd(m, 2), taken[FRAMES] = { 0 };
	size_t want = some_size(m, XR_WINDOW);
	uint64_t at = rnd(m, 3) ? rnd(m, FRAMES) : rnd(m, FRAMES / 1024) * 1024;

	m->n = 0;
	for (size_t tries = 0; m->n < want && tries < 2 * XR_WINDOW; tries++) {
		uint64_t pfn = stretch ? (at + tries) % FRAMES : rnd(m, FRAMES);

		if (taken[pfn] || (fresh_only && m->touched[pfn]))
			continue;
		taken[pfn] = true;
		m->pfns[m->n++] = pfn;
	}
}

/* What the model thinks of contents `value` for a frame. */
static void model_page(struct sim *m, uint64_t pfn, uint64_t value)
{
	m->touched[pfn] = true;
	if (m->verify) {
		m->verified++;
		if (m->is[pfn] != value && pfn < m->lowest)
			m->lowest = pfn;
		m->differing += m->is[pfn] != value;
		return;
	}
	m->written++;
	m->is[pfn] = value;
}

static bool part(struct sim *m, size_t first, size_t n)
{
	bool from_pool = rnd(m, 2), listed = rnd(m, 2);
	size_t source = from_pool ? BUFFER_PAGES : XR_WINDOW;
	uint64_t base, offset = 0;
	uint32_t page[XR_WINDOW];
	int buffer = -1;

	if (from_pool) {
		base = m->next_stamp;
		m->next_stamp += BUFFER_PAGES;
		buffer = filled_buffer(m->r, BUFFER_PAGES, base);
		if (!expect(m->r, buffer >= 0))
			return false;
	} else {
		offset = rnd(m, FILE_PAGES - XR_WINDOW);
		base = offset + 1;
	}
	for (size_t i = 0; i < n; i++) {
		/* Now and then in runs, so that reads of several pages happen. */
		page[i] = i && rnd(m, 4) && page[i - 1] + 1 < source ? page[i - 1] + 1
								     : (uint32_t)rnd(m, source);
		model_page(m, m->pfns[first + i], base + (listed ? page[i] : i));
	}
	return expect(m->r, xr_copy_data(m->r->c, first, n, listed ? page : NULL, buffer,
					 offset * XR_PAGE_SIZE, &m->r->err) == 0);
}

static bool window(struct sim *m)
{
	const struct xr_where where = { 1, 2, 3 };
	bool ok;

	m->verify = rnd(m, 5) == 0;
	choose_frames(m, !m->s->ordered);
	if (!m->n)
		return true;
	ok = expect(m->r,
		    xr_copy_begin(m->r->c, &where, m->pfns, m->n, m->verify, &m->r->err) == 0);
	for (size_t at = 0; ok && at < m->n;) {
		size_t left = m->n - at;
		size_t n = some_size(m, left < BUFFER_PAGES ? left : BUFFER_PAGES);

		if (rnd(m, 8))
			ok = part(m, at, n);
		at += n;
	}
	return ok && expect(m->r, xr_copy_end(m->r->c, &m->r->err) == 0);
}

static bool frame_is_right(struct sim *m, uint64_t pfn)
{
	uint64_t is = stamp_of(m->r->g->memory + pfn * XR_PAGE_SIZE);

	return is == m->is[pfn] ||
	       wrong(m->r, "frame %#llx holds %#llx instead of %#llx", (unsigned long long)pfn,
		     (unsigned long long)is, (unsigned long long)m->is[pfn]);
}

static bool retire(struct sim *m)
{
	bool clear = rnd(m, 2), ok;

	choose_frames(m, false);
	ok = expect(m->r, xr_copy_retire(m->r->c, NULL, m->pfns, m->n, clear, &m->r->err) == 0);
	m->cleared += clear ? m->n : 0;
	for (size_t i = 0; ok && i < m->n; i++) {
		if (clear)
			m->is[m->pfns[i]] = 0;
		ok = frame_is_right(m, m->pfns[i]);
		if (i % 16 == 0)
			ok = ok && expect(m->r, guest_mapped(m->r->g, (int64_t)m->pfns[i]) == 0);
	}
	return ok;
}

static bool drain(struct sim *m)
{
	bool ok = expect(m->r, xr_copy_drain(m->r->c, &m->r->err) == 0) &&
		  expect(m->r, guest_mapped(m->r->g, -1) == 0);

	for (uint64_t pfn = 0; ok && pfn < FRAMES; pfn++)
		ok = frame_is_right(m, pfn);
	memset(m->touched, 0, sizeof(m->touched));
	return ok;
}

static bool step(struct sim *m)
{
	switch (rnd(m, 12)) {
	case 0:
		return retire(m);
	case 1:
		return drain(m);
	}
	return window(m);
}

static void check_figures(struct sim *m)
{
	struct xr_copy_stats st;

	xr_copy_stats(m->r->c, &st);
	expect(m->r, st.pages_written == m->written);
	expect(m->r, st.pages_verified == m->verified);
	expect(m->r, st.pages_differing == m->differing);
	expect(m->r, st.lowest_differing == m->lowest);
	expect(m->r, st.pages_cleared == m->cleared);
	expect(m->r, st.map_calls > 0 && st.unmap_calls <= st.map_calls);
	expect(m->r, st.pages_mapped >= m->cleared);
	expect(m->r, st.times.busy > 0);
}

static void like_the_model(struct rig *r, const struct setup *s)
{
	struct sim *m = calloc(1, sizeof(*m));
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);

	m->r = r;
	m->s = s;
	m->random = s->seed * 0x9e3779b97f4a7c15u | 1;
	m->next_stamp = (uint64_t)1 << 32;
	m->lowest = XR_NO_PFN;
	for (unsigned int i = 0; ok && i < STEPS; i++)
		ok = step(m);
	if (ok && drain(m))
		check_figures(m);
	if (s->keep.when == XR_UNMAP_AT_EXIT && s->keep.pages < 4096 && ok)
		expect(r, xr_read(&xr_copy_arena(r->c)->lane[0].reaped) > 1);
	rig_free(r);
	free(m);
}

static void all_shapes(enum xr_worker_kind kind, const struct xr_keep *keeps, unsigned int nkeeps)
{
	const char *fixed = getenv("XR_SEED");
	uint64_t seed = fixed ? strtoull(fixed, NULL, 0) : 1;

	for (unsigned int workers = 1; workers <= 4; workers *= 2) {
		for (unsigned int k = 0; k < 2 * nkeeps; k++) {
			struct setup s = { kind, workers, k & 1, keeps[k / 2], seed };

			run(&s, like_the_model);
			seed += !fixed;
		}
	}
}

Test(copy, threads_do_what_the_model_does)
{
	const struct xr_keep keeps[] = {
		{ XR_UNMAP_AT_CLOSE, 0 },
		{ XR_UNMAP_AT_BUDGET, 3000 },
		{ XR_UNMAP_AT_BUDGET, 1u << 20 },
	};

	all_shapes(XR_WORKER_THREAD, keeps, 3);
}

Test(copy, processes_do_what_the_model_does)
{
	const struct xr_keep keeps[] = {
		{ XR_UNMAP_AT_BUDGET, 3000 },
		{ XR_UNMAP_AT_EXIT, 1500 },
		{ XR_UNMAP_AT_EXIT, 1u << 20 },
	};

	all_shapes(XR_WORKER_PROCESS, keeps, 3);
}

/* Every window writes the same frames: what the last one wrote must stay. */
static void same_frames_again(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);

	for (uint64_t k = 0; ok && k < 100; k++)
		ok = expect(r, write_from_file(r, 700, 1000, k) == 0);
	ok = ok && expect(r, xr_copy_drain(r->c, &r->err) == 0);
	for (uint64_t i = 0; ok && i < 1000; i++)
		ok = expect(r, stamp_of(r->g->memory + (700 + i) * XR_PAGE_SIZE) == 99 + i + 1);
	rig_free(r);
}

Test(copy, the_last_writer_wins)
{
	const struct setup t = { XR_WORKER_THREAD, 3, true, xr_keep_threads, 0 };
	const struct setup p = { XR_WORKER_PROCESS, 3, true, xr_keep_processes, 0 };

	run(&t, same_frames_again);
	run(&p, same_frames_again);
}

/* Fewer frames than workers, all in flight at once: nobody may be left idle by choice. */
static void spread(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);

	__atomic_store_n(&r->g->state->stalled, 1, __ATOMIC_RELEASE);
	for (uint64_t k = 0; ok && k < s->workers; k++)
		ok = expect(r, write_from_file(r, k * 8, 8, k) == 0);
	for (unsigned int i = 0; ok && i < s->workers; i++)
		ok = expect(r, xr_read(&xr_copy_arena(r->c)->lane[i].stats.frames_closed) == 0);
	__atomic_store_n(&r->g->state->stalled, 0, __ATOMIC_RELEASE);
	ok = ok && expect(r, xr_copy_drain(r->c, &r->err) == 0);
	for (unsigned int i = 0; ok && i < s->workers; i++)
		ok = expect(r, xr_read(&xr_copy_arena(r->c)->lane[i].stats.written) == 8);
	rig_free(r);
}

Test(copy, unordered_work_goes_to_the_least_loaded)
{
	const struct setup t = { XR_WORKER_THREAD, 4, false, xr_keep_threads, 0 };

	run(&t, spread);
}

static uint64_t items_done(const struct rig *r, const struct setup *s)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < s->workers; i++)
		n += xr_read(&xr_copy_arena(r->c)->lane[i].done);
	return n;
}

/* A drain costs a lane nothing that has nothing: there may be one for each of many records. */
static void drain_twice(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);
	uint64_t done;

	ok = ok && expect(r, xr_copy_drain(r->c, &r->err) == 0) && expect(r, !items_done(r, s)) &&
	     expect(r, write_from_file(r, 700, 10, 0) == 0) &&
	     expect(r, xr_copy_drain(r->c, &r->err) == 0) && expect(r, guest_mapped(r->g, -1) == 0);
	done = ok ? items_done(r, s) : 0;
	ok = ok && expect(r, xr_copy_drain(r->c, &r->err) == 0) &&
	     expect(r, items_done(r, s) == done) &&
	     expect(r, write_from_file(r, 700, 10, 5) == 0) &&
	     expect(r, xr_copy_drain(r->c, &r->err) == 0) && expect(r, guest_mapped(r->g, -1) == 0);
	if (ok)
		expect(r, stamp_of(r->g->memory + 700 * XR_PAGE_SIZE) == 6);
	rig_free(r);
}

Test(copy, a_drain_of_nothing_asks_no_worker)
{
	const struct setup t = { XR_WORKER_THREAD, 2, true, xr_keep_threads, 0 };
	const struct setup p = { XR_WORKER_PROCESS, 2, true, xr_keep_processes, 0 };

	run(&t, drain_twice);
	run(&p, drain_twice);
}

static void misuse(struct rig *r, const struct setup *s)
{
	uint64_t pfns[XR_WINDOW + 1] = { 1, 2, 3 };
	struct xr_copy *c;
	int b;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	c = r->c;
	expect(r, xr_copy_begin(c, NULL, pfns, XR_WINDOW + 1, false, NULL) == -EINVAL);
	expect(r, xr_copy_end(c, NULL) == -EINVAL);
	b = filled_buffer(r, 1, 1);
	expect(r, xr_copy_data(c, 0, 1, NULL, b, 0, NULL) == -EINVAL);
	expect(r, xr_bufpool_in_use(r->pool) == 0);
	expect(r, xr_copy_begin(c, NULL, pfns, 0, false, &r->err) == 0);
	expect(r, xr_copy_end(c, &r->err) == 0);
	expect(r, xr_copy_begin(c, NULL, pfns, 3, false, &r->err) == 0);
	expect(r, xr_copy_begin(c, NULL, pfns, 3, false, NULL) == -EINVAL);
	expect(r, xr_copy_drain(c, NULL) == -EINVAL);
	expect(r, xr_copy_retire(c, NULL, pfns, 1, false, NULL) == -EINVAL);
	expect(r, xr_copy_data(c, 1, 3, NULL, -1, 0, NULL) == -EINVAL);
	expect(r, xr_copy_data(c, 1, 1, NULL, -1, 0, &r->err) == 0);
	expect(r, xr_copy_data(c, 0, 1, NULL, -1, 0, NULL) == -EINVAL);
	b = filled_buffer(r, 1, 1);
	expect(r, xr_copy_data(c, 2, 0, NULL, b, 0, &r->err) == 0);
	expect(r, xr_bufpool_in_use(r->pool) == 0);
	rig_free(r);
}

Test(copy, misuse_is_refused_and_keeps_no_buffer)
{
	const struct setup t = { XR_WORKER_THREAD, 2, true, xr_keep_threads, 0 };

	run(&t, misuse);
}
