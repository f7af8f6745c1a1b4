/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limit of a restorer that reaches the guest through foreign mappings: every frame allocated in
 * the largest pages, mapped 4K by 4K, once, and written once; nothing decoded, planned or ordered.
 * Against it a restore shows what its own work costs; it itself, against the limit, shows what
 * mapping costs on this machine.
 */
#ifndef XR_BENCH_MAPPED_H
#define XR_BENCH_MAPPED_H

#include "host/model.h"

/* What the time is made of. Touch: the first write into a page of a fresh mapping, where the
 * machine makes the mapping good; copy: the contents, after that; unmap: from the end of a process'
 * work to its being gone, its mappings with it. */
enum bench_part {
	BENCH_PART_POPULATE,
	BENCH_PART_MAP,
	BENCH_PART_TOUCH,
	BENCH_PART_COPY,
	BENCH_PART_UNMAP,
	BENCH_PART_COUNT
};
extern const char *const bench_part_names[BENCH_PART_COUNT];

struct bench_mapped {
	double seconds;		       /* until the last mapping is gone */
	double part[BENCH_PART_COUNT]; /* seconds, those of all workers together */
	/* Seconds for a touch of a frame that had been written through a mapping which is gone:
	 * through another, and once more through that. They tell what mapping costs from what
	 * memory does that is new to the machine. Outside of the time. */
	double touch_fresh, touch_again;
};

/*
 * Needs to be the only thread of its process. One process populates so many frames (rounded up to
 * 2M) of the empty model, `workers` others map and write them, each for 64 Ki frames, when another
 * takes its place. A regular file is read straight into the frames; anything else is drained by one
 * process more, bytes of it, and the frames are written from memory. 0, -ENODATA if fd held less
 * than it should, or another negative errno.
 */
int bench_mapped_run(int fd, uint64_t bytes, uint64_t frames, unsigned int workers,
		     struct xr_model *model, struct bench_mapped *out);

#endif
