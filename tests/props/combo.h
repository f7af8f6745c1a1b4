/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One way to restore a stream: source, workers, policy, limits, and what goes wrong. As text it is
 * numbers in the order of the fields, joined by colons; environment XR_COMBO takes the same.
 */
#ifndef XR_TEST_COMBO_H
#define XR_TEST_COMBO_H

#include "lib/feed.h"
#include "lib/restore.h"
#include "lib/rng.h"
#include "xenrestore.h"

enum room {
	ROOM_NONE, /* max_pages is the largest number of frames the guest ever has */
	ROOM_SOME, /* enough for a few superpages too many */
	ROOM_MUCH, /* enough for a 1G page too many */
};

enum damage {
	DAMAGE_NONE,
	DAMAGE_CUT,   /* the stream ends too early */
	DAMAGE_FLIP,  /* some bits of its headers are wrong */
	DAMAGE_FAULT, /* a call of the host fails */
};

/* Processes in a caller that has another thread, which must not fork. */
#define KIND_SPAWNED 3u

struct combo {
	unsigned int feed; /* enum feed_kind */
	unsigned int workers;
	unsigned int kind;	/* enum xr_worker_kind, or KIND_SPAWNED */
	unsigned int policy;	/* enum xr_policy */
	unsigned int max_order; /* 0, 9, 18 */
	unsigned int ahead_mib;
	unsigned int room;	/* enum room */
	unsigned int fail_from; /* populates of this order and higher fail; 255: none */
	unsigned int io;	/* enum xr_io */
};

/* Pages that the domain may have beyond those of the guest. */
uint64_t combo_room(const struct combo *c);

/* One restore in that way; fd, host, model and what else there is are in *set already. look may be
 * NULL. */
int combo_restore(const struct combo *c, struct xr_settings *set, struct xr_result *res,
		  struct xr_error *err, restore_look *look, void *arg);

#define COMBO_TEXT 64

struct combo combo_random(struct rng *r);
void combo_print(const struct combo *c, char text[COMBO_TEXT]);
bool combo_parse(struct combo *c, const char *text);

#endif
