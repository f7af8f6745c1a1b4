/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens when, for those who look on. A span is marked at both ends, by XR_SPAN_BEGIN() and
 * XR_SPAN_END() in one function, and is seen in two ways:
 *
 * As USDT probes xenrestore:<name>__begin(arg) and xenrestore:<name>__end(arg, result), where
 * <sys/sdt.h> was there at build time: a no-op until a tracer arms them.
 *
 * As an event in a trace of this process and the workers it forks afterwards, if one was begun: a
 * load and a branch if not. A trace has room for a number of events; what comes later is counted.
 */
#ifndef XR_TRACE_H
#define XR_TRACE_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>

#ifdef XR_HAVE_SDT
#include <sys/sdt.h>
#else
#define DTRACE_PROBE1(provider, name, a) ((void)(a))
#define DTRACE_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#endif

/* Name, its argument, its result. */
#define XR_SPANS(X)                                                                                \
	X(wait, "ahead", "items") /* the control loop, for the stream */                           \
	X(item, "kind", "error")  /* of the stream, carried out */                                 \
	X(populate, "extents", "done")                                                             \
	X(release, "extents", "done")                                                              \
	X(retire, "frames", "error") /* copies to frames that are taken away are ended */          \
	X(drain, "workers", "error") /* all copies are ended */                                    \
	X(map, "frames", "mapped")                                                                 \
	X(unmap, "frames", "error")                                                                \
	X(copy, "op", "error") /* a worker's step: XR_OP_* */

/* Numbers at a moment, in traces only: name, and what its two values are called. */
#define XR_SAMPLES(X)                                                                              \
	X(queued, "records", "copies") /* by the stream, and by the control loop for workers */    \
	X(moved, "bytes", "pages")     /* of the stream, and into the guest */                     \
	X(pass, "pass", "pages")       /* and contents received so far */

enum xr_span {
#define XR_SPAN_ENUM(name, ...) XR_SPAN_##name,
	XR_SPANS(XR_SPAN_ENUM) XR_SAMPLES(XR_SPAN_ENUM)
#undef XR_SPAN_ENUM
		XR_SPAN_COUNT
};

struct xr_trace;
extern struct xr_trace *xr_trace_on; /* NULL: none is taken */

/* Numbers of the rows of a trace: the control loop's, and above it the workers'. */
#define XR_TRACE_LOOP 0u
#define XR_TRACE_WORKER 1u
extern __thread unsigned int xr_trace_row;

/* Begin a trace of this process; before xr_open(). 0 or -errno. One at a time. */
int xr_trace_begin(size_t events);
/* Its time is counted from here on; what began before has begun at 0. */
void xr_trace_zero(uint64_t now);
/* Write it in Chrome's trace format. 0 or -errno. */
int xr_trace_write(FILE *to);
/* Let go of it, if there is one. */
void xr_trace_end(void);

struct xr_trace_event {
	uint64_t begun, ended; /* ns since the trace began; a sample: the same */
	uint64_t arg;
	int64_t result;
	uint32_t row, span;
};

/* Call see() for each event, in no order; returns how many there was no room for. */
uint64_t xr_trace_each(void (*see)(const struct xr_trace_event *e, void *opaque), void *opaque);
const char *xr_trace_name(enum xr_span span);

void xr_trace_add(enum xr_span span, uint64_t begun, uint64_t arg, int64_t result);

#define XR_SPAN_BEGIN(name, arg)                                                                   \
	({                                                                                         \
		DTRACE_PROBE1(xenrestore, name##__begin, arg);                                     \
		xr_trace_on ? xr_now() : 0;                                                        \
	})
#define XR_SAMPLE(name, a, b)                                                                      \
	do {                                                                                       \
		if (xr_trace_on)                                                                   \
			xr_trace_add(XR_SPAN_##name, xr_now(), (uint64_t)(a), (int64_t)(b));       \
	} while (0)
#define XR_SPAN_END(name, begun, arg, result)                                                      \
	do {                                                                                       \
		DTRACE_PROBE2(xenrestore, name##__end, arg, result);                               \
		if (begun)                                                                         \
			xr_trace_add(XR_SPAN_##name, begun, (uint64_t)(arg), (int64_t)(result));   \
	} while (0)

#endif
