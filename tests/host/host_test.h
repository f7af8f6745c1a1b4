/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the suites of the model host share: a model with a handle and a mapper, and seeds. */
#ifndef HOST_TEST_H
#define HOST_TEST_H

#include "base/clock.h"
#include "host/model_impl.h"
#include "xenrestore.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES_2M 512u
#define PAGES_1G 262144u

struct rig {
	struct xr_model *m;
	struct xr_host *h;
	struct xr_mapper *map;
};

static inline struct xr_model_settings settings(uint64_t max_pages)
{
	struct xr_model_settings s;

	xr_model_settings_default(&s);
	s.max_pages = max_pages;
	return s;
}

static inline struct rig rig_with(const struct xr_model_settings *s)
{
	struct rig r;

	cr_assert_eq(xr_model_create(&r.m, s), 0);
	cr_assert_eq(xr_host_model_open(&r.h, r.m), 0);
	cr_assert_eq(r.h->ops->mapper_open(r.h, &r.map), 0);
	return r;
}

static inline struct rig rig(uint64_t max_pages)
{
	struct xr_model_settings s = settings(max_pages);

	return rig_with(&s);
}

static inline void rig_close(struct rig *r)
{
	r->h->ops->mapper_close(r->map);
	r->h->ops->close(r->h);
	xr_model_destroy(&r->m);
	cr_assert_null(r->m);
}

static inline struct xr_model_stats stats(struct rig *r)
{
	struct xr_model_stats s;

	xr_model_stats(r->m, &s);
	return s;
}

static inline long populate(struct rig *r, unsigned int order, uint64_t gfn)
{
	return r->h->ops->populate(r->h, order, 1, &gfn, NULL);
}

static inline long release(struct rig *r, unsigned int order, uint64_t gfn)
{
	return r->h->ops->release(r->h, order, 1, &gfn);
}

/* Order-0 calls on n gfns in a row. */
static inline long each_4k(struct rig *r, bool take, uint64_t gfn, size_t n)
{
	uint64_t *g = malloc(n * sizeof(*g));
	long rc;

	for (size_t i = 0; i < n; i++)
		g[i] = gfn + i;
	rc = take ? r->h->ops->release(r->h, 0, n, g) : r->h->ops->populate(r->h, 0, n, g, NULL);
	free(g);
	return rc;
}

/* Map n gfns in a row, all of which must be there. */
static inline unsigned char *map_row(struct rig *r, uint64_t gfn, size_t n)
{
	uint64_t g[XR_MAP_MAX];
	int err[XR_MAP_MAX];
	unsigned char *p;

	for (size_t i = 0; i < n; i++)
		g[i] = gfn + i;
	p = r->h->ops->map(r->map, n, g, err);
	cr_assert_not_null(p);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(err[i], 0);
	return p;
}

static inline int unmap(struct rig *r, void *p, size_t n)
{
	return r->h->ops->unmap(r->map, p, n);
}

/* Bytes that a file takes. */
static inline uint64_t file_bytes(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* XR_SEED, else a new seed, which is printed so that a failing run can be repeated. */
static inline uint64_t seed(const char *what)
{
	const char *env = getenv("XR_SEED");
	uint64_t s = env ? strtoull(env, NULL, 0) : xr_now();

	fprintf(stderr, "%s: XR_SEED=%llu\n", what, (unsigned long long)s);
	return s;
}

static inline uint64_t rnd(uint64_t *state, uint64_t below)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (x ^ x >> 31) % below;
}

/* A kB figure of the mappings that overlap [p, p + bytes). */
uint64_t smaps_kb(const void *p, size_t bytes, const char *field);

#endif
