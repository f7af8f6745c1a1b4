/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Remus and COLO: what a CHECKPOINT record begins, and how such a stream ends. */
#ifndef XR_CHECKPOINT_H
#define XR_CHECKPOINT_H

#include "internal.h"

/* A CHECKPOINT record was read: is the checkpoint good? 0: it is, and what was put by may be
 * applied. 1: failover. */
int xr_checkpoint_ask(struct xr_restore *r, const struct xr_where *where, struct xr_error *err);

/* Everything up to the record has been handed on. Returns as xr_checkpoint_ask(); at 0 the stream
 * is to be read on. */
int xr_checkpoint_taken(struct xr_restore *r, const struct xr_where *where, struct xr_error *err);

/* Put an item by until its checkpoint is good. Its buffer is dropped. 1: failover. */
int xr_checkpoint_keep(struct xr_restore *r, const struct xr_item *it, struct xr_error *err);

/* The stream ends here, with END or an error. 1: so does the restore, with the last complete
 * checkpoint; else what the error says. */
int xr_checkpoint_end(struct xr_restore *r, const struct xr_item *it, struct xr_error *err);

/* colo.c: the guest as it is now runs until the next checkpoint is due. Returns as
 * xr_checkpoint_ask(). */
int xr_colo_run(struct xr_restore *r, const struct xr_where *where, struct xr_error *err);

/* colo.c: at which of these pfns the guest, which has run, has RAM. `restore` is the struct
 * xr_restore: the physmap asks by this. */
int xr_colo_has_ram(void *restore, const struct xr_where *where, const uint64_t *pfns, size_t n,
		    bool *ram, struct xr_error *err);

/* What the toolstack answered to this question. */
int xr_checkpoint_answer(struct xr_restore *r, const char *question, int answer,
			 const struct xr_where *where, struct xr_error *err);

/* 1, and a word in the log: the guest goes on from the last complete checkpoint. */
int xr_fail_over(struct xr_restore *r, const char *why);

#endif
