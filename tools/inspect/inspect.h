/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in a stream, found without restoring it: one walk over its records with the reader, the
 * decoder and the planner of a restore. Page contents are passed over unless they are asked for.
 *
 * Memory is bounded as in a restore: sets of frames take at most XR_BOOKS_BYTES for each TiB of
 * RAM, everything else has a fixed size; what does not fit is counted.
 */
#ifndef XR_INSPECT_H
#define XR_INSPECT_H

#include "base/pfnset.h"
#include "cli/options.h"
#include "inspect/heat.h"
#include "stream/frame.h"
#include "stream/index.h"
#include "stream/stream.h"

#include <stdio.h>

#define INSPECT_BOOKS_BYTES ((size_t)52 << 20)
#define INSPECT_PROBLEMS 64u
#define INSPECT_PASSES 64u
#define INSPECT_PARAMS 64u
#define INSPECT_MSRS 32u
#define INSPECT_SAVE_TYPES 32u
#define INSPECT_RECORD_TYPES 0x13u
#define INSPECT_REASONS 24u

/*
 * BAD: a restore refuses the stream. ODD: the format forbids it and Xen's verify-stream-v2 refuses
 * it, but restores let it pass. NOTE: legal, and worth a look.
 */
enum inspect_severity { INSPECT_NOTE, INSPECT_ODD, INSPECT_BAD };

struct inspect_problem {
	enum inspect_severity severity;
	struct xr_error what;
	uint64_t more; /* of the same text, not kept */
};

struct inspect_pass {
	uint64_t offset, record;	   /* where it begins */
	uint64_t entries, contents, taken; /* taken: frames that were RAM and are no more */
	uint64_t first, last;		   /* pfns */
};

/* Why regions are not one extent. */
enum inspect_why {
	INSPECT_HOLES,	     /* frames of it were never RAM */
	INSPECT_TAKEN,	     /* frames of it were taken away and not given back */
	INSPECT_STRETCH_END, /* whole but for what lies behind the end of a stretch of memory */
	INSPECT_VGA,	     /* only the VGA hole is missing */
	INSPECT_LATE,	     /* whole at the end, but not when it was first touched */
	INSPECT_NOT_ASKED,   /* whole: the largest extent asked for is smaller */
	INSPECT_WHYS,
};

/* Neighbouring 2M regions that are not large for the same reason. */
struct inspect_reason {
	enum inspect_why why;
	uint64_t first, regions; /* region numbers: pfn >> 9 */
	uint64_t missing;	 /* frames */
};

struct inspect_plan {
	bool known;
	bool indexed; /* by what the whole file holds; else as the stream comes, as from a pipe */
	enum xr_policy policy;
	unsigned int max_order;
	uint64_t extents_1g, extents_2m, extents_4k;
	uint64_t whole_2m, whole_1g; /* regions that are RAM throughout */
	uint64_t partial_2m;	     /* with some RAM, not whole */
	uint64_t populate_calls, released;
	uint64_t why[INSPECT_WHYS]; /* regions */
	struct inspect_reason reasons[INSPECT_REASONS];
	unsigned int nreasons;
	bool more_reasons;
	struct xr_pfnset *large_2m, *large_1g; /* region numbers */
};

struct inspect_guest {
	char name[64], type[16]; /* xl's configuration; empty: not known */
	uint64_t max_kib;	 /* likewise, 0 */
	struct xr_wire_param params[INSPECT_PARAMS];
	unsigned int nparams;
	bool context;
	struct {
		uint32_t count, bytes;
	} saved[INSPECT_SAVE_TYPES]; /* the last: all others */
	uint32_t nsaved;
	uint32_t vcpus;
	bool tsc;
	struct xr_wire_tsc tsc_info;
	uint32_t leaves, nmsrs;
	uint32_t max_leaf, max_ext_leaf, signature;
	char vendor[13], brand[49];
	struct xr_wire_msr msrs[INSPECT_MSRS];
	uint8_t width, levels; /* PV */
	uint64_t p2m_max;
};

/* A record as it passes by. */
struct inspect_record {
	struct xr_where where;
	uint32_t length;
	bool pages;
	uint32_t entries, contents;
	uint64_t first, last; /* pfns of the first and of the last entry */
};

struct inspect {
	/* What is asked for; set before inspect_run(). */
	int fd;
	bool contents; /* read page contents, to count zero pages */
	bool map;      /* count for a picture */
	enum xr_policy policy;
	unsigned int max_order;
	void (*on_record)(const struct inspect_record *r, void *opaque); /* or NULL */
	void *opaque;

	/* What was found. */
	struct xr_stream_info info;
	struct xr_layers_seen layers;
	bool headers, ended;  /* the libxc headers and END were there */
	uint64_t checkpoints; /* CHECKPOINT records */
	bool file;
	uint64_t size;				  /* of a regular file, from the start offset */
	uint64_t end_offset, libxl_end, trailing; /* trailing: bytes behind all that is ours */
	bool libxl_ended;
	uint64_t emulator_bytes;
	uint64_t records, by_type[INSPECT_RECORD_TYPES], skipped;
	uint64_t entries[16]; /* by page type */
	uint64_t pages;	      /* contents */
	uint64_t zero_pages;
	bool contents_read; /* zero_pages counts them all */
	bool verify;	    /* VERIFY came */
	unsigned int npasses;
	struct inspect_pass passes[INSPECT_PASSES]; /* the last: all from there on */
	uint64_t last_pfn, highest;		    /* XR_NO_PFN: none */
	bool indexed;		      /* a restore from this file is planned from its index */
	uint64_t live_pages;	      /* indexed: contents that later ones do not replace */
	struct xr_pfnset *ram, *lost; /* at the end; RAM once but no more */
	bool strewn;		      /* too scattered: no more is told of frames */
	struct inspect_plan plan;
	struct inspect_guest guest;
	struct heat heat;
	struct inspect_problem problems[INSPECT_PROBLEMS];
	unsigned int nproblems;
	uint64_t unlisted; /* problems beyond those */
	enum inspect_severity worst;

	struct inspect_planner *planner; /* while it runs */
};

/* 0: the findings are there, whatever they are; else what failed on this machine. */
int inspect_run(struct inspect *in, struct xr_error *err);
void inspect_free(struct inspect *in);

/* Note a problem. Of those with one text the first is kept and the others are counted. */
void inspect_problem(struct inspect *in, enum inspect_severity severity, const struct xr_error *e);
void inspect_blame(struct inspect *in, enum inspect_severity severity, const struct xr_where *at,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* frames.c: decoded entries of one record, in order. 0 or -ENOMEM. */
int inspect_frames(struct inspect *in, const struct xr_where *at, const uint64_t *entries,
		   size_t n);

/* plan.c: the extents of a restore. Open before the first entries; add only if not indexed. */
int inspect_plan_open(struct inspect *in, struct xr_error *err);
int inspect_plan_add(struct inspect *in, const struct xr_where *at, const uint64_t *entries,
		     size_t n, bool ascending, struct xr_error *err);
int inspect_plan_finish(struct inspect *in, struct xr_error *err);
void inspect_plan_close(struct inspect *in);

/* guest.c: what control records say of the guest, and what is odd about them. body: length bytes
 * and the padding. */
void inspect_control(struct inspect *in, const struct xr_record *rec, const unsigned char *body);
void inspect_headers(struct inspect *in, const unsigned char *head);
void inspect_config(struct inspect *in, const char *json, size_t n);

/* "CONSOLE_PFN", "LAPIC"; NULL for what has no name. */
const char *inspect_param_name(uint64_t index);
const char *inspect_save_name(unsigned int typecode);
const char *inspect_page_name(unsigned int type);
const char *inspect_msr_name(uint32_t index);
const char *inspect_why_text(enum inspect_why why);
const char *inspect_layer_name(const struct inspect *in);

/* Holes: how many frames below the highest RAM frame are none, in how many stretches. */
void inspect_holes(const struct inspect *in, uint64_t *frames, uint64_t *stretches);

/* What is told. names: of the file. JSON: records (an array, or NULL) was written before. */
void inspect_text(FILE *to, const struct inspect *in, const char *source);
int inspect_json(FILE *to, const struct inspect *in, const char *source);
int inspect_svg(FILE *to, const struct inspect *in, const char *source);
void inspect_record_text(FILE *to, const struct inspect_record *r);
int inspect_record_json(FILE *to, const struct inspect_record *r);

/* The program's `inspect` command. */
extern const struct xr_command xr_command_inspect;

#endif
