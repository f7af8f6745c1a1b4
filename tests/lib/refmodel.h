/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference model of a restore: the plainest reading of a stream, record by record, entry by
 * entry. It keeps the set P of frames that are backed and their contents C, as pointers into the
 * stream's bytes, which must stay. What a restore leaves in the guest must equal it, whatever the
 * policy, the workers, the source and the timing.
 *
 * RAM type: P gains the pfn, its contents undefined. Other type: P loses it. Data: C is the
 * contents, unless in verify mode. RAM without data leaves C as it is, undefined if nothing was
 * written: Xen promises nothing of a fresh frame. HVM_PARAMS 1, 5, 6 and 17: the page they name is
 * zero from there on, if it is backed.
 */
#ifndef XR_TEST_REFMODEL_H
#define XR_TEST_REFMODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For the model host, so that what was not written is not what it should be by luck. */
#define REF_FILL 0xf1e5f1e5f1e5f1e5ull

struct ref_slot {
	uint64_t pfn;
	const unsigned char *page; /* NULL: undefined */
	bool used, backed;
	uint64_t record; /* that gave the page last; from 1 */
};

struct refmodel {
	struct ref_slot *slots; /* open addressing, by pfn */
	size_t nslots, used;
	uint64_t backed;  /* |P| */
	uint64_t peak;	  /* the largest |P| between any two entries */
	uint64_t *pfns;	  /* P in ascending order, after refmodel_finish() */
	uint64_t highest; /* pfn named; XR_NO_PFN: none */
	bool verify, ended;
	uint64_t records, pages; /* contents in the stream */
	uint64_t replaced;	 /* of these, by a later entry of the same record */
	uint64_t differences;	 /* contents that differed in verify mode; undefined ones do */
	uint64_t params[64];	 /* by index; ~0 where not set */
	uint64_t whole_2m;	 /* after refmodel_finish() */
	const char *broken;	 /* why the stream can't be read; NULL */
};

void refmodel_init(struct refmodel *m);
void refmodel_free(struct refmodel *m);

/* One record; body without padding. False, with m->broken, if the model can't take it. */
bool refmodel_record(struct refmodel *m, uint32_t type, const void *body, uint32_t length);

/* All records from the image header at `offset` to END; returns the offset behind END, or 0. Calls
 * refmodel_finish(). */
size_t refmodel_stream(struct refmodel *m, const void *stream, size_t size, size_t offset);

/* Sort P and count whole regions. */
void refmodel_finish(struct refmodel *m);

bool refmodel_backed(const struct refmodel *m, uint64_t pfn);
/* Contents of a pfn; NULL: undefined, or not backed. */
const unsigned char *refmodel_page(const struct refmodel *m, uint64_t pfn);
/* Its contents are the zeros that HVM_PARAMS put there. */
bool refmodel_cleared(const struct refmodel *m, uint64_t pfn);

/* SHA-256 as in digest.h, over P, undefined contents as zeros; after refmodel_finish(). */
void refmodel_digest(const struct refmodel *m, char hex[65]);

#endif
