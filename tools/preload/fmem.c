/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxenforeignmemory's calls: frames of the domain are mapped by the model; the frames around it
 * that a restore needs (grant table, machine-to-phys table) are made here. And the two
 * calls of libxendevicemodel that opening libxenctrl makes.
 */
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include <xen/grant_table.h>
#include <xen/memory.h>

/* The kernel serialises the mapping calls of a process; the lock of mappings.c does the same. */
struct xenforeignmemory_handle {
	struct world *w;
	struct xr_mapper *mapper;
};

struct xenforeignmemory_resource_handle {
	void *addr;
	size_t bytes;
};

EXPORT xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
						      unsigned int flags)
{
	struct world *w = world_get();
	xenforeignmemory_handle *h;
	int rc;

	(void)logger;
	(void)flags;
	if (!w)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->w = w;
	rc = w->host->ops->mapper_open(w->host, &h->mapper);
	if (rc) {
		free(h);
		errno = -rc;
		return NULL;
	}
	return h;
}

EXPORT int xenforeignmemory_close(xenforeignmemory_handle *h)
{
	if (!h)
		return 0;
	mappings_lock();
	mappings_forget(h->mapper);
	h->w->host->ops->mapper_close(h->mapper);
	mappings_unlock();
	free(h);
	return 0;
}

EXPORT int xenforeignmemory_restrict(xenforeignmemory_handle *h, domid_t domid)
{
	return domid == h->w->domid ? 0 : world_fail(ESRCH);
}

/* Frames of the machine-to-phys table, which are numbered by their place in it. */
static void *map_m2p(size_t n, const xen_pfn_t *frames, int *err)
{
	char *at = mmap(NULL, n * XR_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t run;

	if (at == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < n; i += run) {
		for (run = 1; i + run < n && frames[i + run] == frames[i] + run; run++)
			;
		if (mmap(at + i * XR_PAGE_SIZE, run * XR_PAGE_SIZE, PROT_READ,
			 MAP_SHARED | MAP_FIXED, world_m2p(),
			 (off_t)(frames[i] * XR_PAGE_SIZE)) == MAP_FAILED) {
			munmap(at, n * XR_PAGE_SIZE);
			return NULL;
		}
	}
	if (err)
		memset(err, 0, n * sizeof(*err));
	return at;
}

static bool all_mapped(const int *err, size_t n)
{
	while (n && !err[n - 1])
		n--;
	return !n;
}

/* Without a caller's err[], a page that fails fails the call. */
static void *map_or_fail(xenforeignmemory_handle *h, size_t n, const uint64_t *gfns)
{
	int *err = calloc(n, sizeof(*err));
	void *p;

	if (!err)
		return NULL;
	p = xr_model_map_many(h->mapper, n, gfns, err);
	if (p && !all_mapped(err, n)) {
		h->w->host->ops->unmap(h->mapper, p, n);
		errno = EINVAL;
		p = NULL;
	}
	free(err);
	return p;
}

static void *map_guest(xenforeignmemory_handle *h, size_t n, const xen_pfn_t *gfns, int *err)
{
	void *p;

	_Static_assert(sizeof(*gfns) == sizeof(uint64_t), "frame numbers have 64 bits");
	mappings_lock();
	p = err ? xr_model_map_many(h->mapper, n, gfns, err) : map_or_fail(h, n, gfns);
	if (p && mappings_note(h->w, h->mapper, p, n)) {
		h->w->host->ops->unmap(h->mapper, p, n);
		errno = ENOMEM;
		p = NULL;
	}
	mappings_unlock();
	return p;
}

EXPORT void *xenforeignmemory_map2(xenforeignmemory_handle *h, uint32_t dom, void *addr, int prot,
				   int flags, size_t n, const xen_pfn_t *gfns, int *err)
{
	void *p;

	(void)addr; /* a hint */
	if (flags & MAP_FIXED) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (dom == DOMID_XEN) {
		p = map_m2p(n, gfns, err);
	} else if (dom == h->w->domid) {
		p = map_guest(h, n, gfns, err);
	} else {
		errno = ESRCH;
		p = NULL;
	}
	if (p && !(prot & PROT_WRITE))
		mprotect(p, n * XR_PAGE_SIZE, prot);
	return p;
}

EXPORT void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot, size_t n,
				  const xen_pfn_t *gfns, int *err)
{
	return xenforeignmemory_map2(h, dom, NULL, prot, 0, n, gfns, err);
}

/* As in libxenforeignmemory: no more than munmap(), which knows what is a guest's. */
EXPORT int xenforeignmemory_unmap(xenforeignmemory_handle *h, void *addr, size_t n)
{
	(void)h;
	return munmap(addr, n * XR_PAGE_SIZE);
}

EXPORT int xenforeignmemory_resource_size(xenforeignmemory_handle *h, domid_t domid,
					  unsigned int type, unsigned int id, size_t *size)
{
	if (domid != h->w->domid)
		return world_fail(ESRCH);
	if (type != XENMEM_resource_grant_table || id != XENMEM_resource_grant_table_id_shared)
		return world_refuse(h->w, "resource", type);
	*size = XR_PAGE_SIZE;
	return 0;
}

/* The first frame of the grant table: what was written is read when it is unmapped. */
EXPORT xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
	xenforeignmemory_handle *h, domid_t domid, unsigned int type, unsigned int id,
	unsigned long frame, unsigned long n, void **addr, int prot, int flags)
{
	xenforeignmemory_resource_handle *res;
	size_t size = 0;

	(void)prot;
	(void)flags;
	if (xenforeignmemory_resource_size(h, domid, type, id, &size))
		return NULL;
	if (frame || n != 1) {
		errno = EINVAL;
		return NULL;
	}
	res = malloc(sizeof(*res));
	if (!res)
		return NULL;
	res->bytes = size;
	res->addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (res->addr == MAP_FAILED) {
		free(res);
		return NULL;
	}
	*addr = res->addr;
	return res;
}

EXPORT int xenforeignmemory_unmap_resource(xenforeignmemory_handle *h,
					   xenforeignmemory_resource_handle *res)
{
	const grant_entry_v1_t *g;
	int rc;

	if (!res)
		return 0;
	g = res->addr;
	rc = h->w->host->ops->seed_grants(h->w->host, !h->w->pv, g[GNTTAB_RESERVED_CONSOLE].frame,
					  g[GNTTAB_RESERVED_XENSTORE].frame,
					  g[GNTTAB_RESERVED_CONSOLE].domid,
					  g[GNTTAB_RESERVED_XENSTORE].domid);
	munmap(res->addr, res->bytes);
	free(res);
	return world_result(rc);
}

/* Only ever handed back to its close here: none of the device model's calls is answered. */
EXPORT xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
						  unsigned int flags)
{
	static char token;

	(void)logger;
	(void)flags;
	return (xendevicemodel_handle *)&token;
}

EXPORT int xendevicemodel_close(xendevicemodel_handle *h)
{
	(void)h;
	return 0;
}
