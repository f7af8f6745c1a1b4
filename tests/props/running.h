/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that runs between the checkpoints of COLO and changes its memory by itself, in ways that
 * the next checkpoint puts right: what it did to other frames would be there for good. */
#ifndef XR_TEST_RUNNING_H
#define XR_TEST_RUNNING_H

#include "host/model.h"
#include "lib/checkpoints.h"
#include "lib/rng.h"

#define RUNNING_ROOM 512u /* pages that it takes, at most */
#define RUNNING_XENS 8u

struct running {
	const struct checkpoints *c;
	const struct builder *b;
	struct xr_model *model;
	unsigned int complete; /* checkpoints that will be: it rests before all that won't */
	bool calls_fail;       /* may its own calls fail? */
	unsigned int ran;
	unsigned int taken;
	unsigned int nxens;
	uint64_t xens[RUNNING_XENS]; /* where it put pages of Xen's */
	struct rng rng;
	const char *wrong; /* what it could not do; NULL */
};

/* For toolstack.before_suspend; arg: the struct running. */
void running_guest(void *arg);

/* Take the pages of Xen's out again that it put there. Whether any was lost meanwhile is in
 * `wrong`. */
void running_end(struct running *r);

#endif
