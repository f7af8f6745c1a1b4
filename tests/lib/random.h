/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random valid streams of small HVM guests, with the reference model of what they restore to. One
 * seed is one stream. They are far wilder than a saver's: that is their point.
 */
#ifndef XR_TEST_RANDOM_H
#define XR_TEST_RANDOM_H

#include "lib/builder.h"
#include "lib/checkpoints.h"
#include "lib/refmodel.h"

/* What a stream may contain; it uses a random part of it. To shrink a failure, take bits away. */
enum random_feature {
	RANDOM_PASSES = 1 << 0,	      /* more than one */
	RANDOM_BALLOON = 1 << 1,      /* RAM taken away (XTAB, BROKEN) and given again */
	RANDOM_DUPLICATES = 1 << 2,   /* a pfn several times in one record */
	RANDOM_DISORDER = 1 << 3,     /* descending or shuffled first pass */
	RANDOM_OMIT_HOLES = 1 << 4,   /* holes aren't listed */
	RANDOM_XALLOC = 1 << 5,	      /* RAM without contents */
	RANDOM_VERIFY = 1 << 6,	      /* a VERIFY pass at the end */
	RANDOM_EARLY_PARAMS = 1 << 7, /* HVM_PARAMS between pages, and again at the end */
	RANDOM_LOST_PARAMS = 1 << 8,  /* the pages they name may be holes, also at times */
	RANDOM_OPTIONAL = 1 << 9,     /* unknown optional records anywhere, empty HVM_PARAMS */
	RANDOM_STRAY = 1 << 10,	      /* TSC_INFO and HVM_CONTEXT anywhere, repeatedly */
	RANDOM_FAR = 1 << 11,	      /* pfns above 4 GiB, up to 2^36 - 1 */
	RANDOM_LAYERS = 1 << 12,      /* xl, libxl or libvirt in front */
	RANDOM_V2 = 1 << 13,
	RANDOM_ODD_BATCHES = 1 << 14, /* other than 1024 pfns to a record */
	RANDOM_TRAILING = 1 << 15,    /* bytes behind END */
	RANDOM_ALL = (1 << 16) - 1,
};

struct random_options {
	uint64_t seed;
	unsigned int features;	  /* RANDOM_ALL */
	unsigned int max_data;	  /* 480; page contents in the stream, roughly */
	unsigned int max_pfns;	  /* 3500; of the guest */
	unsigned int max_passes;  /* 5 */
	unsigned int checkpoints; /* 0; the stream has so many, then records of one that is not
				   * complete, or END, or neither */
};

struct random_stream {
	struct builder b;
	struct refmodel ref; /* finished */
	enum xr_emit_layer layer;
	uint32_t version;
	unsigned int features; /* those it was allowed to use */
	struct checkpoints cp; /* then ref is the guest after the last */
};

void random_options_default(struct random_options *o, uint64_t seed);
void random_stream_make(struct random_stream *s, const struct random_options *o);
void random_stream_free(struct random_stream *s);

#endif
