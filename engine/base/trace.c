/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

struct event {
	uint64_t begun, ended; /* ns; ended 0: not written yet */
	uint64_t arg;
	int64_t result;
	uint32_t row, span;
};

/* Shared with workers. Pages that no event touches cost nothing. */
struct xr_trace {
	uint64_t start;
	uint64_t used; /* atomic; may exceed room */
	size_t room;
	struct event events[];
};

struct xr_trace *xr_trace_on;
__thread unsigned int xr_trace_row = XR_TRACE_LOOP;

static const struct {
	const char *name, *arg, *result;
} spans[] = {
#define SPAN(name, arg, result) { #name, arg, result },
	XR_SPANS(SPAN)
};

static size_t bytes_of(size_t events)
{
	return sizeof(struct xr_trace) + events * sizeof(struct event);
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
	struct event *e = &t->events[at];

	if (at >= t->room)
		return;
	*e = (struct event){
		.begun = begun, .arg = arg, .result = result, .row = xr_trace_row, .span = span
	};
	__atomic_store_n(&e->ended, xr_now(), __ATOMIC_RELEASE);
}

static void put_event(FILE *to, const struct xr_trace *t, const struct event *e)
{
	const uint64_t ended = __atomic_load_n(&e->ended, __ATOMIC_ACQUIRE);

	if (!ended) /* a worker died in it */
		return;
	fprintf(to,
		",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,"
		"\"args\":{\"%s\":%" PRIu64 ",\"%s\":%" PRId64 "}}",
		spans[e->span].name, e->row, (double)(e->begun - t->start) / 1e3,
		(double)(ended - e->begun) / 1e3, spans[e->span].arg, e->arg, spans[e->span].result,
		e->result);
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

int xr_trace_end(FILE *to)
{
	struct xr_trace *t = xr_trace_on;
	const uint64_t used = __atomic_load_n(&t->used, __ATOMIC_ACQUIRE);
	const uint64_t kept = used < t->room ? used : t->room;
	unsigned int rows = 1;
	int rc;

	xr_trace_on = NULL;
	fprintf(to,
		"{\"displayTimeUnit\":\"ms\",\"otherData\":{\"events_lost\":%" PRIu64 "},"
		"\"traceEvents\":[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":0,"
		"\"args\":{\"name\":\"xenrestore\"}}",
		used - kept);
	for (uint64_t i = 0; i < kept; i++) {
		put_event(to, t, &t->events[i]);
		rows = t->events[i].row >= rows ? t->events[i].row + 1 : rows;
	}
	put_names(to, rows);
	fputs("\n]}\n", to);
	rc = fflush(to) || ferror(to) ? -EIO : 0;
	munmap(t, bytes_of(t->room));
	return rc;
}
