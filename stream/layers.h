/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands before the libxc stream: xl's or libvirt's save header with its data, the libxl
 * stream header with its record LIBXC_CONTEXT, or nothing. Found by magic, parsed step by step,
 * without I/O or memory: the parser names what it wants next, never more than the layer itself
 * says is there, so that nothing behind a short libxc stream is touched.
 *
 * All layers end in the 8-byte marker that begins the libxc image header; the parser takes it too.
 */
#ifndef XR_LAYERS_H
#define XR_LAYERS_H

#include "base/error.h"
#include "stream/wire.h"

#include <stdbool.h>

#define XR_LAYERS_STEP sizeof(struct xr_wire_libvirt) /* the most that is wanted in bytes */

/* What the headers said, for those who want to know. */
struct xr_layers_seen {
	bool xl, libvirt, libxl;
	uint32_t mandatory, optional; /* xl: flags */
	uint64_t data_at;	      /* xl, libvirt: their data, as an offset from the base */
	uint32_t data_length;
	uint32_t libxl_options;
};

struct xr_layers {
	int state;
	uint32_t want;	/* bytes that the next step takes; 0: done */
	bool skip;	/* they are of no interest (and may be many): say that they are passed by
			 * xr_layers_step() with NULL */
	uint64_t taken; /* bytes so far */
	struct xr_layers_seen seen;
	unsigned char head[XR_LAYERS_STEP];
};

void xr_layers_init(struct xr_layers *l, enum xr_layer mode);

/*
 * The next `want` bytes, not when that is 0. 0 or an error: -EBADMSG, or -EOPNOTSUPP for legacy and
 * big-endian streams and flags that are not known. base is the offset at which the layers began.
 */
int xr_layers_step(struct xr_layers *l, const void *bytes, uint64_t base, struct xr_error *err);

#endif
