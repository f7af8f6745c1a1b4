/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xr-colo stands between xl and a save helper: xl, which restores a plain file, runs it as the
 * helper, and it runs the helper as a libxl with COLO would. What that libxl and a primary do is
 * played with two save files of one guest: the first checkpoint is the first file, the second one
 * what differs in the second, and what the guest has written here, as the helper told.
 */
#ifndef COLO_H
#define COLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

/* Says what is wrong, and ends the program: xl then takes it for a helper that has died. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- guest.c: the domain, and what its guest says ---- */

struct guest {
	uint32_t domid, store_port;
	xc_interface *xch;
	xenforeignmemory_handle *fmem;
	struct xs_handle *xs;
	volatile struct xencons_interface *console; /* NULL: the guest has never run */
	char word[1 << 16];			    /* what it has said since it was last started */
	size_t words;
};

void guest_open(struct guest *g, uint32_t domid, uint32_t store_port);

/* Let it run: from its first start on with a log of what it writes; later after a suspend, of which
 * it hears that it was cancelled or, its state being new, that it is in another domain. */
void guest_start(struct guest *g, uint64_t store_gfn, uint64_t console_gfn);
void guest_resume(struct guest *g, bool cancelled);
void guest_suspend(struct guest *g);
void guest_pause(struct guest *g);

/* What it said last behind this beginning of a line, in a complete line; NULL. */
const char *guest_said(const struct guest *g, const char *beginning);

/* Is there a page at this pfn, and anything in it? */
bool guest_has_something(const struct guest *g, uint64_t pfn);

/* Until it has verified itself and gets to that tick; it may find nothing bad. */
void guest_wait_tick(struct guest *g, unsigned long tick);

/* ---- parts.c: the stream, checkpoint by checkpoint ---- */

#define PARTS_MAX_PFN (1ul << 24)

/* Each ends with libxl's bytes, of which these are so many. */
#define LIBXL_BYTES 8u

/* Written by a process of their own. Without a list nothing but what differs. */
void part_first(int fd, const char *path);
void part_next(int fd, const char *before, const char *path, const uint8_t *dirty);

/* How far the file reaches that xl has open, to the END of its memory part. */
uint64_t part_end(const char *path);

#endif
