/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One copy worker: the same code as a thread and as the main function of a process. */
#ifndef XR_COPY_WORKER_H
#define XR_COPY_WORKER_H

#include "base/filter.h"
#include "copy/mapping.h"

/* All that a worker needs; set before the first one starts, then constant. */
struct xr_crew_config {
	struct xr_arena *arena;
	struct xr_host *host;
	struct xr_bufpool *pool;
	struct xr_p2m *p2m;
	struct xr_digests *digests;
	int fd;
	int kept[XR_COPY_KEPT]; /* -1: there is none */
	struct xr_keep keep;
	bool sandbox; /* worker processes put a filter on */
};

/*
 * Open a mapper, put on the filter, if there is one (a process's), then work off the lane's items
 * until the arena says stop, or until it is time for a successor (AT_EXIT only): then the lane is
 * left between two items. After an error, of whomever, items are finished without doing them.
 * Unmaps everything before it returns, unless the strategy is AT_EXIT: then the process must end.
 */
void xr_worker_run(const struct xr_crew_config *cfg, unsigned int lane,
		   const struct xr_filter *filter);

#endif
