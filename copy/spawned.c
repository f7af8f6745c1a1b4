/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker program: from its ticket to a nursery like any other. */
#include "copy/crew.h"
#include "copy/spawn.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool take_ticket(struct xr_ticket *t, const char *number)
{
	const int fd = atoi(number);
	const bool whole = pread(fd, t, sizeof(*t), 0) == (ssize_t)sizeof(*t);

	close(fd);
	return whole && t->layout == XR_TICKET_LAYOUT &&
	       !strncmp(t->version, xr_version(), sizeof(t->version));
}

/* The spawner may have ended before its end could be asked to be told. */
static bool orphaned(const struct xr_arena *a)
{
	return getppid() != a->spawner;
}

int xr_spawn_main(int argc, char **argv)
{
	struct xr_crew_config cfg = { 0 };
	struct xr_ticket t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 2 || !take_ticket(&t, argv[1]))
		return XR_SPAWN_REFUSED;
	if (xr_arena_attach(&cfg.arena, t.arena) || orphaned(cfg.arena))
		return 1;
	cfg.fd = t.stream;
	for (unsigned int i = 0; i < XR_COPY_KEPT; i++)
		cfg.kept[i] = t.kept[i];
	cfg.keep = t.keep;
	cfg.sandbox = t.sandbox;
	cfg.pool = t.pool < 0 ? NULL : xr_bufpool_attach(t.pool);
	cfg.p2m = t.p2m < 0 ? NULL : xr_p2m_attach(t.p2m);
	cfg.digests = t.digests < 0 ? NULL : xr_digests_attach(t.digests);
	if ((t.pool >= 0 && !cfg.pool) || (t.p2m >= 0 && !cfg.p2m) ||
	    (t.digests >= 0 && !cfg.digests) || xr_host_attach(&cfg.host, &t.host))
		return 1;
	xr_nursery_serve(&cfg, &t.fds);
}
