/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of a PV guest's frames: for each pfn that is backed its mfn, the page type that the
 * stream gave it last, and whether it holds a page table that is still as it came. It is shared by
 * the engine, which writes, and the copy workers, which look frames up; memory is taken only where
 * frames are, a page for each 2M region.
 *
 * One thread writes, but for xr_p2m_localised(). What is written is seen by whoever is handed work
 * on it afterwards.
 */
#ifndef XR_P2M_H
#define XR_P2M_H

#include <stdbool.h>
#include <stdint.h>

#define XR_P2M_LIMIT ((uint64_t)1 << 32) /* pfns: what a PV stream can name */
#define XR_NO_MFN (~(uint64_t)0)

struct xr_p2m;

struct xr_p2m *xr_p2m_create(void); /* NULL with errno */
struct xr_p2m *xr_p2m_attach(int fd);
void xr_p2m_destroy(struct xr_p2m *p);
int xr_p2m_fd(const struct xr_p2m *p);

/* The highest pfn of the guest; it never falls. */
void xr_p2m_raise(struct xr_p2m *p, uint64_t max_pfn);
uint64_t xr_p2m_max(const struct xr_p2m *p);

/* n pfns from first on, all below the limit, are backed by the frames from mfn on, or no longer.
 * Their type becomes 0. */
void xr_p2m_set(struct xr_p2m *p, uint64_t first, uint64_t mfn, uint64_t n);
void xr_p2m_unset(struct xr_p2m *p, uint64_t first, uint64_t n);

/* XR_NO_MFN: not backed. Any pfn. */
uint64_t xr_p2m_mfn(const struct xr_p2m *p, uint64_t pfn);

/* Type and state of a backed pfn: 0 and false of any other. */
unsigned int xr_p2m_type(const struct xr_p2m *p, uint64_t pfn);
void xr_p2m_set_type(struct xr_p2m *p, uint64_t pfn, unsigned int type);
bool xr_p2m_is_raw(const struct xr_p2m *p, uint64_t pfn);
void xr_p2m_set_raw(struct xr_p2m *p, uint64_t pfn, bool raw);
void xr_p2m_localised(struct xr_p2m *p, uint64_t pfn); /* by any thread; is raw no more */

/* 2M regions that take memory. */
uint64_t xr_p2m_regions(const struct xr_p2m *p);

#endif
