/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Worker processes for a caller with threads, where a bare fork is not safe: the nursery is then a
 * program of its own, started by exec. A ticket, in a file of its own, tells it what to share.
 *
 * After an exec a child is one that its parent hears of by SIGCHLD and wait(). So that the caller
 * does not, a silent child stands in between: a copy of the caller that makes nothing but system
 * calls, holds no fd, and waits for the program's end.
 */
#ifndef XR_COPY_SPAWN_H
#define XR_COPY_SPAWN_H

#include "copy/crew.h"

#define XR_SPAWN_KEEPS 15u
#define XR_SPAWN_REFUSED 3 /* exit status of a program that is of another build */
#define XR_TICKET_LAYOUT                                                                           \
	(sizeof(struct xr_ticket) << 48 ^ sizeof(struct xr_arena) << 32 ^                          \
	 sizeof(struct xr_lane) << 8 ^ sizeof(struct xr_bufpool))

struct xr_ticket {
	char version[16];
	uint64_t layout; /* of the memory that is shared: both sides are of one build */
	struct xr_keep keep;
	struct xr_host_share host;
	struct xr_nursery_fds fds;
	int arena, pool, p2m, digests, stream, kept[XR_COPY_KEPT]; /* fds; -1: none */
	bool sandbox;
};

struct xr_spawn {
	struct xr_arena *arena;
	const char *program;
	int ticket; /* fd; -1: none */
	char number[12];
	int keep[XR_SPAWN_KEEPS]; /* fds that the program inherits, ascending */
	unsigned int nkeep;
};

/* The program's path: environment XENRESTORE_WORKER, else where it is installed. */
const char *xr_spawn_program(void);

/* Is there such a program, and can another program map this guest? */
bool xr_spawn_possible(const struct xr_host *host);

/* Write the ticket. 0 or a negative errno; xr_spawn_done() is due after 0. */
int xr_spawn_prepare(struct xr_spawn *s, const struct xr_crew_config *cfg,
		     const struct xr_nursery_fds *fds);

/* The life of the silent child. What goes wrong is left in the arena. */
void xr_spawn_run(const struct xr_spawn *s) __attribute__((noreturn));

void xr_spawn_done(struct xr_spawn *s);

/* main() of the program: argv[1] is the ticket's fd. Returns only what to exit with if it has no
 * valid ticket. */
int xr_spawn_main(int argc, char **argv);

#endif
