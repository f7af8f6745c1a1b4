/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a page costs on a real Xen by each way that copy workers can get rid of their mappings:
 *
 *   xr-mapping-cost DOMID FIRST-PFN PAGES WORKERS ROUNDS
 *
 * writes PAGES pages of a paused domain that is good for nothing else, from start to end of a copy
 * stage, in windows of 1024. A line per way; ways take turns, the fastest round counts.
 */
#include "base/clock.h"
#include "copy/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS 4u

struct way {
	const char *name;
	enum xr_worker_kind kind;
	struct xr_keep keep;
	uint64_t best; /* ns */
	struct xr_copy_stats stats;
};

static struct way ways[] = {
	{ .name = "processes,exit", XR_WORKER_PROCESS, { XR_UNMAP_AT_EXIT, 65536 } },
	{ .name = "processes,exit-every-4k-pages", XR_WORKER_PROCESS, { XR_UNMAP_AT_EXIT, 4096 } },
	{ .name = "processes,unmap-at-once", XR_WORKER_PROCESS, { XR_UNMAP_AT_CLOSE, 0 } },
	{ .name = "processes,unmap-later", XR_WORKER_PROCESS, { XR_UNMAP_AT_BUDGET, 16384 } },
	{ .name = "threads,unmap-at-once", XR_WORKER_THREAD, { XR_UNMAP_AT_CLOSE, 0 } },
	{ .name = "threads,unmap-later", XR_WORKER_THREAD, { XR_UNMAP_AT_BUDGET, 16384 } },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct job {
	struct xr_host *host;
	struct xr_bufpool *pool;
	uint64_t first, pages;
	unsigned int workers;
};

static int take_buffer(struct xr_bufpool *pool)
{
	int buffer;

	for (;;) {
		const uint32_t seen = xr_event_value(&pool->freed);

		buffer = xr_bufpool_take(pool);
		if (buffer >= 0)
			return buffer;
		xr_event_wait(&pool->freed, seen, 1000);
	}
}

static int write_window(const struct job *j, struct xr_copy *c, uint64_t pfn, size_t n,
			struct xr_error *err)
{
	const struct xr_where where = { 0 };
	uint64_t pfns[XR_WINDOW];
	int rc;

	for (size_t i = 0; i < n; i++)
		pfns[i] = pfn + i;
	rc = xr_copy_begin(c, &where, pfns, n, false, err);
	if (!rc)
		rc = xr_copy_data(c, 0, n, NULL, take_buffer(j->pool), 0, err);
	if (!rc)
		rc = xr_copy_end(c, err);
	return rc;
}

static int write_all(const struct job *j, struct way *w, struct xr_error *err)
{
	const struct xr_copy_config cfg = { j->workers, w->kind, false, -1, j->pool, NULL };
	const uint64_t end = j->first + j->pages;
	struct xr_copy *c;
	int rc = xr_copy_open_tuned(&c, j->host, &cfg, &w->keep, err);

	for (uint64_t pfn = j->first; !rc && pfn < end; pfn += XR_WINDOW)
		rc = write_window(j, c, pfn, end - pfn < XR_WINDOW ? end - pfn : XR_WINDOW, err);
	if (!rc)
		rc = xr_copy_drain(c, err);
	if (!rc)
		xr_copy_stats(c, &w->stats);
	xr_copy_close(&c);
	return rc;
}

static int measure(const struct job *j, unsigned int rounds, struct xr_error *err)
{
	for (unsigned int i = 0; i < rounds * WAYS; i++) {
		struct way *w = &ways[i % WAYS];
		const uint64_t began = xr_now();
		const int rc = write_all(j, w, err);
		const uint64_t took = xr_now() - began;

		if (rc)
			return rc;
		if (!w->best || took < w->best)
			w->best = took;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct job j = { 0 };
	struct xr_error err;
	int rc = 2;

	xr_error_clear(&err);
	if (argc != 6) {
		fputs("usage: xr-mapping-cost DOMID FIRST-PFN PAGES WORKERS ROUNDS\n", stderr);
		return rc;
	}
	j.first = strtoull(argv[2], NULL, 0);
	j.pages = strtoull(argv[3], NULL, 0);
	j.workers = (unsigned int)atoi(argv[4]);
	j.pool = xr_bufpool_create(BUFFERS, (size_t)XR_WINDOW * XR_PAGE_SIZE);
	if (!j.pool || !j.pages || xr_host_xen_open(&j.host, (uint32_t)atoi(argv[1]), NULL)) {
		fputs("xr-mapping-cost: no memory, no pages, or no such domain\n", stderr);
		return 1;
	}
	for (unsigned int i = 0; i < BUFFERS; i++)
		memset(xr_bufpool_data(j.pool, i), 0x5a, (size_t)XR_WINDOW * XR_PAGE_SIZE);
	rc = measure(&j, (unsigned int)atoi(argv[5]), &err);
	if (rc)
		fprintf(stderr, "xr-mapping-cost: %s\n", err.text);
	for (size_t i = 0; !rc && i < WAYS; i++)
		printf("%s workers=%u us-per-page=%.2f map=%lu unmap=%lu\n", ways[i].name,
		       j.workers, (double)ways[i].best / 1000.0 / (double)j.pages,
		       (unsigned long)ways[i].stats.map_calls,
		       (unsigned long)ways[i].stats.unmap_calls);
	j.host->ops->close(j.host);
	xr_bufpool_destroy(j.pool);
	return rc ? 1 : 0;
}
