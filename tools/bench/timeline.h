/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the threads of a restore do over time, seen from outside: the CPU time that each thread of
 * the process and of its workers got between two looks, added up by stage. A thread belongs to a
 * stage by its name (xr-stream, xr-copy...); the first thread populates, and does what little is
 * not a page.
 */
#ifndef XR_BENCH_TIMELINE_H
#define XR_BENCH_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum bench_lane {
	LANE_STREAM,
	LANE_POPULATE,
	LANE_COPY,
	LANE_URING, /* the kernel's threads of an io_uring */
	LANE_OTHER,
	LANE_COUNT,
};
extern const char *const bench_lane_names[LANE_COUNT];

#define BENCH_POINTS_MAX 400u
#define BENCH_SEEN_MAX 512u /* threads at one time */

struct bench_point {
	double seconds;		/* since the process began, at the end of the interval */
	float busy[LANE_COUNT]; /* CPUs in use on average: 1.5 is one and a half */
};

struct bench_seen {
	pid_t tid;
	uint64_t ran;  /* ns of CPU so far */
	uint64_t look; /* the last that saw it */
};

struct bench_timeline {
	struct bench_point points[BENCH_POINTS_MAX];
	unsigned int n;
	uint64_t begun, last;  /* ns; last: of the last look */
	uint64_t skipped;      /* looks, after the points ran out */
	unsigned int every_ms; /* how often to look; the caller's */
	uint64_t looks;
	struct bench_seen seen[BENCH_SEEN_MAX]; /* what the last look saw */
	unsigned int nseen;
};

/* How often to look, in ms, at what should take so long: the points last for twice that. */
unsigned int bench_timeline_every(double seconds);

void bench_timeline_begin(struct bench_timeline *t);

/* One look at the process and its descendants. Never fails: what is gone has no time. */
void bench_timeline_look(pid_t pid, void *timeline);

#endif
