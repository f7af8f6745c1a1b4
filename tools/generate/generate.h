/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic migration streams of HVM guests of any size, and an oracle that tells what they restore
 * to. Every decision (hole, zero page, dirty in a pass, contents) is a hash of the seed, the pfn
 * and the pass, so a stream is made in bounded memory and any page of the guest can be checked
 * without the stream.
 *
 * The shape is a real saver's: the first pass names every pfn from 0 on in ascending order, holes
 * as XTAB; later passes name what changed, ascending; then (or at each checkpoint) TSC_INFO,
 * HVM_CONTEXT, HVM_PARAMS, END. RAM lies at [0, 3840 MiB) and from 4 GiB on; eight special pages
 * (store, console, ...) stand just below 4 GiB, where a PVH guest has them.
 */
#ifndef XR_GENERATE_H
#define XR_GENERATE_H

#include "cli/options.h"
#include "generate/emit.h"

#define XR_GEN_BATCH_MAX                                                                           \
	32704u		  /* pfns in a record whose pages all have data: its limit is 128 MiB */
#define XR_GEN_SPECIAL 8u /* pages on top of size_bytes */

struct xr_gen_options {
	uint64_t seed;
	uint64_t size_bytes; /* 256 MiB; RAM and its holes, a multiple of 4096, at most 64 TiB */
	unsigned int holes_permille; /* 0; of the RAM, never there */
	unsigned int hole_run; /* 1; holes come in stretches of (multiples of) this many pages */
	unsigned int zero_permille; /* 0; of the contents, all zero */
	unsigned int passes;	    /* 1; at most 1000 */
	unsigned int checkpoints; /* 0; the last so many passes end in a CHECKPOINT, with the state
				   * that goes with it, and there is no END: a stream of Remus */
	unsigned int dirty_permille;	   /* 20; of the RAM, sent again by each later pass */
	unsigned int balloon_out_permille; /* 0; of the RAM, taken away by each later pass */
	unsigned int balloon_in_permille; /* 0; of holes and lost pages, given by each later pass */
	unsigned int batch;		  /* 1024; pfns to a record, at most XR_GEN_BATCH_MAX */
	unsigned int version;		  /* 3; or 2 */
	bool types_only;	  /* false; RAM is listed as XALLOC, without contents: all zero */
	bool compact;		  /* false; the special pages follow low RAM directly, so that a
				   * small guest does not list the pfns up to 4 GiB */
	enum xr_emit_layer layer; /* XR_EMIT_BARE; others also get a libxl END behind */
	uint64_t trailing;	  /* 0; further bytes behind it all, never zero */
};

struct xr_gen_summary {
	uint64_t bytes;	       /* written in all */
	uint64_t libxc_offset; /* of the image header */
	uint64_t end_offset;   /* behind the libxc END record, or the last CHECKPOINT */
	uint64_t records;      /* of the libxc stream, END included */
	uint64_t pages;	       /* contents in the stream */
	uint64_t populated;    /* frames that the guest has at the end */
	uint64_t whole_2m;     /* aligned 2M regions that are wholly populated */
	uint64_t highest_pfn;  /* named */
	uint64_t store_gfn, console_gfn;
};

void xr_gen_options_default(struct xr_gen_options *o);

/* NULL, or what is wrong with them. */
const char *xr_gen_check(const struct xr_gen_options *o);

/*
 * Write the stream to fd from its present position. 0 or a negative errno (-EINVAL: options); the
 * summary is complete only with 0 and may be NULL. Takes about a megabyte whatever the size.
 */
int xr_generate(int fd, const struct xr_gen_options *o, struct xr_gen_summary *sum);

/* pfns that the first pass names: 0 up to this, exclusive. */
uint64_t xr_gen_pfns(const struct xr_gen_options *o);

/*
 * Does the guest have this frame at the end? If so and page is not NULL, its 4096 bytes: contents,
 * or zeros where the stream has none or where the restore clears the page.
 */
bool xr_gen_expect_page(const struct xr_gen_options *o, uint64_t pfn, void *page);

/* The program's `generate` command. */
extern const struct xr_command xr_command_generate;

#endif
