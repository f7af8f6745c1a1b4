/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/stats.h"

#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
	const double at = q * (double)(n - 1);
	const size_t i = (size_t)at;

	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

struct bench_stats bench_stats(const double *values, size_t n)
{
	double v[BENCH_STATS_MAX];

	if (n > BENCH_STATS_MAX)
		n = BENCH_STATS_MAX;
	if (!n)
		return (struct bench_stats){ 0 };
	memcpy(v, values, n * sizeof(*v));
	qsort(v, n, sizeof(*v), ascending);
	return (struct bench_stats){ .n = n,
				     .min = v[0],
				     .q1 = quantile(v, n, 0.25),
				     .median = quantile(v, n, 0.5),
				     .q3 = quantile(v, n, 0.75),
				     .max = v[n - 1] };
}
