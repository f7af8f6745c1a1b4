/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for copy tests: frames in a memfd, and a mapper that knows which frames are mapped by
 * whom, across processes, and that can fail, stall or die at the nth call.
 */
#ifndef TEST_COPY_GUEST_H
#define TEST_COPY_GUEST_H

#include "host/host.h"

#include <sys/types.h>

#define GUEST_MAPPINGS 4096u
#define GUEST_PIDS 1024u

enum guest_fault {
	GUEST_FAIL_CALL, /* map returns NULL with ENOMEM */
	GUEST_FAIL_PAGE, /* frame fault_arg of the call gets -EINVAL */
	GUEST_RAISE,	 /* the caller gets signal fault_arg */
};

struct guest_mapping {
	pid_t pid; /* 0: free */
	void *addr;
	uint32_t n;
};

/* In shared memory. */
struct guest_state {
	uint32_t lock;
	uint32_t most_mappings; /* of a process; 0: no limit */
	uint32_t stalled;	/* 1: map waits until it is 0 again; see guest_stall() */
	uint32_t stalls;	/* calls that wait */
	uint64_t map_calls, fault_at;
	enum guest_fault fault;
	int fault_arg;
	uint32_t opens_fail, unmaps_fail;
	uint32_t npids;
	pid_t pids[GUEST_PIDS]; /* everyone who opened a mapper, and their parents */
	uint32_t nmappings;	/* none is behind these */
	struct guest_mapping mapping[GUEST_MAPPINGS];
	uint32_t gfn[GUEST_MAPPINGS][XR_MAP_MAX / 2]; /* of each mapping */
};

struct guest {
	struct xr_host host; /* first */
	struct guest_state *state;
	int fd;
	size_t frames;
	unsigned char *memory; /* all of it, as the test sees it */
};

struct guest *guest_new(size_t frames);
void guest_free(struct guest *g);

/* The nth map call from now on (1: the next) meets this. */
void guest_fail_map(struct guest *g, uint64_t nth, enum guest_fault fault, int arg);

/* How many mappings live; gfn >= 0: of this frame. Those of dead processes don't. */
unsigned int guest_mapped(struct guest *g, int64_t gfn);

/* Processes that ever opened a mapper (or their parents; not this one) and still exist. */
unsigned int guest_processes(struct guest *g);

#endif
