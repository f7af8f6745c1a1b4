/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference model of a PV guest's restore: the plainest reading of its stream, and whether a
 * model host holds just that. Contents are pointers into the stream's bytes, which must stay.
 */
#ifndef XR_TEST_PVREF_H
#define XR_TEST_PVREF_H

#include "host/model.h"

#include <stddef.h>

#define PVREF_VCPUS 32u

struct pvref_page {
	const unsigned char *page; /* NULL: undefined */
	unsigned char type;
	bool backed;
	bool table; /* the contents are a page table's */
};

struct pvref_blob {
	const unsigned char *data;
	uint32_t size; /* 0: none */
};

struct pvref {
	unsigned int width;
	uint64_t max_pfn;
	struct pvref_page *at; /* by pfn, max_pfn + 1 */
	uint64_t *frame;       /* of the guest's own p2m */
	size_t nframes;
	uint64_t backed; /* after all, with what only page tables name */
	bool verify;
	struct pvref_blob vcpu[PVREF_VCPUS][XR_VCPU_STATES];
	const unsigned char *shared; /* NULL: none */
	size_t end;		     /* offset behind END */
};

/* Records from the image header at `offset` to END. False: it can't be read as a PV guest. */
bool pvref_read(struct pvref *p, const void *stream, size_t size, size_t offset);
void pvref_free(struct pvref *p);

struct pvref_ports {
	uint32_t store, console;
};

/* Does the model hold that guest, complete? What the restore said of the rings must fit, too. */
bool pvref_check(const struct pvref *p, struct xr_model *m, const struct pvref_ports *ports,
		 uint64_t store_gfn, uint64_t console_gfn, char *why, size_t room);

/* SHA-256 as in digest.h, over what the model holds, but for page tables, which are left out, and
 * pages that a restore rewrites, which count as they came. 0 or a negative errno. */
int pvref_digest(const struct pvref *p, struct xr_model *m, char hex[65]);

#endif
