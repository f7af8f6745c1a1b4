/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "props/run.h"

#include "props/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_PORT 5u
#define CONSOLE_PORT 6u

/* The bytes to be restored, and what they must give. */
struct input {
	unsigned char *bytes;
	size_t size;
	struct refmodel ref;
	bool readable; /* the reference model could read it: ref holds, end is right */
	size_t end;
};

struct attempt {
	struct run *r;
	struct why why;
	struct rng rng;
	struct input in;
	uint64_t start_pages;
	struct xr_model *model;
	struct feed feed;
	struct xr_result res;
	struct xr_error err;
	int rc;
	bool receipt_holds;
};

/* Wrong bits where they matter: in headers and pfn arrays more often than in contents. */
static void flip(struct attempt *a, const struct random_stream *s)
{
	unsigned int flips = (unsigned int)(1 + rng_below(&a->rng, 3));

	for (unsigned int i = 0; i < flips; i++) {
		size_t at = rng_below(&a->rng, s->b.end_offset);

		if (rng_chance(&a->rng, 1, 2))
			at = s->b.last_record -
			     rng_below(&a->rng, s->b.last_record < 400 ? s->b.last_record : 400);
		else if (rng_chance(&a->rng, 1, 2))
			at = s->b.libxc_offset + rng_below(&a->rng, 300);
		if (at < a->in.size)
			a->in.bytes[at] ^= (unsigned char)(1u << rng_below(&a->rng, 8));
	}
}

static void make_input(struct attempt *a, const struct random_stream *s)
{
	struct input *in = &a->in;

	in->size = builder_size(&s->b);
	in->bytes = malloc(in->size);
	memcpy(in->bytes, builder_data(&s->b), in->size);
	if (a->r->damage == DAMAGE_CUT)
		in->size = rng_below(&a->rng, s->b.end_offset);
	if (a->r->damage == DAMAGE_FLIP)
		flip(a, s);
	refmodel_init(&in->ref);
	in->end = refmodel_stream(&in->ref, in->bytes, in->size, s->b.libxc_offset);
	in->readable = in->end != 0;
}

static void add_fault(struct attempt *a)
{
	static const enum xr_model_call calls[] = {
		XR_CALL_INFO,	    XR_CALL_POPULATE, XR_CALL_POPULATE, XR_CALL_RELEASE,
		XR_CALL_CPU_POLICY, XR_CALL_TSC,      XR_CALL_PARAM,	XR_CALL_CONTEXT,
		XR_CALL_GRANTS,	    XR_CALL_MAPPER,   XR_CALL_MAP,	XR_CALL_MAP,
	};
	enum xr_model_call call = calls[rng_below(&a->rng, sizeof(calls) / sizeof(calls[0]))];
	bool partial = call == XR_CALL_POPULATE || call == XR_CALL_RELEASE || call == XR_CALL_MAP;
	int arg = -ENOMEM;

	if (partial && rng_chance(&a->rng, 2, 3))
		arg = (int)rng_below(&a->rng, 40);
	xr_model_fail(a->model, call, 1 + rng_below(&a->rng, rng_chance(&a->rng, 1, 2) ? 2 : 12),
		      -1, arg);
}

static bool open_model(struct attempt *a, const struct random_stream *s)
{
	const struct combo *c = &a->r->combo;
	struct xr_model_settings set;
	int rc;

	a->start_pages = rng_chance(&a->rng, 1, 2) ? 0 : rng_below(&a->rng, 20);
	xr_model_settings_default(&set);
	set.start_pages = a->start_pages;
	set.max_pages = a->start_pages + s->ref.peak + combo_room(c);
	set.no_huge = true;
	set.fill = ~a->r->seed | 1;
	rc = xr_model_create(&a->model, &set);
	if (rc)
		return why_not(&a->why, "no model: %d", rc);
	if (c->fail_from < 255)
		xr_model_fail_orders_from(a->model, c->fail_from);
	if (a->r->damage == DAMAGE_FAULT)
		add_fault(a);
	return true;
}

static void hold_receipt(struct xr_restore *r, int rc, void *arg)
{
	struct attempt *a = arg;

	a->receipt_holds = rc || !a->in.readable || check_receipt(&a->why, r, &a->res, &a->in.ref);
}

static void restore(struct attempt *a)
{
	struct xr_settings set;

	xr_settings_default(&set);
	set.fd = a->feed.fd;
	set.host = XR_HOST_MODEL;
	set.model = a->model;
	set.store_port = STORE_PORT;
	set.console_port = CONSOLE_PORT;
	set.receipt = true;
	a->rc = combo_restore(&a->r->combo, &set, &a->res, &a->err, hold_receipt, a);
}

/* Not a byte behind END may be gone, and a file must stand right there. */
static bool check_rest(struct attempt *a)
{
	size_t want = a->in.size - a->in.end;
	off_t at = lseek(a->feed.fd, 0, SEEK_CUR);
	unsigned char *rest = malloc(want + 16);
	ssize_t have = feed_rest(&a->feed, rest, want + 16);
	bool same = have == (ssize_t)want && !memcmp(rest, a->in.bytes + a->in.end, want);

	free(rest);
	if (a->feed.kind == FEED_FILE && at != a->feed.start + (off_t)a->in.end)
		return why_not(&a->why, "the file's offset is %ld, not %ld", at,
			       a->feed.start + (off_t)a->in.end);
	return same ||
	       why_not(&a->why, "%zd bytes are left behind END, not %zu, or others", have, want);
}

static bool check_success(struct attempt *a, const struct random_stream *s)
{
	const struct why *w = &a->why;

	if (a->rc)
		return why_not(w, "failed with %d: %s", a->rc, a->err.text);
	if (!a->in.readable)
		return why_not(w, "succeeded, but the stream is broken: %s", a->in.ref.broken);
	if (!a->receipt_holds)
		return false;
	if (!check_guest(w, a->model, &a->in.ref) || !check_rest(a) ||
	    !check_domain(w, a->model, &a->in.ref, a->start_pages))
		return false;
	if (a->r->damage != DAMAGE_FLIP && !check_result(w, &a->res, s))
		return false;
	return (xr_model_param(a->model, 2) == STORE_PORT &&
		xr_model_param(a->model, 18) == CONSOLE_PORT) ||
	       why_not(w, "the event channels are not set");
}

static bool check_failure(struct attempt *a, const struct random_stream *s)
{
	if (!check_error(&a->why, a->rc, &a->err))
		return false;
	if (a->r->damage == DAMAGE_FAULT && !a->err.host_failed)
		return why_not(&a->why, "the host failed, but the error blames the stream: %s",
			       a->err.text);
	/* Where the cut leaves the headers alone there is one right answer. */
	if (a->r->damage == DAMAGE_CUT && a->in.size >= s->b.libxc_offset + 40 &&
	    (a->rc != -ENODATA || a->err.host_failed))
		return why_not(&a->why, "a stream that ends too early gives %d: %s", a->rc,
			       a->err.text);
	return true;
}

/* A flipped bit may still make a stream, a fault may never be met: then it must be restored. */
static bool check_attempt(struct attempt *a, const struct random_stream *s)
{
	bool must_fail = a->r->damage == DAMAGE_CUT;
	bool may_fail = must_fail || a->r->damage == DAMAGE_FLIP || a->r->damage == DAMAGE_FAULT;
	bool ok;

	if (a->rc ? may_fail : must_fail)
		ok = check_failure(a, s);
	else
		ok = check_success(a, s);
	return ok && check_habits(&a->why, a->model);
}

bool run_stream(struct run *r, const struct random_stream *s)
{
	struct attempt a = { .r = r, .why = { r->why, sizeof(r->why) }, .rng = rng_seed(r->seed) };
	bool ok = false;
	int rc;

	r->why[0] = 0;
	make_input(&a, s);
	rc = feed_open(&a.feed, (enum feed_kind)r->combo.feed, a.in.bytes, a.in.size, r->seed);
	if (rc) {
		why_not(&a.why, "no source: %d", rc);
		goto out;
	}
	if (!open_model(&a, s))
		goto out;
	restore(&a);
	ok = check_attempt(&a, s);
out:
	feed_close(&a.feed);
	xr_model_destroy(&a.model);
	refmodel_free(&a.in.ref);
	free(a.in.bytes);
	return ok;
}

/* --- seeds --------------------------------------------------------------------------------- */

static unsigned int from_env(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 0) : otherwise;
}

/* Most seeds have few contents: those are what takes time, the frames are what is interesting. */
static void options_of(struct random_options *o, uint64_t seed)
{
	struct rng dice = rng_seed(~seed);

	random_options_default(o, seed);
	if (rng_chance(&dice, 7, 8))
		o->max_data = (unsigned int)(10 + rng_below(&dice, 140));
	o->features = from_env("XR_FEATURES", o->features);
	o->max_data = from_env("XR_MAX_DATA", o->max_data);
	o->max_pfns = from_env("XR_MAX_PFNS", o->max_pfns);
	o->max_passes = from_env("XR_MAX_PASSES", o->max_passes);
}

static bool run_options(struct run *r, const struct random_options *o)
{
	struct random_stream s;
	bool ok;

	random_stream_make(&s, o);
	ok = run_stream(r, &s);
	random_stream_free(&s);
	return ok;
}

/* Take away what the failure does not need. */
static void shrink(struct run *r, struct random_options *o)
{
	struct run trial = *r;

	for (unsigned int bit = 1; bit < RANDOM_ALL; bit <<= 1) {
		struct random_options less = *o;

		less.features &= ~bit;
		if (less.features == o->features || run_options(&trial, &less))
			continue;
		*o = less;
		*r = trial;
	}
	while (o->max_pfns > 2) {
		struct random_options less = *o;

		less.max_pfns /= 2;
		if (run_options(&trial, &less))
			break;
		*o = less;
		*r = trial;
	}
}

static void describe(const struct run *r, const struct random_options *o, char *why, size_t room)
{
	char combo[COMBO_TEXT];

	combo_print(&r->combo, combo);
	snprintf(why, room,
		 "%s\n  replay: XR_SEED=%lu XR_COMBO=%s XR_FEATURES=%#x XR_MAX_PFNS=%u\n"
		 "  (source %s, %u workers of kind %u, policy %u, order %u, ahead %u MiB, room %u, "
		 "populates fail from order %u, io %u, damage %d)",
		 r->why, o->seed, combo, o->features, o->max_pfns,
		 feed_kind_name((enum feed_kind)r->combo.feed), r->combo.workers, r->combo.kind,
		 r->combo.policy, r->combo.max_order, r->combo.ahead_mib, r->combo.room,
		 r->combo.fail_from, r->combo.io, r->damage);
}

bool run_seed_as(uint64_t seed, const struct combo *combo, enum damage damage, char *why,
		 size_t room)
{
	struct run r = { .combo = *combo, .damage = damage, .seed = seed };
	struct random_options o;

	options_of(&o, seed);
	if (run_options(&r, &o))
		return true;
	describe(&r, &o, why, room);
	return false;
}

bool run_seed(uint64_t seed, enum damage damage, char *why, size_t room)
{
	struct rng dice = rng_seed(seed ^ 0x6d6f6465ull << 32);
	struct run r = { .combo = combo_random(&dice), .damage = damage, .seed = rng_next(&dice) };
	const char *combo = getenv("XR_COMBO");
	struct random_options o;

	if (combo && !combo_parse(&r.combo, combo)) {
		snprintf(why, room, "XR_COMBO=%s is no combination", combo);
		return false;
	}
	options_of(&o, seed);
	if (run_options(&r, &o))
		return true;
	shrink(&r, &o);
	describe(&r, &o, why, room);
	return false;
}
