/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_GUEST_DIGEST_H
#define XR_GUEST_DIGEST_H

#include "host/model.h"

/*
 * SHA-256 over every backed frame of the model in ascending order: the gfn as a little-endian u64,
 * then its 4096 bytes. hex gets 64 digits and a NUL.
 */
int xr_guest_digest(struct xr_model *m, char hex[65]);

#endif
