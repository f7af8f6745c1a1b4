/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a walk over a stream, shared by the files that walk. */
#ifndef XR_INSPECT_WALK_H
#define XR_INSPECT_WALK_H

#include "inspect/inspect.h"

#define WALK_STEP 8192u	       /* entries at a time */
#define WALK_PIECE (64u << 10) /* bytes of contents, or of a libxl record */
#define WALK_OVER 1	       /* for better or worse, the walk ends here */

struct walk {
	struct inspect *in;
	struct xr_frame f;
	struct xr_error *err; /* what failed here, not in the stream */
	struct xr_error why;  /* the stream's, of the step in hand */
	uint64_t raw[WALK_STEP], entries[WALK_STEP];
	unsigned char piece[WALK_PIECE];
};

/* Behind the libxc stream: libxl's records to their end, and what lies behind all. 0, or what
 * failed on this machine. */
int inspect_tail(struct walk *w);

#endif
