/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is told of a restore that runs, worked out from what the engine says: how far it is, how
 * fast, how long it will still take, and what holds it up. Pure: time is that of the reports.
 */
#ifndef XR_METER_H
#define XR_METER_H

#include "xenrestore.h"

/* Begin with all zero. */
struct xr_meter {
	unsigned int pass;
	uint64_t done, total; /* bytes: of contents where their number is known, else of the stream;
			       * total 0: not known */
	uint64_t pages;
	double seconds;
	double recent_bytes, recent_seconds; /* the older, the less they weigh */
	double rate;			     /* bytes a second, of late */
	double left;			     /* seconds; negative: not known */
	const char *limit;		     /* "source", or the name of a stage; "" not known */
};

void xr_meter_update(struct xr_meter *m, const struct xr_progress *p);

/* 0 to 1; negative: not known. */
double xr_meter_share(const struct xr_meter *m);

/* "pass 2  1.20 of 4.00 GiB  1.31 GiB/s  0:02 left  limited by copy" */
void xr_meter_words(const struct xr_meter *m, char *text, size_t size);

/* "[#######.............]  35%  " and the words, at most `columns` characters. Where there are few
 * of these, the words are fewer, then the bar shorter. */
void xr_meter_line(const struct xr_meter *m, unsigned int columns, char *text, size_t size);

#endif
