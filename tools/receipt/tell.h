/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_RECEIPT_TELL_H
#define XR_RECEIPT_TELL_H

#include "receipt/receipt.h"

struct receipt_verdict {
	const struct receipt *receipt;
	const struct receipt_difference *found;
	bool domain; /* a domain was held against it, else a stream */
	bool running;
};

static inline bool receipt_is_met(const struct receipt_difference *d)
{
	return !d->regions && !d->control;
}

void receipt_tell_text(FILE *to, const struct receipt_verdict *v);
void receipt_tell_json(FILE *to, const struct receipt_verdict *v);

#endif
