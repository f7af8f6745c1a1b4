/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded before the model library: probes the sandbox from inside the programs, in the engine
 * when it sets a parameter of the guest, in a worker when it maps memory. A line for each process
 * goes to standard error: "probed engine: N got through:" and which.
 */
#include "lib/sanitizer.h"
#include "probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

#define EXPORT __attribute__((visibility("default")))
#define NEXT(f) ((__typeof__(&(f)))(uintptr_t)dlsym(RTLD_NEXT, #f))

static void probe_once(enum probe_where where, const char *name)
{
	static bool done;
	char told[2048], line[2200];
	unsigned int n;

	if (done)
		return;
	done = true;
	n = probe_all(where, told, sizeof(told));
	snprintf(line, sizeof(line), "probed %s: %u got through:%s\n", name, n, told);
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		abort();
}

EXPORT int xc_hvm_param_set(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t value)
{
	probe_once(IN_ENGINE, "engine");
	return NEXT(xc_hvm_param_set)(xch, dom, param, value);
}

EXPORT void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot, size_t n,
				  const xen_pfn_t gfns[], int err[])
{
	probe_once(NO_PROCESSES ? IN_ENGINE : IN_WORKER, "worker");
	return NEXT(xenforeignmemory_map)(h, dom, prot, n, gfns, err);
}

/* As a kernel answers that does not know the request. */
EXPORT int xenforeignmemory_restrict(xenforeignmemory_handle *h, domid_t domid)
{
	if (!getenv("XR_TEST_NO_RESTRICT"))
		return NEXT(xenforeignmemory_restrict)(h, domid);
	errno = ENOTTY;
	return -1;
}
