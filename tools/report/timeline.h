/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a trace says of a restore over time, and of its calls to the host. */
#ifndef XR_REPORT_TIMELINE_H
#define XR_REPORT_TIMELINE_H

#include <jansson.h>

#define TIMELINE_BINS 100u

/* {"width": s, "bins": [[read, written, records, copies, loop, workers], ...]}: bytes a second, the
 * most that was queued, and how many of them worked on average. */
json_t *timeline_json(double seconds);

/* [{"pass", "pages", "begun", "ended"}, ...] */
json_t *passes_json(void);

/* [{"name", "count", "seconds", "p50", "p90", "p99", "max"}, ...]; times in seconds. */
json_t *calls_json(void);

#endif
