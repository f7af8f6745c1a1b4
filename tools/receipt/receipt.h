/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receipts: what a restore wrote, kept as a file (JSON, see xenrestore-verify(1)), and what a
 * stream or a guest differs by from it.
 */
#ifndef XR_RECEIPT_H
#define XR_RECEIPT_H

#include "cli/options.h"
#include "host/host.h"
#include "xenrestore.h"

#include <stdio.h>

#define RECEIPT_FORMAT 1u
#define RECEIPT_TEXT 160u

extern const struct xr_command xr_command_verify;

/* The stream's identity, and what verify needs of it. */
struct receipt_stream {
	bool pv;
	uint64_t bytes, records, control;
	uint64_t contents; /* digest over all regions */
	uint64_t store_gfn, console_gfn;
};

struct receipt {
	struct receipt_stream stream;
	struct xr_region *region; /* ascending */
	size_t n;
};

/* What a receipt also tells, for people. */
struct receipt_context {
	const struct xr_settings *set;
	const struct xr_result *res;
	const char *source;
	double ended; /* seconds since the epoch */
};

void receipt_stream_of(struct receipt_stream *s, const struct xr_result *res);

/* The restore of this handle succeeded. Fails by the stream's error indicator only. */
void receipt_write(FILE *to, const struct receipt_context *c, const struct xr_restore *r);

/* False: why says what is wrong. Freed by receipt_free() in any case. */
bool receipt_read(struct receipt *r, const char *path, char why[RECEIPT_TEXT]);
void receipt_free(struct receipt *r);

/* Regions that differ, as ranges of pfns. */
struct receipt_range {
	uint64_t first, last;
};

struct receipt_difference {
	struct receipt_range *range; /* ascending; neighbours are joined */
	size_t n, room;
	uint64_t regions; /* that differ */
	bool control;	  /* records that are not pages differ, or their number or size */
	bool full;	  /* no memory: there are more */
};

/* 2^9 pfns from first on. */
void receipt_differs(struct receipt_difference *d, uint64_t first);
void receipt_difference_free(struct receipt_difference *d);

/* Hold the guest of a finished restore against the receipt. */
void receipt_compare_restore(const struct receipt *want, const struct xr_restore *r,
			     const struct xr_result *res, struct receipt_difference *d);

/*
 * Hold the memory of a domain against it, by so many threads. A frame that is not there differs,
 * and so does one that holds something else. 0 or a negative errno.
 */
int receipt_compare_domain(const struct receipt *want, struct xr_host *host, unsigned int threads,
			   struct receipt_difference *d);

#endif
