/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domain behind the preload library: made from the environment, or attached. */
#include "world.h"

#include "base/shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define M2P_BYTES ((uint64_t)8 << 32)

static struct world the_world;
static int failure;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int make_model(struct world *w)
{
	struct xr_model_settings set;

	if (getenv("XR_MODEL_FD"))
		return xr_model_attach(&w->model, (int)number("XR_MODEL_FD", 0));
	xr_model_settings_default(&set);
	set.max_pages = number("XR_MODEL_MAX_PAGES", (uint64_t)1 << 24);
	set.max_vcpu_id = (uint32_t)number("XR_MODEL_VCPUS", 1) - 1;
	set.max_order = (unsigned int)number("XR_MODEL_MAX_ORDER", XR_ORDER_1G);
	set.no_huge = getenv("XR_MODEL_NO_HUGE");
	set.pv = getenv("XR_MODEL_PV");
	return xr_model_create(&w->model, &set);
}

static void start(void)
{
	struct world *w = &the_world;
	struct xr_dominfo info;
	int rc = make_model(w);

	if (!rc)
		rc = xr_host_model_open(&w->host, w->model);
	if (!rc)
		rc = w->host->ops->info(w->host, &info);
	if (rc) {
		fprintf(stderr, "xr-model-preload: no model: %s\n", strerror(-rc));
		failure = -rc;
		return;
	}
	w->domid = (uint32_t)number("XR_MODEL_DOMID", 1);
	w->xen_minor = (uint32_t)number("XR_MODEL_XEN_MINOR", 17);
	w->pv = !info.hvm;
	w->max_vcpu_id = info.max_vcpu_id;
}

struct world *world_get(void)
{
	pthread_once(&once, start);
	errno = failure;
	return failure ? NULL : &the_world;
}

static pthread_once_t m2p_once = PTHREAD_ONCE_INIT;
static int m2p = -1;

static void make_m2p(void)
{
	m2p = xr_shared_file("xr-m2p");
	if (m2p >= 0 && ftruncate(m2p, (off_t)M2P_BYTES)) {
		close(m2p);
		m2p = -1;
	}
}

int world_m2p(void)
{
	pthread_once(&m2p_once, make_m2p);
	return m2p;
}

void world_note_frames(uint64_t pfn, uint64_t mfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		const uint64_t entry = pfn + i;

		if (pwrite(world_m2p(), &entry, sizeof(entry),
			   (off_t)((mfn + i) * sizeof(entry))) != sizeof(entry))
			fprintf(stderr, "xr-model-preload: no memory for the M2P\n");
	}
}

int world_fail(int error)
{
	errno = error;
	return -1;
}

int world_result(int rc)
{
	return rc < 0 ? world_fail(-rc) : rc;
}

/* Has this call been complained about? A small table is enough to keep stderr short. */
static bool first_time(const char *call, unsigned int n)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		const char *call;
		unsigned int number;
	} seen[64];
	bool first = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		if (!seen[i].call) {
			seen[i].call = call;
			seen[i].number = n;
			first = true;
			break;
		}
		if (seen[i].number == n && strcmp(seen[i].call, call) == 0)
			break;
	}
	pthread_mutex_unlock(&lock);
	return first;
}

int world_refuse(struct world *w, const char *call, unsigned int n)
{
	atomic_fetch_add_explicit(&w->refused, 1, memory_order_relaxed);
	if (first_time(call, n))
		fprintf(stderr, "xr-model-preload: %s %u is not known here\n", call, n);
	return world_fail(ENOSYS);
}

EXPORT int xr_preload_stats(struct xr_preload_stats *out)
{
	struct world *w = &the_world;

	if (!w->host)
		return -1;
	xr_model_stats(w->model, &out->model);
	out->hypercalls = atomic_load(&w->hypercalls);
	out->refused = atomic_load(&w->refused);
	out->buffer_maps = atomic_load(&w->buffer_maps);
	return 0;
}

EXPORT uint64_t xr_preload_next(uint64_t from)
{
	return the_world.host ? xr_model_next(the_world.model, from) : ~(uint64_t)0;
}

EXPORT int xr_preload_peek(uint64_t gfn, void *page)
{
	return the_world.host ? xr_model_peek(the_world.model, gfn, page) : -1;
}
