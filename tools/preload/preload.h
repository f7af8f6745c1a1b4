/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxr-model-preload.so: preloaded before the Xen libraries, it answers their stable lower edge
 * (xencall_*, xenforeignmemory_*) from the model host, so that programs written for libxenctrl and
 * libxenguest run unmodified on a machine without Xen. It knows one domain.
 *
 * Environment, read at the first open of a handle:
 *   XR_MODEL_FD         attach to the model behind this inherited descriptor (xr_model_share());
 *                       else one is made in the process, from:
 *   XR_MODEL_MAX_PAGES  limit of the domain (default 2^24)
 *   XR_MODEL_VCPUS      (1)
 *   XR_MODEL_MAX_ORDER  largest extent (18)
 *   XR_MODEL_NO_HUGE    set: small pages only
 *   XR_MODEL_PV         set: a PV domain
 *   XR_MODEL_DOMID      by which id the domain is known (1)
 *   XR_MODEL_XEN_MINOR  the Xen says it is version 4.this (17)
 * What the library does not know is refused with ENOSYS and named once on stderr.
 *
 * The calls below let a program that may or may not run preloaded look behind the scene: they are
 * weak, NULL where the library is absent. They return -1 before the first open.
 */
#ifndef XR_PRELOAD_H
#define XR_PRELOAD_H

#include "host/model.h"

#define XR_PRELOAD_API __attribute__((weak, visibility("default")))

struct xr_preload_stats {
	struct xr_model_stats model; /* of the guest, by whichever process */
	uint64_t hypercalls;	     /* by this process, all kinds */
	uint64_t refused;	     /* of these, with ENOSYS */
	uint64_t buffer_maps;	     /* hypercall buffers not taken from the cache */
};

XR_PRELOAD_API int xr_preload_stats(struct xr_preload_stats *out);

/* As xr_model_next() and xr_model_peek(). */
XR_PRELOAD_API uint64_t xr_preload_next(uint64_t from);
XR_PRELOAD_API int xr_preload_peek(uint64_t gfn, void *page);

#endif
