/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that prints to standard output whenever a call to Xen passes it, at once and buffered.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <xencall.h>
#include <xenforeignmemory.h>

#define EXPORT __attribute__((visibility("default")))
#define NEXT(f) ((__typeof__(&(f)))(uintptr_t)dlsym(RTLD_NEXT, #f))

static void noise(void)
{
	ssize_t n = write(STDOUT_FILENO, "noise\n", 6);

	(void)n;
}

/* What stays in a buffer comes out at the end. */
static void buffered_noise(const char *what)
{
	noise();
	printf("more noise at %s\n", what);
}

EXPORT xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned int flags)
{
	buffered_noise(__func__);
	return NEXT(xencall_open)(logger, flags);
}

EXPORT int xencall1(xencall_handle *h, unsigned int op, uint64_t a)
{
	buffered_noise(__func__);
	return NEXT(xencall1)(h, op, a);
}

EXPORT int xencall2(xencall_handle *h, unsigned int op, uint64_t a, uint64_t b)
{
	buffered_noise(__func__);
	return NEXT(xencall2)(h, op, a, b);
}

EXPORT void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot, size_t n,
				  const xen_pfn_t gfns[], int err[])
{
	noise();
	return NEXT(xenforeignmemory_map)(h, dom, prot, n, gfns, err);
}
