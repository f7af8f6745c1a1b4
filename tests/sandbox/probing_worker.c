/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker program, whose workers probe their sandbox when they first map memory. A line for each
 * goes to standard error, as interpose.c has it. */
#include "copy/spawn.h"
#include "host/host.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_xr_host_attach(struct xr_host **out, const struct xr_host_share *share);
int __wrap_xr_host_attach(struct xr_host **out, const struct xr_host_share *share);

static const struct xr_host_ops *real;

static void *probe_and_map(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err)
{
	static bool done;
	char told[2048], line[2200];
	unsigned int through;

	if (!done) {
		done = true;
		through = probe_all(IN_WORKER, told, sizeof(told));
		snprintf(line, sizeof(line), "probed worker: %u got through:%s\n", through, told);
		if (write(STDERR_FILENO, line, strlen(line)) < 0)
			abort();
	}
	return real->map(m, n, gfns, err);
}

/* The linker puts it in front of the library's (--wrap). */
int __wrap_xr_host_attach(struct xr_host **out, const struct xr_host_share *share)
{
	static struct xr_host_ops ops;
	const int rc = __real_xr_host_attach(out, share);

	if (rc)
		return rc;
	real = (*out)->ops;
	ops = *real;
	ops.map = probe_and_map;
	(*out)->ops = &ops;
	return 0;
}

int main(int argc, char **argv)
{
	return xr_spawn_main(argc, argv);
}
