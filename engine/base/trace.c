/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

/* Shared with workers. Times of events are absolute here, and `ended` 0 until the rest is there.
 * Pages that no event touches cost nothing. */
struct xr_trace {
	uint64_t start;
	uint64_t used; /* atomic; may exceed room */
	size_t room;
	struct xr_trace_event events[];
};

struct xr_trace *xr_trace_on;
__thread unsigned int xr_trace_row = XR_TRACE_LOOP;

static const struct {
	const char *name, *arg, *result;
} spans[] = {
#define SPAN(name, arg, result) { #name, arg, result },
	XR_SPANS(SPAN) XR_SAMPLES(SPAN)
};

static size_t bytes_of(size_t events)
{
	return sizeof(struct xr_trace) + events * sizeof(struct xr_trace_event);
}

int xr_trace_begin(size_t events)
{
	struct xr_trace *t;

	if (xr_trace_on)
		return -EBUSY;
	t = mmap(NULL, bytes_of(events), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t == MAP_FAILED)
		return -errno;
	t->room = events;
	t->start = xr_now();
	xr_trace_on = t;
	return 0;
}

void xr_trace_add(enum xr_span span, uint64_t begun, uint64_t arg, int64_t result)
{
	struct xr_trace *t = xr_trace_on;
	const uint64_t at = __atomic_fetch_add(&t->used, 1, __ATOMIC_RELAXED);
	struct xr_trace_event *e = &t->events[at];

	if (at >= t->room)
		return;
	*e = (struct xr_trace_event){
		.begun = begun, .arg = arg, .result = result, .row = xr_trace_row, .span = span
	};
	__atomic_store_n(&e->ended, xr_now(), __ATOMIC_RELEASE);
}

void xr_trace_zero(uint64_t now)
{
	if (xr_trace_on)
		xr_trace_on->start = now;
}

static uint64_t since(const struct xr_trace *t, uint64_t at)
{
	return at > t->start ? at - t->start : 0;
}

const char *xr_trace_name(enum xr_span span)
{
	return spans[span].name;
}

uint64_t xr_trace_each(void (*see)(const struct xr_trace_event *e, void *opaque), void *opaque)
{
	struct xr_trace *t = xr_trace_on;
	const uint64_t used = __atomic_load_n(&t->used, __ATOMIC_ACQUIRE);
	const uint64_t kept = used < t->room ? used : t->room;

	for (uint64_t i = 0; i < kept; i++) {
		struct xr_trace_event e = { .ended = __atomic_load_n(&t->events[i].ended,
								     __ATOMIC_ACQUIRE) };

		if (!e.ended) /* a worker died in it */
			continue;
		e = t->events[i];
		e.begun = since(t, e.begun);
		e.ended = since(t, e.ended);
		see(&e, opaque);
	}
	return used - kept;
}

struct writing {
	FILE *to;
	unsigned int rows;
};

static void put_event(const struct xr_trace_event *e, void *opaque)
{
	struct writing *w = opaque;

	fprintf(w->to, ",\n{\"name\":\"%s\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,", spans[e->span].name,
		e->row, (double)e->begun / 1e3);
	if (e->span >= XR_SPAN_queued)
		fputs("\"ph\":\"C\"", w->to);
	else
		fprintf(w->to, "\"ph\":\"X\",\"dur\":%.3f", (double)(e->ended - e->begun) / 1e3);
	fprintf(w->to, ",\"args\":{\"%s\":%" PRIu64 ",\"%s\":%" PRId64 "}}", spans[e->span].arg,
		e->arg, spans[e->span].result, e->result);
	if (e->row >= w->rows)
		w->rows = e->row + 1;
}

static void put_names(FILE *to, unsigned int rows)
{
	for (unsigned int i = 0; i < rows; i++)
		fprintf(to,
			",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,"
			"\"args\":{\"name\":\"%s %u\"}}",
			i, i == XR_TRACE_LOOP ? "control loop" : "copy worker",
			i == XR_TRACE_LOOP ? 0 : i - XR_TRACE_WORKER);
}

static void count_nothing(const struct xr_trace_event *e, void *opaque)
{
	(void)e, (void)opaque;
}

int xr_trace_write(FILE *to)
{
	struct writing w = { .to = to, .rows = 1 };

	fprintf(to,
		"{\"displayTimeUnit\":\"ms\",\"otherData\":{\"events_lost\":%" PRIu64 "},"
		"\"traceEvents\":[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":0,"
		"\"args\":{\"name\":\"xenrestore\"}}",
		xr_trace_each(count_nothing, NULL));
	xr_trace_each(put_event, &w);
	put_names(to, w.rows);
	fputs("\n]}\n", to);
	if (fflush(to))
		return -errno;
	return ferror(to) ? -EIO : 0;
}

void xr_trace_end(void)
{
	struct xr_trace *t = xr_trace_on;

	xr_trace_on = NULL;
	if (t)
		munmap(t, bytes_of(t->room));
}
