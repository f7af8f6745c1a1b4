/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A consumer of the stream stage that does what the stages behind it do, into the reference model,
 * and holds every item against its contract on the way.
 */
#ifndef XR_TEST_PLAYER_H
#define XR_TEST_PLAYER_H

#include "lib/refmodel.h"
#include "stream/index.h"
#include "stream/stream.h"

struct play {
	struct refmodel m; /* finished at END */
	uint64_t log;	   /* of all records and contents, however they were cut into items */
	uint64_t items, controls, contents, live;
	unsigned int passes;
	struct xr_error error; /* code 0: END */
	uint64_t end_offset;
	void **kept; /* what m points to */
	size_t nkept;

	/* what the next item must fit to */
	uint64_t record;
	bool in_types, in_data;
};

/* From start to END or ERROR. With an index, by its rules. at_checkpoint may be NULL. */
void play_stream(struct play *p, struct xr_stream *s, int fd, struct xr_bufpool *pool,
		 struct xr_index *x, void (*at_checkpoint)(void *ctx, int fd), void *ctx);
void play_free(struct play *p);

/* Open, perhaps index, play, close: all of it. Returns what xr_stream_open() and the index said. */
int play_fd(struct play *p, int fd, enum xr_io io, bool index, size_t buffer,
	    struct xr_stream_info *info);

#endif
