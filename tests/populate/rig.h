/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A script, a fake host and a physmap, for examples. */
#ifndef RIG_H
#define RIG_H

#include "populate/fake_host.h"
#include "populate/script.h"

#define PLENTY ((uint64_t)1 << 40)

struct rig {
	struct script s;
	struct fake_host f;
	struct xr_physmap_config cfg;
	struct xr_physmap *pm;
	struct xr_error err;
	size_t chunk;	   /* entries in a chunk */
	size_t look_ahead; /* chunks */
	bool idle;	   /* go ahead as far as it goes after each chunk */
	size_t applied;	   /* chunks */
};

/* Policy and order; chunks of 1024, two of them known ahead, no limit. */
void rig_open(struct rig *r, enum xr_policy policy, unsigned int max_order);
void rig_close(struct rig *r);

/* Cut the script and open the physmap. */
void rig_begin(struct rig *r);
int rig_apply(struct rig *r, size_t chunks); /* so many more */
int rig_run(struct rig *r);		     /* begin, all chunks, finish */

struct xr_physmap_stats rig_stats(const struct rig *r);

/* The host backs what the script ends in and nothing else, and found no fault. */
void rig_check(const struct rig *r);

#endif
