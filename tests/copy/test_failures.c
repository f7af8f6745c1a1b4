/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can go wrong must end in one clear error, and leave nothing behind. */
#include "run.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 8192u
#define PER_WINDOW 100u
#define WINDOWS 12u

static const struct setup shapes[] = {
	{ XR_WORKER_THREAD, 1, true, { XR_UNMAP_AT_CLOSE, 0 }, 0 },
	{ XR_WORKER_THREAD, 3, true, { XR_UNMAP_AT_BUDGET, 250 }, 0 },
	{ XR_WORKER_THREAD, 3, false, { XR_UNMAP_AT_BUDGET, 250 }, 0 },
	{ XR_WORKER_PROCESS, 1, true, { XR_UNMAP_AT_EXIT, 250 }, 0 },
	{ XR_WORKER_PROCESS, 3, true, { XR_UNMAP_AT_EXIT, 250 }, 0 },
	{ XR_WORKER_PROCESS, 3, false, { XR_UNMAP_AT_BUDGET, 250 }, 0 },
};
#define NSHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void in_all_shapes(void (*what)(struct rig *r, const struct setup *s))
{
	for (size_t i = 0; i < NSHAPES; i++)
		run(&shapes[i], what);
}

/* One frame here, one in the next region, and so on: split where the mode is ordered. */
static int write_scattered(struct rig *r, uint64_t k)
{
	const struct xr_where where = { 5000 + k, k, 1 };
	uint64_t pfns[BUFFER_PAGES];
	int rc, b = filled_buffer(r, BUFFER_PAGES, 1);

	if (b < 0)
		return r->err.code;
	for (size_t i = 0; i < BUFFER_PAGES; i++)
		pfns[i] = (i * 1024 + k * BUFFER_PAGES + i / 8) % FRAMES;
	rc = xr_copy_begin(r->c, &where, pfns, BUFFER_PAGES, false, &r->err);
	if (rc)
		xr_bufpool_drop(r->pool, (unsigned int)b);
	else
		rc = xr_copy_data(r->c, 0, BUFFER_PAGES, NULL, b, 0, &r->err);
	if (!rc)
		rc = xr_copy_end(r->c, &r->err);
	return rc;
}

/* Work until something fails or all is done. */
static int work(struct rig *r)
{
	int rc = 0;

	for (uint64_t k = 0; !rc && k < WINDOWS; k++) {
		rc = write_from_file(r, k * PER_WINDOW, PER_WINDOW, 0);
		if (!rc)
			rc = write_scattered(r, k);
	}
	return rc ? rc : xr_copy_drain(r->c, &r->err);
}

/* False: there was no nth call. */
static bool fails_at(struct rig *r, const struct setup *s, uint64_t nth)
{
	enum guest_fault fault = nth & 1 ? GUEST_FAIL_CALL : GUEST_FAIL_PAGE;
	int want = fault == GUEST_FAIL_CALL ? -EIO : -EINVAL, rc;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return false;
	guest_fail_map(r->g, nth, fault, 0);
	rc = work(r);
	if (rc) {
		expect(r, rc == want && r->err.code == want);
		expect(r, r->err.host_failed && r->err.stage == XR_STAGE_COPY);
		expect(r, r->err.pfn < FRAMES && strstr(r->err.text, "cannot map pfn 0x"));
		expect(r, r->err.record < FRAMES && r->err.type == 1);
		expect(r, xr_copy_check(r->c, NULL) == want);
		expect(r, xr_copy_drain(r->c, NULL) == want);
		expect(r, xr_copy_has_room(r->c));
	} else {
		expect(r, nth > 2 * WINDOWS);
	}
	rig_free(r);
	return rc;
}

static void nth_map_fails(struct rig *r, const struct setup *s)
{
	/* All of them where the order of calls is always the same, else a few. */
	uint64_t step =
		s->workers == 1 && s->kind == XR_WORKER_THREAD ? 1 : 7; /* odd: both faults */

	for (uint64_t nth = 1; !r->why[0] && fails_at(r, s, nth);)
		nth += step;
}

/* Where an address space is full of kept windows, these make room for new ones. */
static void kept_windows_give_way(struct rig *r, const struct setup *s)
{
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	__atomic_store_n(&r->g->state->most_mappings, 2, __ATOMIC_RELEASE);
	expect(r, work(r) == 0);
	rig_free(r);
}

Test(failures, every_map_call_may_fail)
{
	in_all_shapes(nth_map_fails);
}

Test(failures, kept_windows_give_way_to_new_ones)
{
	run(&shapes[0], kept_windows_give_way);
	run(&shapes[3], kept_windows_give_way);
}

static void names_the_frame(struct rig *r, const struct setup *s)
{
	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	guest_fail_map(r->g, 3, GUEST_FAIL_PAGE, 37);
	for (uint64_t k = 0; !r->err.code && k < 4; k++)
		write_from_file(r, k * PER_WINDOW, PER_WINDOW, 0);
	xr_copy_drain(r->c, &r->err);
	expect(r, r->err.code == -EINVAL && r->err.pfn == 2 * PER_WINDOW + 37);
	expect(r, r->err.offset == 1000 + 2 * PER_WINDOW && r->err.record == 2 * PER_WINDOW);
	expect(r, strstr(r->err.text, "0xed"));
	rig_free(r);
}

Test(failures, the_frame_that_could_not_be_mapped_is_named)
{
	run(&shapes[0], names_the_frame);
	run(&shapes[3], names_the_frame);
}

static void truncated(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);
	/* In the middle of the contents of the 51st frame. */
	uint64_t end = 150 * XR_PAGE_SIZE + 77;

	ok = ok && expect(r, ftruncate(r->fd, (off_t)end) == 0);
	if (ok)
		write_from_file(r, 0x200, PER_WINDOW, 100);
	expect(r, xr_copy_drain(r->c, &r->err) == -ENODATA);
	expect(r, r->err.code == -ENODATA);
	expect(r, r->err.pfn == 0x200 + 50 && !r->err.host_failed);
	expect(r, r->err.stage == XR_STAGE_STREAM && strstr(r->err.text, "truncated"));
	expect(r, r->err.offset == 1000 + 0x200);
	rig_free(r);
}

Test(failures, a_file_that_ends_early_is_not_zeroes)
{
	in_all_shapes(truncated);
}

static void unreadable(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES);
	int deaf = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* Not for reading: every pread fails with EBADF. */
	ok = ok && expect(r, dup2(deaf, r->fd) >= 0) && rig_open(r, s);
	close(deaf);
	if (ok)
		write_from_file(r, 5, 1, 0);
	expect(r, xr_copy_drain(r->c, &r->err) < 0 && r->err.stage == XR_STAGE_STREAM);
	expect(r, r->err.pfn == 5 && strstr(r->err.text, "cannot read"));
	rig_free(r);
}

Test(failures, a_read_error_is_told)
{
	run(&shapes[0], unreadable);
}

static void unmap_fails(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);

	__atomic_store_n(&r->g->state->unmaps_fail, 1, __ATOMIC_RELEASE);
	ok = ok && expect(r, work(r) == -EIO);
	expect(r, r->err.host_failed && strstr(r->err.text, "unmap"));
	xr_copy_close(&r->c);
	/* Threads could not get rid of them, then; that is what the fault is about. */
	r->g->state->nmappings = 0;
	rig_free(r);
}

Test(failures, unmap_may_fail)
{
	run(&shapes[0], unmap_fails);
	run(&shapes[1], unmap_fails);
	run(&shapes[5], unmap_fails);
}

static void no_mapper(struct rig *r, const struct setup *s)
{
	const struct xr_copy_config cfg = { s->workers, s->kind, s->ordered, r->fd, NULL, NULL };

	if (!rig_new(r, FRAMES))
		return;
	r->g->state->opens_fail = 1;
	expect(r, xr_copy_open_tuned(&r->c, &r->g->host, &cfg, &s->keep, &r->err) == -EACCES);
	expect(r, !r->c && r->err.stage == XR_STAGE_SETUP && r->err.host_failed);
	rig_free(r);
}

Test(failures, a_worker_without_a_mapper_fails_the_start)
{
	in_all_shapes(no_mapper);
}

/* The workers hang in map; push until a window would have to wait. */
static bool fill_up(struct rig *r)
{
	bool ok = true;

	__atomic_store_n(&r->g->state->stalled, 1, __ATOMIC_RELEASE);
	for (uint64_t k = 0; ok && xr_copy_has_room(r->c); k++)
		ok = expect(r, k < 1000) && expect(r, write_from_file(r, k % 8 * 1024, 8, 0) == 0);
	return ok;
}

static void cancel_when_full(struct rig *r, const struct setup *s)
{
	uint32_t flag = 1;
	int rc = 0;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	if (fill_up(r)) {
		xr_copy_set_cancel(r->c, &flag);
		/* In ordered mode another lane may still have room. */
		for (uint64_t k = 0; !rc && k < 100; k++)
			rc = write_from_file(r, k % 8 * 1024, 8, 0);
		expect(r, rc == -ECANCELED && r->err.code == -ECANCELED && !r->err.host_failed);
	}
	/* Threads can't be killed, and don't have to be: no read or map lasts for ever. */
	if (s->kind == XR_WORKER_THREAD)
		__atomic_store_n(&r->g->state->stalled, 0, __ATOMIC_RELEASE);
	rig_free(r);
}

Test(failures, a_cancel_ends_the_wait_for_room)
{
	in_all_shapes(cancel_when_full);
}

/* Parts without end into one window: items run out, not windows. */
static void cancel_in_parts(struct rig *r, const struct setup *s)
{
	uint64_t pfns[XR_WINDOW];
	uint32_t flag = 1;
	int rc;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	__atomic_store_n(&r->g->state->stalled, 1, __ATOMIC_RELEASE);
	xr_copy_set_cancel(r->c, &flag);
	for (uint64_t i = 0; i < XR_WINDOW; i++)
		pfns[i] = 1024 + i;
	rc = xr_copy_begin(r->c, NULL, pfns, XR_WINDOW, false, &r->err);
	expect(r, rc == 0);
	for (size_t i = 0; !rc && i < XR_WINDOW; i++) {
		int b = i % 64 ? -1 : xr_bufpool_take(r->pool);

		rc = xr_copy_data(r->c, i, 1, NULL, b, 0, &r->err);
	}
	expect(r, rc == -ECANCELED);
	__atomic_store_n(&r->g->state->stalled, 0, __ATOMIC_RELEASE);
	rig_free(r);
}

Test(failures, a_cancel_ends_the_wait_of_a_part)
{
	in_all_shapes(cancel_in_parts);
}

static void closed_in_the_middle(struct rig *r, const struct setup *s)
{
	const uint64_t pfns[] = { 1, 1025, 2049, 3073, 77 };
	int b;

	if (!rig_new(r, FRAMES) || !rig_open(r, s))
		return;
	for (uint64_t k = 0; k < 5; k++)
		expect(r, write_scattered(r, k) == 0);
	expect(r, xr_copy_begin(r->c, NULL, pfns, 5, false, &r->err) == 0);
	b = filled_buffer(r, 5, 1);
	expect(r, xr_copy_data(r->c, 0, 4, NULL, b, 0, &r->err) == 0);
	rig_free(r);
}

Test(failures, close_at_any_time_leaves_nothing)
{
	in_all_shapes(closed_in_the_middle);
}

static void close_finishes(struct rig *r, const struct setup *s)
{
	bool ok = rig_new(r, FRAMES) && rig_open(r, s);

	for (uint64_t k = 0; ok && k < 20; k++)
		ok = expect(r, write_from_file(r, k * 400, 400, k) == 0);
	xr_copy_close(&r->c);
	for (uint64_t pfn = 0; ok && pfn < 8000; pfn++)
		ok = expect(r, stamp_of(r->g->memory + pfn * XR_PAGE_SIZE) ==
				       pfn / 400 + pfn % 400 + 1);
	rig_free(r);
}

Test(failures, close_without_an_error_finishes_the_work)
{
	in_all_shapes(close_finishes);
}

static void dies_of(struct rig *r, const struct setup *s, int sig, int code, const char *text)
{
	for (uint64_t nth = 1; nth <= 9 && !r->why[0]; nth += 2) {
		if (!rig_new(r, FRAMES) || !rig_open(r, s))
			return;
		guest_fail_map(r->g, nth, GUEST_RAISE, sig);
		expect(r, work(r) == code && r->err.code == code);
		expect(r, r->err.host_failed && strstr(r->err.text, text));
		rig_free(r);
	}
}

static void is_killed(struct rig *r, const struct setup *s)
{
	dies_of(r, s, SIGKILL, -EIO, "died of signal 9");
}

static void loses_memory(struct rig *r, const struct setup *s)
{
	dies_of(r, s, SIGBUS, -EFAULT, "died of signal 7");
}

Test(failures, a_worker_that_dies_is_noticed)
{
	for (size_t i = 3; i < NSHAPES; i++) {
		run(&shapes[i], is_killed);
		run(&shapes[i], loses_memory);
	}
}
