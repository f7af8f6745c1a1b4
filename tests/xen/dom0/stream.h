/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of the memory part of an xl save file or captured migration, mapped whole. Of a
 * checkpointed one, those that count: up to its last complete checkpoint. On purpose nothing of the
 * library under test is used: a mistake of its decoder must not be made twice.
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u
#define MAX_PFN (1ul << 24)
#define REC_END 0u
#define REC_PAGE_DATA 1u
#define REC_HVM_PARAMS 10u
#define REC_CHECKPOINT 14u
#define LIBXL_CHECKPOINT_END 4u /* in the records of libxl, behind that */

/* An entry of a PAGE_DATA record. */
#define PFN(entry) ((entry) & ((1ull << 52) - 1))
#define TYPE(entry) ((entry) >> 60)

struct stream {
	uint8_t *data;
	size_t size;
	size_t start; /* of the first libxc record */
	size_t end;   /* of those that count */
	unsigned long checkpoints;
	bool pv;
};

struct record {
	size_t at; /* of its header */
	uint32_t type, length;
	uint8_t *body;
};

uint32_t u32(const uint8_t *p);
uint64_t u64(const uint8_t *p);

/* Writable: what is written goes to the file. Says on stderr what is wrong. */
bool stream_open(struct stream *s, const char *path, bool writable);

/* The record at r->at; false at the end. */
bool record_get(const struct stream *s, struct record *r);
void record_step(const struct stream *s, struct record *r);
uint64_t record_entry(const struct record *r, uint32_t i);

static inline bool backed(uint64_t entry)
{
	return TYPE(entry) != 0xd && TYPE(entry) != 0xf;
}

static inline bool has_data(uint64_t entry)
{
	return backed(entry) && TYPE(entry) != 0xe;
}

#endif
