/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the preload library: the one domain there is, and who answers which call. */
#ifndef WORLD_H
#define WORLD_H

#include "preload.h"

#include <stdatomic.h>

#define WORLD_MFNS_FROM 0x180000ull /* the model's lowest mfn of a PV domain */

#define EXPORT __attribute__((visibility("default")))

struct world {
	struct xr_model *model;
	struct xr_host *host;
	uint32_t domid;
	bool pv;
	uint32_t max_vcpu_id;
	uint32_t xen_minor; /* of the version 4.x that Xen says it is */
	atomic_ullong hypercalls, refused, buffer_maps;
};

/* Made or attached at the first call. NULL with errno if that failed, then and later. */
struct world *world_get(void);

/* The machine-to-phys table, as far as this process populated: a file of 8 bytes for each mfn. */
int world_m2p(void);
void world_note_frames(uint64_t pfn, uint64_t mfn, uint64_t n);

/* errno = error, result -1: how the libraries answer. */
int world_fail(int error);
/* 0 stays 0, a negative errno becomes errno and -1. */
int world_result(int rc);
/* -1 with ENOSYS, counted; the first time for this call and number, says so on stderr. */
int world_refuse(struct world *w, const char *call, unsigned int number);

/* Each returns what the hypercall returns, or -1 with errno. */
long memory_op(struct world *w, unsigned int cmd, void *arg);
int domctl(struct world *w, void *arg);
int sysctl_op(struct world *w, void *arg);
int hvm_op(struct world *w, unsigned int cmd, void *arg);
int version_op(struct world *w, unsigned int cmd, void *arg);
int mmuext_op(struct world *w, const void *ops, unsigned int n, unsigned int *done);

/*
 * mappings.c: which addresses are mappings of the guest. Libraries end them with a plain munmap(),
 * so that is taken over as well. Lock around map and note, and around forget.
 */
void mappings_lock(void);
void mappings_unlock(void);
int mappings_note(struct world *w, struct xr_mapper *mapper, void *addr, size_t n);
void mappings_forget(const struct xr_mapper *mapper);

#endif
