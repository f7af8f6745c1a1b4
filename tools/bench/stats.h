/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Order statistics of repeated measurements. */
#ifndef XR_BENCH_STATS_H
#define XR_BENCH_STATS_H

#include <stddef.h>

struct bench_stats {
	size_t n;
	double min, q1, median, q3, max; /* all 0 if n is 0 */
};

/* Quartiles interpolate linearly between neighbours (the usual "type 7"). values stay as they are;
 * n is at most BENCH_STATS_MAX, further values are left out. */
#define BENCH_STATS_MAX 1000u
struct bench_stats bench_stats(const double *values, size_t n);

#endif
