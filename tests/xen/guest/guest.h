/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tiny guest that checks itself: it fills all its memory with a pattern of (page number,
 * generation), keeps rewriting part of it, and after each resume verifies every page.
 * One CPU, 32-bit, no interrupts: waiting is polling. Built twice: as a PVH guest without paging,
 * and as a PV guest (PV), whose page tables map all its memory from MEMORY on.
 */
#ifndef GUEST_H
#define GUEST_H

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>

#include <xen/event_channel.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

#define PAGE 4096u
#ifdef PV
#define MEMORY 0xc0000000u
#else
#define MEMORY 0u
#endif
#define AT(pfn) ((void *)(MEMORY + (uint32_t)(pfn)*PAGE))
#define PFN_OF(address) (((uint32_t)(address)-MEMORY) / PAGE)

/* ---- pvh.c, pv.c: the two kinds of guest ---- */

extern char command_line[256];

/* Once, at boot, with what Xen hands over: finds all that is in struct xen. */
void boot(const void *info);

/* memory_add() for all that is ours: what Xen has handed over may lie in there. */
void boot_memory(void);

/* Returns true if we went on in the same domain (the suspend was cancelled or a checkpoint). */
bool xen_suspend(void);

/* XENMEM_populate_physmap, XENMEM_decrease_reservation of n single frames: how many were done. */
unsigned int xen_populate(const xen_pfn_t *pfns, unsigned int n);
unsigned int xen_release(const xen_pfn_t *pfns, unsigned int n);

/* Whether there is memory at a page that was released. */
bool xen_has_memory(unsigned int pfn);

/* Have the page that we share with Xen here, where there may be one of ours, which goes. PVH only.
 */
bool xen_share_at(xen_pfn_t pfn);

/* ---- xen.c: what both ask of Xen, the console and xenstore ---- */

struct xen {
	volatile struct shared_info *shared;
	volatile struct xencons_interface *console;
	volatile struct xenstore_domain_interface *store;
	evtchn_port_t console_port, store_port;
};
extern struct xen xen;

long hypercall(unsigned int nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
void xen_shutdown(unsigned int reason) __attribute__((noreturn));
void xen_sleep(unsigned int ms);

/* One of the two memory operations above. */
unsigned int xen_reserve(unsigned int cmd, xen_pfn_t *frames, unsigned int n);

/* %s, %u, %x and %%; waits where the ring is full. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_flush(void);

/* Paths are relative to our own directory. read: NUL-terminated into buf, false if there is none */
bool store_read(const char *path, char *buf, size_t size);
void store_write(const char *path, const char *value);

/* ---- memory.c: the pattern ---- */

/* Ours to fill: all whole pages of [start, end) but the image. Before memory_fill(). */
void memory_add(uint64_t start, uint64_t end);

/* Give back what lies above `target` pages in all, unseen (a guest that was started with less
 * memory than its map says), and what `holes` asks for; then write every page that is left. */
void memory_fill(unsigned int target, bool holes);

/* Rewrite n pages with their next generation, half of them in order, half scattered. */
void memory_rewrite(unsigned int n);

/* Move a balloon: n pages go out, the n that went out last time come back. */
void memory_balloon(unsigned int n);

/* Put the page that we share with Xen in the place of one of ours, always the same: its number, or
 * 0. */
unsigned int memory_share(void);

/* Verify the next n pages, or all of them and all holes and the image; bad ones are named. */
void memory_check_some(unsigned int n);
void memory_check_all(void);

struct memory_count {
	unsigned int pages;	   /* that hold the pattern */
	unsigned int holes;	   /* that we gave back */
	unsigned int bad;	   /* found wrong so far */
	unsigned int bad_returned; /* of those, pages that were out once */
	unsigned int filled_holes; /* holes that had memory in them when last verified */
};
extern struct memory_count memory;

#endif
