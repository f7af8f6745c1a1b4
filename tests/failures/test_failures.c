/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every single failure, one after the other: the nth call of each kind to the host, the nth call of
 * each kind to the C library, and a read that ends in the stream: at some bytes, or at each if
 * XR_EVERY_BYTE is set.
 */
#include "failures/once.h"
#include "lib/isolate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STUCK 60u /* seconds; a restore here takes hundredths of one */
#define CALLS_MAX 3000u
#define MMAPS_MAX 16u /* the library maps before it begins; after that the model does */
#define FORMS 2u      /* of running a restore; worker processes take long to start and to end */
#define STRIDE 197u   /* between the bytes that are tried; prime */

static const enum xr_model_call host_calls[] = {
	XR_CALL_INFO,  XR_CALL_POPULATE, XR_CALL_RELEASE, XR_CALL_CPU_POLICY, XR_CALL_TSC,
	XR_CALL_PARAM, XR_CALL_CONTEXT,	 XR_CALL_GRANTS,  XR_CALL_MAPPER,     XR_CALL_MAP,
};

/* Enough to meet every path: balloons, several passes, holes, all records. */
static void make_stream(struct random_stream *s, uint64_t seed, unsigned int data)
{
	struct random_options o;

	random_options_default(&o, seed);
	o.features = RANDOM_PASSES | RANDOM_BALLOON | RANDOM_DUPLICATES | RANDOM_OPTIONAL;
	o.max_data = data;
	o.max_pfns = 1400;
	o.max_passes = 3;
	random_stream_make(s, &o);
}

static void choose_form(struct once *o, unsigned int form)
{
	o->source = form & 1 ? FEED_PIPE : FEED_FILE;
	o->kind = XR_WORKER_THREAD;
	o->io = XR_IO_AUTO;
	o->policy = form & 1 ? XR_POLICY_SPECULATIVE : XR_POLICY_EXACT;
}

/* Let the nth one fail, for n from 1 on until there is no nth. */
static bool each_nth(struct once *o, const char *what, char *text, size_t room)
{
	const bool maps = o->fault == FAULT_CALL && o->call == TRAP_MMAP;
	char note[160];

	for (o->nth = 1; o->nth <= CALLS_MAX; o->nth++) {
		const size_t n = (size_t)snprintf(
			note, sizeof(note),
			"%s %llu fails (arg %d, source %s, kind %u, policy %u): ", what,
			(unsigned long long)o->nth, o->arg, feed_kind_name(o->source), o->kind,
			o->policy);
		const struct why why = { text + n, room - n };

		memcpy(text, note, n + 1);
		alarm(STUCK);
		if (!once(o, &why))
			return false;
		if (!o->sprung || (maps && o->nth == MMAPS_MAX))
			return true;
	}
	snprintf(text, room, "%s: there is no end to it", what);
	return false;
}

static bool host_fails(void *arg, char *text, size_t room)
{
	static const int args[] = { -ENOMEM, 0, 3 }; /* as a whole, at an extent or page */
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	bool ok = true;

	make_stream(&s, 11 + form, 60);
	for (size_t c = 0; ok && c < sizeof(host_calls) / sizeof(host_calls[0]); c++) {
		const enum xr_model_call call = host_calls[c];
		const bool parts =
			call == XR_CALL_POPULATE || call == XR_CALL_RELEASE || call == XR_CALL_MAP;

		for (unsigned int a = 0; ok && a < (parts ? 3 : 1); a++) {
			struct once o = {
				.stream = &s, .fault = FAULT_HOST, .call = call, .arg = args[a]
			};
			char what[32];

			snprintf(what, sizeof(what), "host call %u no", call);
			choose_form(&o, form);
			ok = each_nth(&o, what, text, room);
		}
	}
	random_stream_free(&s);
	return ok;
}

static bool library_fails(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	bool ok = true;

	make_stream(&s, 23 + form, 20);
	for (unsigned int call = 0; ok && call < TRAP_CALLS; call++) {
		struct once o = { .stream = &s, .fault = FAULT_CALL, .call = call, .arg = ENOMEM };

		choose_form(&o, form);
		ok = each_nth(&o, trap_name(call), text, room);
	}
	random_stream_free(&s);
	return ok;
}

static bool reads_end(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	const size_t stride = getenv("XR_EVERY_BYTE") ? 1 : STRIDE;
	struct random_stream s;
	struct once o = { .stream = &s, .fault = FAULT_READ };
	bool ok = true;

	make_stream(&s, 5, 4);
	choose_form(&o, form);
	o.io = XR_IO_PLAIN;
	for (size_t at = 0; ok && at <= s.b.end_offset; at += stride) {
		for (o.call = 0; ok && o.call < TRAP_READS; o.call++) {
			const size_t n = (size_t)snprintf(
				text, room, "reads end at byte %zu of %zu, how %u, source %s: ", at,
				s.b.end_offset, o.call, feed_kind_name(o.source));
			const struct why why = { text + n, room - n };

			/* A regular file has no EAGAIN. */
			if (o.call == TRAP_EAGAIN && o.source == FEED_FILE)
				continue;
			o.nth = at;
			alarm(STUCK);
			ok = once(&o, &why);
		}
	}
	random_stream_free(&s);
	return ok;
}

static void in_forms(isolate_check check, unsigned int forms)
{
	char why[ISOLATE_WHY];

	for (unsigned int form = 0; form < forms; form++)
		cr_expect(isolated(check, &form, why), "form %u: %s", form, why);
}

Test(failures, of_the_host)
{
	in_forms(host_fails, FORMS);
}

Test(failures, of_the_library)
{
	in_forms(library_fails, FORMS);
}

Test(failures, of_reads)
{
	in_forms(reads_end, FORMS);
}
