/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every single failure, one after the other: the nth call of each kind to the host, the nth call of
 * each kind to the C library, and reads of a small stream that end at every byte, of contents at
 * some.
 *
 * Environment: XR_EVERY_BYTE leaves no byte of the small stream out, and fewer of others;
 * XR_EVERY_CALL no call with a sanitizer.
 */
#include "failures/once.h"
#include "lib/isolate.h"
#include "lib/pvguest.h"
#include "lib/sanitizer.h"
#include "stream/io.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define STUCK 60u /* seconds; a restore here takes hundredths of one */
#define CALLS_MAX 3000u
#define MMAPS_MAX 16u /* the library maps before it begins; after that the model does */
#define STRIDE (SANITIZED ? 997u : 197u) /* between bytes of the longer stream; prime */
#define SMALL 6000u			 /* bytes of the one that is tried all over */
/* Between bytes of the small one; and where one is like the other. */
#define EVERY (SANITIZED && !getenv("XR_EVERY_BYTE") ? 67u : 1u)
#define EVERY_LIKE (getenv("XR_EVERY_BYTE") ? 1u : SANITIZED ? 67u : 13u)
#define HEADERS 40u
#define DENSE 16u /* calls from the first one on of which none is left out */
#define SPARSE (getenv("XR_EVERY_CALL") ? 1u : 11u)
#define PV_HEAD 400u   /* bytes of a PV guest's stream before its first page */
#define PV_TAIL 13000u /* and behind its last one */
#define ALL_HOWS ((1u << TRAP_READS) - 1)

/* Of running a restore. Worker processes take long to start and to end: they are tried with what
 * only they do, and with the calls to the host. */
enum { FORM_PIPE = 1, FORM_PROCESSES = 2, FORM_AUTO = 4 };
#define THREAD_FORMS 2u

static const enum xr_model_call host_calls[] = {
	XR_CALL_INFO,	XR_CALL_POPULATE, XR_CALL_RELEASE, XR_CALL_CPU_POLICY,
	XR_CALL_TSC,	XR_CALL_PARAM,	  XR_CALL_CONTEXT, XR_CALL_GRANTS,
	XR_CALL_MAPPER, XR_CALL_MAP,	  XR_CALL_UNMAP,   XR_CALL_DIRTY,
	XR_CALL_RAM,	XR_CALL_WIDTH,	  XR_CALL_VCPU,	   XR_CALL_PIN,
};

#define CALLS_OF_PV (1u << XR_CALL_WIDTH | 1u << XR_CALL_VCPU | 1u << XR_CALL_PIN)
#define CALLS_OF_COLO (1u << XR_CALL_DIRTY | 1u << XR_CALL_RAM)
/* Where all is known before, nothing is allocated that must be given back. */
#define CALLS_OF_HVM(form)                                                                         \
	(((1u << XR_CALL_COUNT) - 1) &                                                             \
	 ~(CALLS_OF_PV | CALLS_OF_COLO | ((form)&FORM_PIPE ? 0 : 1u << XR_CALL_RELEASE)))

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
	o->source = form & FORM_PIPE ? FEED_PIPE : FEED_FILE;
	o->kind = form & FORM_PROCESSES ? XR_WORKER_PROCESS
		  : form & FORM_AUTO	? XR_WORKER_AUTO
					: XR_WORKER_THREAD;
	o->io = XR_IO_AUTO;
	o->policy = form & FORM_PIPE ? XR_POLICY_SPECULATIVE : XR_POLICY_EXACT;
}

/* With a sanitizer each takes long; a stream with checkpoints takes many, most of them like others.
 */
static uint64_t step(const struct once *o)
{
	return (TSAN || (SANITIZED && o->cp)) && o->nth >= DENSE ? SPARSE : 1;
}

/* Let the nth one fail, for n from 1 on until there is no nth. */
static bool each_nth(struct once *o, const char *what, char *text, size_t room)
{
	const bool maps = o->fault == FAULT_CALL && o->call == TRAP_MMAP;
	char note[160];

	for (o->nth = 1; o->nth <= CALLS_MAX; o->nth += step(o)) {
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

/* must: a bit for each call that there is to fail. */
static bool host_fails_with(struct once with, unsigned int form, unsigned int must, char *text,
			    size_t room)
{
	static const int args[] = { -ENOMEM, 0, 3 }; /* as a whole, at an extent or page */
	bool ok = true;

	for (size_t c = 0; ok && c < sizeof(host_calls) / sizeof(host_calls[0]); c++) {
		const enum xr_model_call call = host_calls[c];
		const bool parts =
			call == XR_CALL_POPULATE || call == XR_CALL_RELEASE || call == XR_CALL_MAP;

		for (unsigned int a = 0; ok && a < (parts ? 3 : 1); a++) {
			struct once o = with;
			char what[32];

			o.fault = FAULT_HOST;
			o.call = call;
			o.arg = args[a];
			snprintf(what, sizeof(what), "host call %u no", call);
			choose_form(&o, form);
			ok = each_nth(&o, what, text, room);
			if (ok && !a && must >> call & 1 && o.nth == 1) {
				snprintf(text, room, "host call %u is never made", call);
				ok = false;
			}
		}
	}
	return ok;
}

static bool host_fails(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	bool ok;

	make_stream(&s, 11 + form, 60);
	ok = host_fails_with((struct once){ .b = &s.b, .ref = &s.ref }, form, CALLS_OF_HVM(form),
			     text, room);
	random_stream_free(&s);
	return ok;
}

/* A PV guest, 64-bit from a file and 32-bit from a pipe, with few contents besides its tables. */
struct pv_stream {
	struct pvguest guest;
	struct builder b;
	struct pvref ref;
};

static void make_pv_stream(struct pv_stream *s, unsigned int form)
{
	memset(s, 0, sizeof(*s));
	pvguest_init(&s->guest, form & FORM_PIPE ? 4 : 8);
	for (unsigned int pfn = 100; pfn < PVG_PFNS; pfn++)
		if (s->guest.type[pfn] == XR_EMIT_NOTAB)
			s->guest.type[pfn] = XR_EMIT_XALLOC;
	builder_begin(&s->b, XR_EMIT_BARE, 3, true);
	pvguest_stream(&s->guest, &s->b);
	cr_assert(pvref_read(&s->ref, builder_data(&s->b), builder_size(&s->b), 0));
}

static void free_pv_stream(struct pv_stream *s)
{
	pvref_free(&s->ref);
	builder_free(&s->b);
	pvguest_free(&s->guest);
}

static bool host_fails_pv(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct pv_stream s;
	bool ok;

	make_pv_stream(&s, form);
	ok = host_fails_with((struct once){ .b = &s.b, .pv = &s.ref }, form, CALLS_OF_PV, text,
			     room);
	free_pv_stream(&s);
	return ok;
}

static bool ring_works(void)
{
	static const int no_stop[2] = { -1, -1 };
	void *io;

	if (xr_io_uring_open(&io, 0, no_stop))
		return false;
	xr_io_uring.close(io);
	return true;
}

/* Is there something to fail? */
static bool is_made(const struct once *o, unsigned int form, enum trap_call call)
{
	if (trap_of_processes(call))
		return form >= FORM_PROCESSES;
	switch (call) {
	case TRAP_READV:
		return o->source == FEED_PIPE;
	case TRAP_PREAD:
	case TRAP_PREADV:
	case TRAP_LSEEK:
		return o->source == FEED_FILE;
	case TRAP_OPEN:
	case TRAP_PWRITE:
		return o->cp != NULL;
	case TRAP_PREAD_KEPT: /* a file on disk may have come by another call than open */
		return o->cp && o->buffer_mib;
	case TRAP_REGISTER:
	case TRAP_SUBMIT:
		return ring_works();
	case TRAP_REALLOC:
	case TRAP_SUBMIT_WAIT:
		return false; /* or as it happens */
	default:
		return true;
	}
}

static bool library_fails_by(struct once o, unsigned int form, enum trap_call call, int error,
			     char *text, size_t room)
{
	const bool plain = call == TRAP_READV || call == TRAP_PREADV || call == TRAP_POLL;
	bool ok;

	o.fault = FAULT_CALL;
	o.call = call;
	o.arg = error;
	choose_form(&o, form);
	if (plain)
		o.io = XR_IO_PLAIN;
	ok = each_nth(&o, trap_name(call), text, room);
	if (ok && o.nth == 1 && is_made(&o, form, call)) {
		snprintf(text, room, "%s is never called", trap_name(call));
		ok = false;
	}
	return ok;
}

/* For want of memory, and in a way that is the call's own. */
static bool library_fails_with(struct once with, unsigned int form, char *text, size_t room)
{
	bool ok = true;

	for (unsigned int call = 0; ok && call < TRAP_CALLS; call++) {
		const bool ring = call == TRAP_SUBMIT || call == TRAP_SUBMIT_WAIT;
		const int own = trap_of_stream(call) ? EIO : ring ? EINVAL : 0;

		if (form >= FORM_PROCESSES && !trap_of_processes(call))
			continue;
		ok = library_fails_by(with, form, call, ENOMEM, text, room) &&
		     (!own || library_fails_by(with, form, call, own, text, room));
	}
	return ok;
}

static bool library_fails(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	bool ok;

	make_stream(&s, 23 + form, 20);
	ok = library_fails_with((struct once){ .b = &s.b, .ref = &s.ref }, form, text, room);
	random_stream_free(&s);
	return ok;
}

static bool library_fails_pv(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct pv_stream s;
	bool ok;

	make_pv_stream(&s, form);
	ok = library_fails_with((struct once){ .b = &s.b, .pv = &s.ref }, form, text, room);
	free_pv_stream(&s);
	return ok;
}

/* Three checkpoints and records of one that is not complete; from a pipe they pass through a file.
 */
static void make_checkpoints(struct random_stream *s, struct once *o, uint64_t seed,
			     unsigned int data, unsigned int form)
{
	struct random_options ro;

	random_options_default(&ro, seed);
	ro.features = RANDOM_PASSES | RANDOM_BALLOON | RANDOM_DUPLICATES | RANDOM_OPTIONAL |
		      RANDOM_XALLOC;
	ro.max_data = data;
	ro.max_pfns = 1000;
	ro.max_passes = 1;
	ro.checkpoints = 3;
	random_stream_make(s, &ro);
	*o = (struct once){
		.b = &s->b, .ref = &s->ref, .cp = &s->cp, .buffer_mib = form & FORM_PIPE ? 0 : 1
	};
}

static bool host_fails_between(uint64_t seed, bool colo, unsigned int form, unsigned int must,
			       char *text, size_t room)
{
	struct random_stream s;
	struct once with;
	bool ok;

	make_checkpoints(&s, &with, seed + form, 60, form);
	with.colo = colo;
	ok = host_fails_with(with, form, must, text, room);
	random_stream_free(&s);
	return ok;
}

static bool host_fails_remus(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;

	return host_fails_between(33, false, form, CALLS_OF_HVM(form), text, room);
}

static bool host_fails_colo(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;

	return host_fails_between(61, true, form, CALLS_OF_COLO, text, room);
}

static bool library_fails_remus(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	struct once with;
	bool ok;

	make_checkpoints(&s, &with, 41 + form, 20, form);
	ok = library_fails_with(with, form, text, room);
	random_stream_free(&s);
	return ok;
}

/* hows: a bit for each enum trap_read. */
static bool reads_end_by(struct once o, enum xr_io io, unsigned int form, size_t at,
			 unsigned int hows, char *text, size_t room)
{
	bool ok = true;

	o.fault = FAULT_READ;
	o.nth = at;
	choose_form(&o, form);
	o.full = o.source == FEED_PIPE;
	o.io = io;
	for (o.call = 0; ok && o.call < TRAP_READS; o.call++) {
		const size_t n = (size_t)snprintf(
			text, room, "reads end at byte %zu of %zu, how %u, source %s, io %u: ", at,
			o.b->end_offset, o.call, feed_kind_name(o.source), io);
		const struct why why = { text + n, room - n };

		/* A regular file has no EAGAIN. */
		if (!(hows >> o.call & 1) || (o.call == TRAP_EAGAIN && o.source == FEED_FILE))
			continue;
		alarm(STUCK);
		ok = once(&o, &why);
	}
	return ok;
}

static bool reads_end_at(struct once o, unsigned int form, size_t at, unsigned int hows, char *text,
			 size_t room)
{
	return reads_end_by(o, XR_IO_AUTO, form, at, hows, text, room) &&
	       reads_end_by(o, XR_IO_PLAIN, form, at, hows, text, room);
}

/* One page in a few KiB, so that every byte of them can be tried. */
static void make_small_stream(struct random_stream *s)
{
	struct random_options o;

	random_options_default(&o, 0);
	o.features = RANDOM_PASSES | RANDOM_BALLOON | RANDOM_OPTIONAL;
	o.max_data = 2;
	o.max_pfns = 12;
	o.max_passes = 2;
	for (o.seed = 1;; o.seed++) {
		random_stream_make(s, &o);
		if (s->ref.pages == 1 && s->b.end_offset < SMALL)
			return;
		random_stream_free(s);
	}
}

/* The contents of the one page. */
static size_t contents_of(const struct builder *b)
{
	const unsigned char *bytes = builder_data(b);
	size_t at = b->libxc_offset + HEADERS;
	uint32_t head[2];

	for (;; at += sizeof(head) + ((head[1] + 7) & ~7u)) {
		memcpy(head, bytes + at, sizeof(head));
		if (head[0] == XR_EMIT_PAGE_DATA && head[1] > PVG_PAGE)
			return at + sizeof(head) + head[1] - PVG_PAGE;
	}
}

/* At every byte, in every way. At so many in the midst of contents, where one is like the other, by
 * plain calls, and with a sanitizer. */
static bool reads_end_anywhere(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	struct once with = { .b = &s.b, .ref = &s.ref };
	size_t contents;
	bool ok = true;

	make_small_stream(&s);
	contents = contents_of(&s.b);
	for (size_t at = 0; ok && at <= s.b.end_offset;
	     at += at > contents && at + 64 < contents + PVG_PAGE ? EVERY_LIKE : EVERY)
		ok = reads_end_by(with, XR_IO_AUTO, form, at, ALL_HOWS, text, room);
	for (size_t at = 0; ok && at <= s.b.end_offset; at += EVERY_LIKE)
		ok = reads_end_by(with, XR_IO_PLAIN, form, at, ALL_HOWS, text, room);
	random_stream_free(&s);
	return ok;
}

/* In a stream with more to it. */
static bool reads_end_here_and_there(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct random_stream s;
	struct once with = { .b = &s.b, .ref = &s.ref };
	bool ok = true;

	make_stream(&s, 5, 4);
	for (size_t at = 0; ok && at <= s.b.end_offset; at += STRIDE)
		ok = reads_end_at(with, form, at, ALL_HOWS, text, room);
	random_stream_free(&s);
	return ok;
}

/* At so many places of a PV guest's, whose tail is tried more closely: there its records are. */
static bool reads_end_pv(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	struct pv_stream s;
	size_t step;
	bool ok = true;

	make_pv_stream(&s, form);
	for (size_t at = 0; ok && at <= s.b.end_offset; at += step) {
		const bool records = at < PV_HEAD || at + PV_TAIL > s.b.end_offset;

		step = getenv("XR_EVERY_BYTE") && records ? 1 : records ? STRIDE : 50 * STRIDE;
		ok = reads_end_at((struct once){ .b = &s.b, .pv = &s.ref }, form, at, ALL_HOWS,
				  text, room);
	}
	free_pv_stream(&s);
	return ok;
}

/* Around each checkpoint more closely, where the fd changes hands. */
static bool is_near(const struct checkpoints *cp, size_t at)
{
	for (unsigned int i = 0; i < cp->n; i++)
		if (at + 24 >= cp->end[i] && at <= cp->resume[i] + 16)
			return true;
	return false;
}

static bool reads_end_remus(void *arg, char *text, size_t room)
{
	const unsigned int form = *(const unsigned int *)arg;
	const bool all = getenv("XR_EVERY_BYTE");
	struct random_stream s;
	struct once with;
	bool ok = true;

	make_checkpoints(&s, &with, 51 + form, 8, form);
	for (size_t at = 0; ok && at <= s.b.end_offset; at++) {
		const bool near = is_near(&s.cp, at);

		if (at % (near ? (all ? 1 : 7) : (all ? 1 : 5) * STRIDE))
			continue;
		ok = reads_end_at(with, form, at,
				  all ? ALL_HOWS : 1u << TRAP_EOF | 1u << at % TRAP_EOF, text,
				  room);
	}
	random_stream_free(&s);
	return ok;
}

static void in_forms(isolate_check check, unsigned int first, unsigned int end)
{
	char why[ISOLATE_WHY];

	for (unsigned int form = first; form < end; form++)
		cr_expect(isolated(check, &form, why), "form %u: %s", form, why);
}

Test(failures, of_the_host)
{
	in_forms(host_fails, 0, THREAD_FORMS);
}

Test(failures, of_the_library)
{
	in_forms(library_fails, 0, THREAD_FORMS);
}

Test(failures, of_the_host_with_worker_processes)
{
	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	in_forms(host_fails, FORM_PROCESSES, FORM_PROCESSES + 2);
}

Test(failures, of_worker_processes_to_start)
{
	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	in_forms(library_fails, FORM_PROCESSES, FORM_AUTO + 2);
}

Test(failures, of_reads_all_over_a_file)
{
	in_forms(reads_end_anywhere, 0, FORM_PIPE);
}

Test(failures, of_reads_all_over_a_pipe)
{
	in_forms(reads_end_anywhere, FORM_PIPE, FORM_PIPE + 1);
}

Test(failures, of_reads_of_a_longer_stream)
{
	in_forms(reads_end_here_and_there, 0, THREAD_FORMS);
}

Test(failures, of_the_host_of_a_pv_guest)
{
	in_forms(host_fails_pv, 0, THREAD_FORMS);
}

Test(failures, of_the_library_with_a_pv_guest)
{
	in_forms(library_fails_pv, 0, THREAD_FORMS);
}

Test(failures, of_reads_of_a_pv_guest)
{
	in_forms(reads_end_pv, 0, THREAD_FORMS);
}

Test(failures, of_the_host_with_checkpoints)
{
	in_forms(host_fails_remus, 0, THREAD_FORMS);
}

Test(failures, of_the_host_with_a_guest_that_runs_between_checkpoints)
{
	in_forms(host_fails_colo, 0, THREAD_FORMS);
}

Test(failures, of_the_library_with_checkpoints)
{
	in_forms(library_fails_remus, 0, THREAD_FORMS);
}

Test(failures, of_reads_with_checkpoints)
{
	in_forms(reads_end_remus, 0, THREAD_FORMS);
}

/* A ring that reads from a pipe, and a pipe that stops it. */
struct ring {
	int data[2], stop[2];
	void *io;
	char got[4];
	struct iovec iov;
};

static void ring_open(struct ring *g)
{
	int stop[2];

	memcpy(g->got, "none", 4);
	g->iov = (struct iovec){ g->got, sizeof(g->got) };
	cr_assert(!pipe(g->data) && !pipe(g->stop));
	stop[0] = g->stop[0];
	stop[1] = -1;
	if (xr_io_uring_open(&g->io, g->data[0], stop))
		cr_skip_test("no io_uring here");
}

/* What was not read then is not read later, into a buffer that is gone. */
static void ring_close_unread(struct ring *g)
{
	int left = 0;

	xr_io_uring.settle(g->io);
	xr_io_uring.close(g->io);
	cr_expect(!ioctl(g->data[0], FIONREAD, &left) && left == 4);
	cr_expect(!memcmp(g->got, "none", 4));
}

Test(failures, of_a_ring_that_takes_nothing)
{
	struct ring g;

	ring_open(&g);
	cr_assert(write(g.data[1], "data", 4) == 4);
	trap_set(TRAP_SUBMIT, 1, ENOMEM, g.data[0]);
	cr_expect(xr_io_uring.readv(g.io, &g.iov, 1, XR_IO_HERE) == -ENOMEM);
	ring_close_unread(&g);
}

Test(failures, of_a_ring_that_does_not_take_the_end_of_a_read, .timeout = STUCK)
{
	struct ring g;

	ring_open(&g);
	cr_assert(write(g.stop[1], "", 1) == 1);
	trap_set(TRAP_SUBMIT, 2, ENOMEM, g.data[0]);
	cr_expect(xr_io_uring.readv(g.io, &g.iov, 1, XR_IO_HERE) == -ECANCELED);
	cr_assert(trap_release() && write(g.data[1], "data", 4) == 4);
	ring_close_unread(&g);
}

Test(failures, of_a_ring_that_failed_for_good, .timeout = STUCK)
{
	static const enum trap_call calls[] = { TRAP_SUBMIT, TRAP_SUBMIT_WAIT };

	for (size_t i = 0; i < 2; i++)
		for (uint64_t nth = 1; nth <= 3; nth++) {
			struct ring g;

			ring_open(&g);
			cr_assert(write(g.stop[1], "", 1) == 1);
			trap_set_from(calls[i], nth, EINVAL, g.data[0]);
			cr_expect(xr_io_uring.readv(g.io, &g.iov, 1, XR_IO_HERE) < 0);
			xr_io_uring.settle(g.io);
			xr_io_uring.close(g.io);
			trap_release();
		}
}

/* A read into a buffer that stays, ahead of what is wanted. */
Test(failures, of_a_ring_that_fails_a_read_ahead, .timeout = STUCK)
{
	for (uint64_t nth = 1; nth <= 3; nth++) {
		const int fd = memfd_create("data", MFD_CLOEXEC), stop[2] = { -1, -1 };
		char got[4];
		void *io;

		cr_assert(fd >= 0 && write(fd, "data", 4) == 4);
		if (xr_io_uring_open(&io, fd, stop))
			cr_skip_test("no io_uring here");
		trap_set(TRAP_SUBMIT, nth, ENOMEM, fd);
		cr_assert_eq(xr_io_uring.begin(io, 0, got, 4, 0), 0);
		xr_io_uring.flush(io);
		if (xr_io_uring.finish(io, 0) != -ENOMEM)
			cr_expect(!memcmp(got, "data", 4));
		xr_io_uring.settle(io);
		xr_io_uring.close(io);
		trap_release();
		close(fd);
	}
}
