/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One restore of one stream into a fresh model host in which something fails, and all that must be
 * true of it afterwards. */
#ifndef XR_TEST_ONCE_H
#define XR_TEST_ONCE_H

#include "failures/trap.h"
#include "lib/feed.h"
#include "lib/pvref.h"
#include "lib/random.h"
#include "props/check.h"

enum fault {
	FAULT_HOST, /* of call `call` of the model */
	FAULT_CALL, /* of a call to the C library */
	FAULT_READ, /* `nth` is the byte, `call` an enum trap_read */
};

struct once {
	const struct builder *b;    /* the stream */
	const struct refmodel *ref; /* of an HVM guest; else */
	const struct pvref *pv;
	const struct checkpoints *cp; /* of an HVM guest's stream that has some; NULL */
	unsigned int buffer_mib;      /* with cp */
	bool colo;		      /* with cp */
	enum feed_kind source;
	bool full; /* a pipe that holds all of it before the restore begins */
	enum xr_worker_kind kind;
	enum xr_io io;
	enum xr_policy policy;
	enum fault fault;
	unsigned int call;
	uint64_t nth;
	int arg; /* errno of the failure; FAULT_HOST: xr_model_fail()'s */

	bool sprung;	   /* set: the fault was met */
	const char *wrong; /* set: what the toolstack found that must not be; NULL */
	struct xr_result res;
};

/* True: the restore succeeded where it should or failed as it should, and nothing is left. */
bool once(struct once *o, const struct why *why);

#endif
