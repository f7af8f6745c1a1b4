/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A preload library that counts what a restore helper asks of Xen, in a file that all its processes
 * share. It stands between libxencall, libxenforeignmemory and the C library, so stock and other
 * helpers are counted alike. XR_COUNT names the file: uint64_t[COUNTERS], zero at the start.
 *
 * With XR_THREAD the program has a thread of its own from the start, as a toolstack may have.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/memory.h>
#include <xen/sys/privcmd.h>
#include <xen/xen.h>

enum {
	HYPERCALLS, /* all of them, the two below included */
	POPULATE,
	POPULATED_4K,
	POPULATED_2M,
	POPULATED_1G,
	RELEASE,
	RELEASED, /* pages asked for */
	MAP,
	MAPPED, /* pages */
	UNMAP,
	UNMAPPED,
	PROGRAMS, /* executed, not only forked */
	COUNTERS
};

#define REGIONS 4096u

static uint64_t unshared[COUNTERS], *counter = unshared;
static struct {
	void *addr;
	uint64_t pages;
} region[REGIONS]; /* foreign mappings of this process, to tell their munmap from others */

static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_munmap)(void *, size_t);

static void add(unsigned int what, uint64_t n)
{
	__atomic_fetch_add(&counter[what], n, __ATOMIC_RELAXED);
}

static void *stay(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Only for this program, not for one that it starts. */
static void start_thread(void)
{
	pthread_t thread;
	sigset_t all, before;

	unsetenv("XR_THREAD");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_create(&thread, NULL, stay, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("XR_COUNT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	real_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	real_munmap = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(unshared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		counter = p;
	close(fd);
	add(PROGRAMS, 1);
	if (getenv("XR_THREAD"))
		start_thread();
}

static void count_memory_op(unsigned long cmd, const xen_memory_reservation_t *r)
{
	if ((cmd & 0x3f) == XENMEM_populate_physmap) {
		add(POPULATE, 1);
		add(r->extent_order == 0   ? POPULATED_4K
		    : r->extent_order == 9 ? POPULATED_2M
					   : POPULATED_1G,
		    r->nr_extents);
	} else if ((cmd & 0x3f) == XENMEM_decrease_reservation) {
		add(RELEASE, 1);
		add(RELEASED, r->nr_extents << r->extent_order);
	}
}

/* libxenctrl wraps memory operations in a multicall of one, for a long result. */
static void count_hypercall(const privcmd_hypercall_t *call)
{
	const multicall_entry_t *entry = (const void *)(uintptr_t)call->arg[0];

	add(HYPERCALLS, 1);
	if (call->op == __HYPERVISOR_memory_op)
		count_memory_op(call->arg[0], (const void *)(uintptr_t)call->arg[1]);
	for (unsigned int i = 0; call->op == __HYPERVISOR_multicall && i < call->arg[1]; i++)
		if (entry[i].op == __HYPERVISOR_memory_op)
			count_memory_op(entry[i].args[0],
					(const void *)(uintptr_t)entry[i].args[1]);
}

static void count_map(void *addr, uint64_t pages)
{
	add(MAP, 1);
	add(MAPPED, pages);
	for (unsigned int i = 0; i < REGIONS; i++) {
		void *none = NULL;

		if (!__atomic_compare_exchange_n(&region[i].addr, &none, addr, 0, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		region[i].pages = pages;
		return;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == IOCTL_PRIVCMD_HYPERCALL) {
		count_hypercall(arg); /* before: Xen writes into what it is handed */
	} else if (request == IOCTL_PRIVCMD_MMAPBATCH_V2) {
		const privcmd_mmapbatch_v2_t *m = arg;

		count_map((void *)(uintptr_t)m->addr, m->num);
	}
	return real_ioctl(fd, request, arg);
}

int munmap(void *addr, size_t length)
{
	for (unsigned int i = 0; addr && i < REGIONS; i++) {
		uint64_t pages = region[i].pages;

		if (__atomic_load_n(&region[i].addr, __ATOMIC_ACQUIRE) != addr)
			continue;
		__atomic_store_n(&region[i].addr, NULL, __ATOMIC_RELEASE);
		add(UNMAP, 1);
		add(UNMAPPED, pages);
		break;
	}
	return real_munmap(addr, length);
}
