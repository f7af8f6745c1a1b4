/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workers of a copy stage as a whole: threads, or a tree of processes, forked or, in a caller
 * with threads, spawned. All share the arena.
 */
#ifndef XR_COPY_CREW_H
#define XR_COPY_CREW_H

#include "copy/worker.h"

#include <pthread.h>

#define XR_GRACE_MS 1000u /* for workers to leave by themselves, before they are killed */

struct xr_thread_arg {
	const struct xr_crew_config *cfg;
	unsigned int lane;
};

struct xr_threads {
	unsigned int n; /* that run */
	pthread_t id[XR_LANES_MAX];
	struct xr_thread_arg arg[XR_LANES_MAX];
};

/* *cfg is kept by reference. On failure nothing runs any more. */
int xr_threads_start(struct xr_threads *t, const struct xr_crew_config *cfg, struct xr_error *err);

/* Tell them to stop and join them. */
void xr_threads_stop(struct xr_threads *t, struct xr_arena *arena);

/* What the nursery's side holds: the other end of control, a pidfd of the opener, and an eventfd
 * that a worker rings when it has left its lane. */
struct xr_nursery_fds {
	int control, opener, bell;
};

struct xr_nursery {
	int pidfd;   /* of the nursery, or of the silent child (spawn.h); -1: none */
	int control; /* our end of a socket whose other end nursery and workers hold */
};

/* Is a bare fork safe, that is, does the calling process have this one thread only? */
bool xr_nursery_possible(void);

/*
 * Start the nursery: a process that forks the workers, replaces those that leave, and notices those
 * that die. Invisible to the caller's wait(-1) and SIGCHLD. It and its workers end when the opener
 * does, however that happens. spawned: it is a program of its own (spawn.h), else a fork, which
 * needs a caller with one thread. Calls of one nursery: from one thread at a time.
 */
int xr_nursery_start(struct xr_nursery *n, const struct xr_crew_config *cfg, bool spawned,
		     struct xr_error *err);

/* Be the nursery. */
void xr_nursery_serve(const struct xr_crew_config *cfg, const struct xr_nursery_fds *fds)
	__attribute__((noreturn));

/* False once the nursery itself is gone. */
bool xr_nursery_alive(const struct xr_nursery *n);

/*
 * Tell workers and nursery to leave, kill what does not (all at once if in a hurry), wait until all
 * are gone and with them their mappings. Takes little more than XR_GRACE_MS; only a worker that not
 * even SIGKILL ends at once (it sits in the kernel, in a read that does not return) may be left to
 * end by itself.
 */
void xr_nursery_stop(struct xr_nursery *n, struct xr_arena *arena, bool hurry);

#endif
