/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small valid streams with every kind of record of their guest. */
#ifndef XR_TEST_SAMPLES_H
#define XR_TEST_SAMPLES_H

#include "lib/builder.h"

enum sample { SAMPLE_HVM3, SAMPLE_HVM2, SAMPLE_PV64, SAMPLE_PV32, SAMPLES };

/* END is there, `trailing` bytes follow. */
void sample_make(struct builder *b, enum sample which, enum xr_emit_layer layer, size_t trailing);

/* A record of n arbitrary, but fixed, bytes. */
void sample_blob(struct builder *b, uint32_t type, uint32_t n);

/* X86_PV_INFO and X86_PV_P2M_FRAMES for pfns 0 to last. */
void sample_pv_info(struct builder *b, unsigned int width);
void sample_p2m(struct builder *b, unsigned int width, uint32_t first, uint32_t last);

/* The seed of this run: XR_SEED, or the one given. */
uint64_t sample_seed(uint64_t otherwise);

#endif
