/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/timeline.h"

#include "base/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 3u
#define EVERY_MIN_MS 2u

const char *const bench_lane_names[LANE_COUNT] = { "stream", "populate", "copy", "io_uring",
						   "other" };

unsigned int bench_timeline_every(double seconds)
{
	const double ms = seconds * 1000 * 2 / BENCH_POINTS_MAX;

	return ms < EVERY_MIN_MS ? EVERY_MIN_MS : (unsigned int)ms;
}

void bench_timeline_begin(struct bench_timeline *t)
{
	const unsigned int every_ms = t->every_ms;

	memset(t, 0, sizeof(*t));
	t->every_ms = every_ms;
	t->begun = t->last = xr_now();
}

static bool read_line(pid_t pid, pid_t tid, const char *file, char *line, int size)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(line, size, f);
	fclose(f);
	return ok;
}

static enum bench_lane lane_of(const char *name, bool first)
{
	static const struct {
		const char *prefix;
		enum bench_lane lane;
	} lanes[] = {
		{ "xr-stream", LANE_STREAM },
		{ "xr-copy", LANE_COPY },
		{ "iou-", LANE_URING },
	};

	for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++)
		if (!strncmp(name, lanes[i].prefix, strlen(lanes[i].prefix)))
			return lanes[i].lane;
	return first ? LANE_POPULATE : LANE_OTHER;
}

/* The CPU time since the last look; a thread not seen before began after it. */
static uint64_t advance(struct bench_timeline *t, pid_t tid, uint64_t ran)
{
	uint64_t before;

	for (unsigned int i = 0; i < t->nseen; i++) {
		if (t->seen[i].tid == tid) {
			before = t->seen[i].ran;
			t->seen[i].ran = ran;
			t->seen[i].look = t->looks;
			return ran > before ? ran - before : 0;
		}
	}
	if (t->nseen == BENCH_SEEN_MAX)
		return 0;
	t->seen[t->nseen++] = (struct bench_seen){ tid, ran, t->looks };
	return ran;
}

/* Workers come and go: those that are gone make room. */
static void forget_gone(struct bench_timeline *t)
{
	for (unsigned int i = 0; i < t->nseen;) {
		if (t->seen[i].look == t->looks)
			i++;
		else
			t->seen[i] = t->seen[--t->nseen];
	}
}

static void look_process(struct bench_timeline *t, pid_t pid, unsigned int depth, uint64_t *ns);

static void look_children(struct bench_timeline *t, pid_t pid, pid_t tid, unsigned int depth,
			  uint64_t *ns)
{
	char line[2048], *p = line, *end;

	if (depth >= DEPTH || !read_line(pid, tid, "children", line, sizeof(line)))
		return;
	for (long child = strtol(p, &end, 10); end != p; child = strtol(p, &end, 10)) {
		look_process(t, (pid_t)child, depth + 1, ns);
		p = end;
	}
}

static void look_thread(struct bench_timeline *t, pid_t pid, pid_t tid, uint64_t *ns)
{
	unsigned long long ran;
	char name[64], line[128];

	if (!read_line(pid, tid, "comm", name, sizeof(name)) ||
	    !read_line(pid, tid, "schedstat", line, sizeof(line)) ||
	    sscanf(line, "%llu", &ran) != 1)
		return;
	ns[lane_of(name, pid == tid)] += advance(t, tid, ran);
}

static void look_process(struct bench_timeline *t, pid_t pid, unsigned int depth, uint64_t *ns)
{
	const struct dirent *e;
	char path[32];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		const pid_t tid = (pid_t)atoi(e->d_name);

		if (tid <= 0)
			continue;
		look_thread(t, pid, tid, ns);
		look_children(t, pid, tid, depth, ns);
	}
	if (d)
		closedir(d);
}

void bench_timeline_look(pid_t pid, void *timeline)
{
	struct bench_timeline *t = timeline;
	uint64_t ns[LANE_COUNT] = { 0 }, now;
	struct bench_point *p;

	t->looks++;
	look_process(t, pid, 0, ns);
	forget_gone(t);
	now = xr_now();
	if (t->n == BENCH_POINTS_MAX || now == t->last) {
		t->skipped++;
		return;
	}
	p = &t->points[t->n++];
	p->seconds = (double)(now - t->begun) / 1e9;
	for (unsigned int i = 0; i < LANE_COUNT; i++)
		p->busy[i] = (float)((double)ns[i] / (double)(now - t->last));
	t->last = now;
}
