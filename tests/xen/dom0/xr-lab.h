/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of xr-lab, the lab's own tool in dom0. Each returns an exit status. */
#ifndef XR_LAB_H
#define XR_LAB_H

#include <stddef.h>
#include <stdint.h>

/* What the memory part of a save file or captured migration says, as name=value words. */
int stream_print(const char *path);

/* stdin to stdout, in large pieces, and to a file. The second one ends so many bytes behind a
 * checkpoint, from 1, or behind the start (0); then FILE.cut is there, and both ends stay open
 * until it is gone. */
int stream_tee(const char *path);
int stream_tee_cut(const char *path, unsigned long checkpoint, size_t bytes);

/* Spoil one thing in a save file in place; see usage() for the kinds. */
int stream_damage(const char *path, const char *kind, unsigned long pfn, unsigned long other);

/*
 * Make an empty, paused PVH domain that no toolstack knows, and print its number; end one; turn a
 * bit of the byte at `at` of a page.
 */
int domain_create(unsigned long mib);
int domain_destroy(uint32_t domid);
int domain_spoil(uint32_t domid, unsigned long pfn, unsigned long at);

/* Whether a paused HVM or PVH domain's memory is what its stream said last; names what isn't. */
int memory_print(uint32_t domid, const char *path);

/* From Xen's trace of p2m writes: how a domain's memory is mapped, as name=value words. */
int p2m_print(const char *path, unsigned int domid);

#endif
