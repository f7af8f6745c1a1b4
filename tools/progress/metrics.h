/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures of the last restore as an OpenMetrics file, for the textfile collector of
 * node_exporter, which reads *.prom only. */
#ifndef XR_METRICS_H
#define XR_METRICS_H

#include "xenrestore.h"

#include <stdio.h>

/* res as xr_run() filled it; NULL if it was not called. Fails by the stream's error indicator only.
 */
void xr_metrics_write(FILE *to, const struct xr_settings *set, const struct xr_result *res,
		      int exit_code);

#endif
