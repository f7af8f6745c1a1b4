/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxencall's calls: handles, hypercall buffers (plain memory here), and who answers what. */
#include "world.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xencall.h>
#include <xenctrl.h>

#define CACHED 4u

/* libxencall keeps a few single pages, so that a small call maps nothing; so do we. */
struct xencall_handle {
	pthread_mutex_t lock;
	void *page[CACHED];
	unsigned int pages;
};

/* Before an object of xencall_alloc_buffer(). */
struct object {
	size_t pages;
	char pad[64 - sizeof(size_t)];
};

EXPORT xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned int flags)
{
	xencall_handle *h;

	(void)logger;
	(void)flags;
	if (!world_get())
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h)
		pthread_mutex_init(&h->lock, NULL);
	return h;
}

EXPORT int xencall_close(xencall_handle *h)
{
	if (!h)
		return 0;
	while (h->pages)
		munmap(h->page[--h->pages], XR_PAGE_SIZE);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return 0;
}

EXPORT int xencall_fd(xencall_handle *h)
{
	(void)h;
	return -1;
}

EXPORT int xencall_buffers_never_fault(xencall_handle *h)
{
	(void)h;
	return 1;
}

static void *take_cached(xencall_handle *h)
{
	void *p = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->pages)
		p = h->page[--h->pages];
	pthread_mutex_unlock(&h->lock);
	return p;
}

static bool give_cached(xencall_handle *h, void *p)
{
	bool kept = false;

	pthread_mutex_lock(&h->lock);
	if (h->pages < CACHED) {
		h->page[h->pages++] = p;
		kept = true;
	}
	pthread_mutex_unlock(&h->lock);
	return kept;
}

EXPORT void *xencall_alloc_buffer_pages(xencall_handle *h, size_t n)
{
	void *p = n == 1 ? take_cached(h) : NULL;

	if (p)
		return memset(p, 0, XR_PAGE_SIZE);
	atomic_fetch_add_explicit(&world_get()->buffer_maps, 1, memory_order_relaxed);
	p = mmap(NULL, n * XR_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

EXPORT void xencall_free_buffer_pages(xencall_handle *h, void *p, size_t n)
{
	if (!p || (n == 1 && give_cached(h, p)))
		return;
	munmap(p, n * XR_PAGE_SIZE);
}

EXPORT void *xencall_alloc_buffer(xencall_handle *h, size_t size)
{
	size_t n = (size + sizeof(struct object) + XR_PAGE_SIZE - 1) / XR_PAGE_SIZE;
	struct object *o = xencall_alloc_buffer_pages(h, n);

	if (!o)
		return NULL;
	o->pages = n;
	return o + 1;
}

EXPORT void xencall_free_buffer(xencall_handle *h, void *p)
{
	struct object *o = p;

	if (o--)
		xencall_free_buffer_pages(h, o, o->pages);
}

/* Arguments that are addresses lie in hypercall buffers, in this process's memory. */
static void *address(uint64_t arg)
{
	return (void *)(uintptr_t)arg;
}

static long one_call(struct world *w, unsigned int op, uint64_t a, uint64_t b, uint64_t c,
		     uint64_t d)
{
	atomic_fetch_add_explicit(&w->hypercalls, 1, memory_order_relaxed);
	switch (op) {
	case __HYPERVISOR_memory_op:
		return memory_op(w, (unsigned int)a, address(b));
	case __HYPERVISOR_domctl:
		return domctl(w, address(a));
	case __HYPERVISOR_sysctl:
		return sysctl_op(w, address(a));
	case __HYPERVISOR_hvm_op:
		return hvm_op(w, (unsigned int)a, address(b));
	case __HYPERVISOR_xen_version:
		return version_op(w, (unsigned int)a, address(b));
	case __HYPERVISOR_mmuext_op:
		if (d != w->domid)
			return world_fail(ESRCH);
		return mmuext_op(w, address(a), (unsigned int)b, address(c));
	default:
		return world_refuse(w, "hypercall", op);
	}
}

/* libxenctrl wraps memory_op in one, because its result may be too long for an int. */
static long multicall(struct world *w, struct multicall_entry *call, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		const xen_ulong_t *a = call[i].args;
		long rc = one_call(w, (unsigned int)call[i].op, a[0], a[1], a[2], a[3]);

		call[i].result = (xen_ulong_t)(rc < 0 ? -errno : rc);
	}
	return 0;
}

static long hypercall(unsigned int op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct world *w = world_get();

	if (!w)
		return -1;
	if (op == __HYPERVISOR_multicall)
		return multicall(w, address(a), b);
	return one_call(w, op, a, b, c, d);
}

EXPORT int xencall0(xencall_handle *h, unsigned int op)
{
	(void)h;
	return (int)hypercall(op, 0, 0, 0, 0);
}

EXPORT int xencall1(xencall_handle *h, unsigned int op, uint64_t a)
{
	(void)h;
	return (int)hypercall(op, a, 0, 0, 0);
}

EXPORT int xencall2(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b)
{
	(void)h;
	return (int)hypercall(op, a, b, 0, 0);
}

EXPORT long xencall2L(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b)
{
	(void)h;
	return hypercall(op, a, b, 0, 0);
}

EXPORT int xencall3(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c)
{
	(void)h;
	return (int)hypercall(op, a, b, c, 0);
}

EXPORT int xencall4(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d)
{
	(void)h;
	return (int)hypercall(op, a, b, c, d);
}

/* No call that we answer has a fifth argument. */
EXPORT int xencall5(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d, uint64_t e)
{
	(void)h;
	(void)e;
	return (int)hypercall(op, a, b, c, d);
}
