/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "props/combo.h"

#include "host/host.h"
#include "lib/restore.h"
#include "lib/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PICK(r, ...)                                                                               \
	((const unsigned int[]){ __VA_ARGS__ })[rng_below(                                         \
		r, sizeof((const unsigned int[]){ __VA_ARGS__ }) / sizeof(unsigned int))]

struct combo combo_random(struct rng *r)
{
	struct combo c;

	c.feed = PICK(r, FEED_FILE, FEED_FILE, FEED_FILE, FEED_PIPE, FEED_PIPE, FEED_SOCKET,
		      FEED_TCP);
	c.workers = PICK(r, 1, 1, 1, 2, 2, 2, 4, 4, 4, 8);
	c.kind = PICK(r, XR_WORKER_PROCESS, XR_WORKER_PROCESS, KIND_SPAWNED, XR_WORKER_THREAD,
		      XR_WORKER_THREAD, XR_WORKER_THREAD);
	if (NO_PROCESSES)
		c.kind = XR_WORKER_THREAD;
	c.policy = PICK(r, XR_POLICY_EXACT, XR_POLICY_EXACT, XR_POLICY_SPECULATIVE, XR_POLICY_4K);
	c.max_order = PICK(r, XR_ORDER_2M, XR_ORDER_1G);
	c.ahead_mib = PICK(r, 0, 64);
	c.room = PICK(r, ROOM_NONE, ROOM_SOME);
	c.fail_from = PICK(r, 255, 255, 255, XR_ORDER_2M, XR_ORDER_1G);
	c.io = PICK(r, XR_IO_AUTO, XR_IO_PLAIN);
	/* A gibibyte is dear; it matters only where it is tried. */
	if (c.max_order == XR_ORDER_1G && c.policy == XR_POLICY_SPECULATIVE && rng_chance(r, 1, 25))
		c.room = ROOM_MUCH;
	return c;
}

uint64_t combo_room(const struct combo *c)
{
	static const uint64_t room[] = {
		[ROOM_NONE] = 0, [ROOM_SOME] = 2500, [ROOM_MUCH] = 2500 + (1 << 18)
	};

	return room[c->room];
}

static void *until_closed(void *fd)
{
	char c;

	return read(*(int *)fd, &c, 1) ? fd : NULL;
}

/* Another thread, as long as the pipe is open. */
static bool add_thread(pthread_t *t, int fds[2])
{
	setenv("XENRESTORE_WORKER", XR_TEST_WORKER, 1);
	return !pipe2(fds, O_CLOEXEC) && !pthread_create(t, NULL, until_closed, &fds[0]);
}

static void end_thread(pthread_t t, const int fds[2])
{
	close(fds[1]);
	pthread_join(t, NULL);
	close(fds[0]);
}

int combo_restore(const struct combo *c, struct xr_settings *set, struct xr_result *res,
		  struct xr_error *err, restore_look *look, void *arg)
{
	const bool spawned = c->kind == KIND_SPAWNED;
	pthread_t thread;
	int fds[2], rc;

	if (spawned && !add_thread(&thread, fds))
		return -ENOEXEC;
	set->policy = (enum xr_policy)c->policy;
	set->max_order = c->max_order;
	set->ahead_mib = c->ahead_mib;
	set->workers = c->workers;
	set->worker_kind = spawned ? XR_WORKER_PROCESS : (enum xr_worker_kind)c->kind;
	set->io = (enum xr_io)c->io;
	rc = restore_and_look(set, res, err, look, arg);
	if (spawned)
		end_thread(thread, fds);
	return rc;
}

void combo_print(const struct combo *c, char text[COMBO_TEXT])
{
	snprintf(text, COMBO_TEXT, "%u:%u:%u:%u:%u:%u:%u:%u:%u", c->feed, c->workers, c->kind,
		 c->policy, c->max_order, c->ahead_mib, c->room, c->fail_from, c->io);
}

bool combo_parse(struct combo *c, const char *text)
{
	return sscanf(text, "%u:%u:%u:%u:%u:%u:%u:%u:%u", &c->feed, &c->workers, &c->kind,
		      &c->policy, &c->max_order, &c->ahead_mib, &c->room, &c->fail_from,
		      &c->io) == 9 &&
	       c->feed < FEED_KINDS;
}
