/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages between a save helper and libxl (tools/libs/light, libxl_save_msgs): frames of a
 * u16 length, a u16 number and packed arguments on one pipe, 4-byte replies on another.
 *
 * One frame is written whole before the next; a call that waits for a reply keeps others waiting.
 * Logging may come from any thread meanwhile. A broken pipe ends the process: libxl is gone.
 */
#ifndef XR_PROTOCOL_H
#define XR_PROTOCOL_H

#include <pthread.h>
#include <stdint.h>
#include <xentoollog.h>

struct xr_channel {
	struct xentoollog_logger logger; /* first: logs go to libxl as messages */
	int in, out;
	pthread_mutex_t frame, call;
};

/* in: replies; out: messages. The descriptors stay the caller's. */
void xr_channel_init(struct xr_channel *c, int in, int out);

/* Returns libxl's answer. */
int xr_channel_static_data_done(struct xr_channel *c, unsigned int missing);
/* Of checkpointed streams: enum xr_answer. */
int xr_channel_checkpoint(struct xr_channel *c);
int xr_channel_postcopy(struct xr_channel *c);
int xr_channel_wait_checkpoint(struct xr_channel *c);
int xr_channel_suspend(struct xr_channel *c);
void xr_channel_restore_results(struct xr_channel *c, uint64_t store_gfn, uint64_t console_gfn);
void xr_channel_complete(struct xr_channel *c, int retval, int errnoval);
void xr_channel_progress(struct xr_channel *c, const char *what, uint64_t done, uint64_t total);

#endif
