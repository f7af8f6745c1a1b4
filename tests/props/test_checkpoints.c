/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkpointed streams, whatever they hold and wherever they end: the guest is exactly that of the
 * last complete checkpoint, and the toolstack finds the fd at every checkpoint where its own bytes
 * begin.
 *
 * Environment: XR_SEEDS (how many; 400), XR_SEED (only this one).
 */
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "props/check.h"
#include "props/combo.h"
#include "props/running.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEEDS 400u
#define PER_CHILD 20u
#define STUCK 120u
#define WHOLE 12u /* streams that are cut at every record, or one in so many seeds */
#define RECORD_SEEDS 33u
#define HEADERS 40 /* bytes before the first record */

/* How the stream ends. */
enum ending {
	AS_IT_IS,
	CUT,	/* at any byte */
	RECORD, /* before one of its records */
	WORD,	/* by the toolstack, failover or error */
	BROKEN, /* a record that must not be ignored and is not known */
	FAULT,	/* a call of the host fails */
	ENDINGS,
};

struct attempt {
	enum ending ending;
	struct rng rng;
	struct why why;
	struct random_stream s;
	struct combo combo;
	unsigned char *bytes;
	size_t size;
	uint64_t start_pages;
	unsigned int buffer_mib;
	unsigned int complete; /* checkpoints, as it must be */
	bool fatal;	       /* must the restore fail? */
	bool colo;
	unsigned int record;
	struct toolstack tools;
	struct running guest; /* COLO */
	struct xr_model *model;
	struct feed feed;
	struct xr_result res;
	struct xr_error err;
	int rc;
};

static void make_stream(struct attempt *a, uint64_t seed)
{
	struct rng dice = rng_seed(~seed); /* the stream is the same, however it ends */
	struct random_options o;

	random_options_default(&o, seed);
	o.max_data = rng_chance(&dice, 1, 8) ? 480 : 120;
	o.features &= ~(unsigned int)RANDOM_TRAILING;
	if (a->colo)
		o.features &= ~(unsigned int)RANDOM_FAR;
	o.checkpoints = (unsigned int)(1 + rng_below(&dice, 5));
	if (a->ending == RECORD) { /* small: each record is a restore */
		o.max_data = 24;
		o.max_pfns = 200;
		o.features &= ~(unsigned int)RANDOM_OPTIONAL;
		o.checkpoints = 2;
	}
	random_stream_make(&a->s, &o);
	a->size = builder_size(&a->s.b);
	a->bytes = malloc(a->size);
	memcpy(a->bytes, builder_data(&a->s.b), a->size);
	a->complete = a->s.cp.n;
}

/* The type of some record behind a checkpoint becomes one that nobody knows. */
static void break_record(struct attempt *a)
{
	const struct checkpoints *cp = &a->s.cp;
	const uint32_t unknown = 0x7f;
	unsigned int after = (unsigned int)rng_below(&a->rng, cp->n);
	size_t at = cp->resume[after];

	if (at + 8 > a->size)
		return;
	memcpy(a->bytes + at, &unknown, sizeof(unknown));
	a->complete = after + 1;
}

/* Where the nth record begins, from 0 on; behind all of them the end. */
static size_t record_at(const struct attempt *a, unsigned int nth)
{
	size_t at = a->s.b.libxc_offset + HEADERS;
	uint32_t length;

	for (; nth && at + 8 <= a->size; nth--) {
		memcpy(&length, a->bytes + at + 4, sizeof(length));
		at += 8 + (((size_t)length + 7) & ~(size_t)7);
	}
	return at < a->size ? at : a->size;
}

static void end_stream(struct attempt *a)
{
	const unsigned int questions = a->colo ? 4 : 1;

	switch (a->ending) {
	case CUT:
		a->size = rng_below(&a->rng, a->size + 1);
		a->complete = checkpoints_in(&a->s.cp, a->size);
		break;
	case RECORD:
		a->size = record_at(a, a->record);
		a->complete = checkpoints_in(&a->s.cp, a->size);
		break;
	case WORD:
		a->tools.at = (unsigned int)(1 + rng_below(&a->rng, a->s.cp.n * questions));
		a->tools.answer = rng_chance(&a->rng, 3, 4) ? XR_ANSWER_FAIL_OVER : XR_ANSWER_ERROR;
		/* The checkpoint question itself comes before the checkpoint is complete. */
		a->complete = (a->tools.at - 1 + questions - 1) / questions;
		a->fatal = a->tools.answer != XR_ANSWER_FAIL_OVER;
		break;
	case BROKEN:
		break_record(a);
		break;
	default:
		break;
	}
	a->fatal |= !a->complete;
}

static void add_fault(struct attempt *a)
{
	static const enum xr_model_call calls[] = {
		XR_CALL_POPULATE, XR_CALL_RELEASE, XR_CALL_TSC,	   XR_CALL_PARAM,
		XR_CALL_CONTEXT,  XR_CALL_MAP,	   XR_CALL_INFO,   XR_CALL_MAPPER,
		XR_CALL_UNMAP,	  XR_CALL_DIRTY,   XR_CALL_GRANTS, XR_CALL_RAM
	};

	xr_model_fail(a->model, calls[rng_below(&a->rng, sizeof(calls) / sizeof(calls[0]))],
		      1 + rng_below(&a->rng, 20), -1, -ENOMEM);
}

static bool open_model(struct attempt *a)
{
	struct xr_model_settings set;

	a->start_pages = rng_chance(&a->rng, 1, 2) ? 0 : rng_below(&a->rng, 20);
	xr_model_settings_default(&set);
	set.start_pages = a->start_pages;
	set.max_pages = a->start_pages + a->s.ref.peak + combo_room(&a->combo) +
			(a->colo ? RUNNING_ROOM : 0);
	set.no_huge = true;
	set.fill = REF_FILL;
	if (xr_model_create(&a->model, &set))
		return why_not(&a->why, "no model");
	if (a->combo.fail_from < 255)
		xr_model_fail_orders_from(a->model, a->combo.fail_from);
	if (a->ending == FAULT)
		add_fault(a);
	return true;
}

static void restore(struct attempt *a)
{
	const int send_back = a->colo ? memfd_create("back", MFD_CLOEXEC) : -1;
	struct xr_settings set;

	xr_settings_default(&set);
	set.fd = a->feed.fd;
	set.host = XR_HOST_MODEL;
	set.model = a->model;
	set.type = a->colo ? XR_STREAM_COLO : XR_STREAM_REMUS;
	set.buffer_mib = a->buffer_mib;
	set.send_back_fd = send_back;
	a->tools.c = &a->s.cp;
	a->tools.b = &a->s.b;
	a->tools.fd = a->feed.fd;
	a->guest = (struct running){ .c = &a->s.cp,
				     .b = &a->s.b,
				     .model = a->model,
				     .complete = a->complete,
				     .calls_fail = a->ending == FAULT,
				     .rng = a->rng };
	if (a->colo) {
		a->tools.before_suspend = running_guest;
		a->tools.arg = &a->guest;
	}
	toolstack_install(&a->tools, &set);
	a->rc = combo_restore(&a->combo, &set, &a->res, &a->err, NULL, NULL);
	if (send_back >= 0)
		close(send_back);
}

static bool check_result_of(struct attempt *a, const struct refmodel *ref)
{
	const struct why *w = &a->why;

	if (a->res.checkpoints != a->complete)
		return why_not(w, "result: %lu checkpoints, not %u", a->res.checkpoints,
			       a->complete);
	if (!a->res.failed_over)
		return why_not(w, "result: no failover");
	if (a->res.pages_populated != ref->backed)
		return why_not(w, "result: %lu pages, not %lu", a->res.pages_populated,
			       ref->backed);
	return true;
}

static bool check_success(struct attempt *a)
{
	struct refmodel ref;
	bool ok;

	checkpoints_ref(&a->s.cp, &a->s.b, a->complete, &ref);
	ok = check_guest(&a->why, a->model, &ref) &&
	     check_domain(&a->why, a->model, &ref, a->start_pages) && check_result_of(a, &ref);
	refmodel_free(&ref);
	return ok;
}

static bool check_attempt(struct attempt *a)
{
	if (a->tools.wrong)
		return why_not(&a->why, "%s", a->tools.wrong);
	if (!check_habits(&a->why, a->model))
		return false;
	running_end(&a->guest);
	if (a->guest.wrong)
		return why_not(&a->why, "%s", a->guest.wrong);
	if (a->ending == FAULT && a->rc)
		return a->err.host_failed ||
		       why_not(&a->why, "the host failed, the error blames the stream: %s",
			       a->err.text);
	if (a->fatal)
		return check_error(&a->why, a->rc, &a->err);
	if (a->rc)
		return why_not(&a->why, "failed with %d: %s", a->rc, a->err.text);
	return check_success(a);
}

struct seeds {
	uint64_t first, end;
	enum ending ending;
	bool colo;
	unsigned int record; /* that it is cut before */
};

static bool try_seed(uint64_t seed, const struct seeds *how, char *why, size_t room)
{
	struct attempt a = { .ending = how->ending,
			     .colo = how->colo,
			     .record = how->record,
			     .rng = rng_seed(seed * ENDINGS + how->ending + 97ull * how->record) };
	char text[1024] = "", combo[COMBO_TEXT];
	bool ok = false;

	a.why = (struct why){ text, sizeof(text) };
	a.combo = combo_random(&a.rng);
	a.buffer_mib = (const unsigned int[]){ 0, 0, 1, 128 }[rng_below(&a.rng, 4)];
	make_stream(&a, seed);
	end_stream(&a);
	if (feed_open(&a.feed, (enum feed_kind)a.combo.feed, a.bytes, a.size, seed))
		why_not(&a.why, "no source");
	else if (open_model(&a)) {
		restore(&a);
		ok = check_attempt(&a);
	}
	combo_print(&a.combo, combo);
	if (!ok)
		snprintf(
			why, room,
			"XR_SEED=%lu, ending %d, record %u, combo %s, %u MiB, %u of %u checkpoints, asked %s: %s",
			seed, how->ending, how->record, combo, a.buffer_mib, a.complete, a.s.cp.n,
			a.tools.asked, text);
	feed_close(&a.feed);
	xr_model_destroy(&a.model);
	random_stream_free(&a.s);
	free(a.bytes);
	return ok;
}

static bool try_seeds(void *arg, char *why, size_t room)
{
	const struct seeds *s = arg;
	bool ok = true;

	for (uint64_t seed = s->first; ok && seed < s->end; seed++) {
		snprintf(why, room, "XR_SEED=%lu, ending %d", seed, s->ending);
		alarm(STUCK);
		ok = try_seed(seed, s, why, room);
	}
	return ok;
}

static void check_seeds(enum ending ending, bool colo, unsigned int percent)
{
	const char *all = getenv("XR_SEEDS"), *one = getenv("XR_SEED");
	uint64_t end = (all ? strtoull(all, NULL, 0) : FEWER(SEEDS)) * percent / 100;
	struct seeds s = { .ending = ending, .colo = colo };
	char why[ISOLATE_WHY];

	if (one) {
		s.first = strtoull(one, NULL, 0);
		end = s.first + 1;
	}
	for (; s.first < end; s.first = s.end) {
		s.end = s.first + PER_CHILD < end ? s.first + PER_CHILD : end;
		cr_assert(isolated(try_seeds, &s, why), "%s", why);
	}
}

Test(checkpoints, all_that_are_complete_count)
{
	check_seeds(AS_IT_IS, false, 100);
}

Test(checkpoints, a_stream_cut_anywhere_leaves_the_last_complete_one)
{
	check_seeds(CUT, false, 100);
}

Test(checkpoints, the_toolstack_s_word_leaves_the_last_complete_one)
{
	check_seeds(WORD, false, 50);
}

Test(checkpoints, a_broken_record_leaves_the_last_complete_one)
{
	check_seeds(BROKEN, false, 50);
}

Test(checkpoints, a_failing_host_fails_cleanly_or_not_at_all)
{
	check_seeds(FAULT, false, 50);
}

Test(checkpoints, colo_leaves_the_last_complete_one_too)
{
	check_seeds(CUT, true, 25);
	check_seeds(WORD, true, 25);
	check_seeds(BROKEN, true, 25);
	check_seeds(FAULT, true, 25);
}

static unsigned int records_of(uint64_t seed, bool colo)
{
	struct attempt a = { .ending = RECORD, .colo = colo };
	unsigned int n = 0;

	make_stream(&a, seed);
	while (record_at(&a, n) < a.size)
		n++;
	random_stream_free(&a.s);
	free(a.bytes);
	return n;
}

static bool try_records(void *arg, char *why, size_t room)
{
	struct seeds *s = arg;
	const unsigned int n = records_of(s->first, s->colo);
	bool ok = n > 0;

	for (s->record = 0; ok && s->record <= n; s->record++) {
		alarm(STUCK);
		ok = try_seed(s->first, s, why, room);
	}
	return ok;
}

Test(checkpoints, cut_at_every_record)
{
	char why[ISOLATE_WHY];

	const char *all = getenv("XR_SEEDS"), *one = getenv("XR_SEED");
	const uint64_t first = one ? strtoull(one, NULL, 0) : 0;
	const uint64_t n = one ? 1 : all ? strtoull(all, NULL, 0) / RECORD_SEEDS + 1 : WHOLE;

	for (uint64_t seed = first; seed < first + n; seed++) {
		struct seeds s = { .ending = RECORD, .colo = seed & 1, .first = seed };

		cr_assert(isolated(try_records, &s, why), "%s", why);
	}
}
