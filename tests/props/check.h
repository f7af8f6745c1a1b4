/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must be true after a restore. Each check writes what is wrong to `why` and returns false. */
#ifndef XR_TEST_CHECK_H
#define XR_TEST_CHECK_H

#include "host/model.h"
#include "lib/random.h"
#include "xenrestore.h"

struct why {
	char *text;
	size_t room;
};

bool why_not(const struct why *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The guest's frames are those of the reference model, with its contents. */
bool check_guest(const struct why *w, struct xr_model *m, const struct refmodel *ref);
/* No frame was misused on the way, and no mapping is left; also true of a failed restore. */
bool check_habits(const struct why *w, struct xr_model *m);
/* The domain owns start pages more than the guest has frames, and every parameter was set. */
bool check_domain(const struct why *w, struct xr_model *m, const struct refmodel *ref,
		  uint64_t start);
bool check_result(const struct why *w, const struct xr_result *res, const struct random_stream *s);
/* The receipt is of the pages that the reference model holds, and of no other. */
bool check_receipt(const struct why *w, const struct xr_restore *r, const struct xr_result *res,
		   const struct refmodel *ref);
/* A failure is told in full: code, stage and a sentence. */
bool check_error(const struct why *w, int rc, const struct xr_error *err);
/* An error about a frame names a record of the stream (which begins at `start` by the offsets of
 * errors), and by_name: one that names that frame. cp: its checkpoints; NULL. */
bool check_place(const struct why *w, const struct xr_error *err, const struct builder *b,
		 const struct checkpoints *cp, uint64_t start, bool by_name);
/* Superpages: every whole 2M region is one entry, but for those where Xen should have none. */
bool check_superpages(const struct why *w, struct xr_model *m, const struct refmodel *ref);

#endif
