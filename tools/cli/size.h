/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers as options take them. */
#ifndef XR_SIZE_H
#define XR_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* A number with an optional K, M, G or T (powers of 1024); *end is behind it. False: there is none,
 * or it does not fit; *out is undefined then. */
bool xr_take_size(const char *text, const char **end, uint64_t *out);

#endif
