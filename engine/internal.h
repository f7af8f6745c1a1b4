/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of one restore, shared by the files of this folder. */
#ifndef XR_INTERNAL_H
#define XR_INTERNAL_H

#include "backlog.h"
#include "base/bufpool.h"
#include "base/digests.h"
#include "base/error.h"
#include "base/p2m.h"
#include "copy/copy.h"
#include "host/host.h"
#include "host/model.h"
#include "populate/populate.h"
#include "stream/index.h"
#include "stream/stream.h"

#include <xentoollog.h>

/*
 * Guest state that control records carry. What a kind of guest does with them is an ops table, so
 * that another kind is another file.
 */
struct xr_guest {
	const struct xr_guest_ops *ops;
	bool static_done;
	void *leaves, *msrs, *context;
	uint32_t leaves_len, msrs_len, context_len;
	struct xr_where context_at;
	uint64_t store_gfn, console_gfn;
	struct xr_pv *pv; /* guest_pv.h */
};

struct xr_guest_ops {
	/* A validated control record. Takes item->body over if it sets it to NULL. */
	int (*control)(struct xr_restore *r, struct xr_item *item, struct xr_error *err);
	/* Entries whose frames are backed now, before their contents. May be NULL. */
	int (*types)(struct xr_restore *r, const struct xr_item *item, struct xr_error *err);
	/* After END: every frame is backed, no contents are handed on any more. May be NULL. */
	int (*settle)(struct xr_restore *r, struct xr_error *err);
	/* Then: everything is copied, no mapping is left. May be called again, when more of the
	 * stream was restored. */
	int (*complete)(struct xr_restore *r, struct xr_error *err);
};

extern const struct xr_guest_ops xr_guest_hvm, xr_guest_pv;

/*
 * Of a checkpointed stream. From the first CHECKPOINT on the guest is that of the last complete
 * one, and records are put by until the next one is complete.
 */
struct xr_checkpoints {
	bool buffering;
	bool preparing; /* frames are allocated for records that are put by */
	bool failed_over;
	bool completed; /* COLO: the guest is complete, and has run */
	uint64_t complete;
	uint64_t good_at;		     /* ns; of the latest */
	uint64_t apply_ns, apply_ns_longest; /* see xr_result */
};

struct xr_restore {
	struct xr_settings set;
	struct xr_host *host;
	struct xr_model *own_model;
	struct xr_bufpool *pool;
	struct xr_p2m *p2m;	    /* NULL where the domain can't be PV, or there was no memory */
	struct xr_digests *digests; /* NULL without a receipt */
	struct xr_stream *stream;
	struct xr_index *index;
	struct xr_physmap *pm;
	struct xr_copy *copy;
	struct xr_guest guest;
	struct xr_backlog *backlog; /* NULL: a plain stream */
	struct xr_checkpoints check;
	uint64_t max_pages; /* the domain's limit, as it was at the start */

	int cancel_fd;
	uint32_t cancelled; /* atomically accessed */
	bool ran;
	bool sandboxed;
	struct xr_mapper *mapper; /* the engine's own, for PV; NULL before the first use */

	bool verify;
	uint64_t begun;	 /* ns */
	uint64_t opened; /* ns; the stream's headers, and its index, are read; 0: not yet */
	struct {
		uint64_t at, starved, blocked, stream_starved; /* ns; as they were then */
		uint64_t bytes;
	} told;
	uint64_t file_end;  /* bytes of a regular file; else 0 */
	struct xr_where at; /* the record that is, or was last, carried out */
	uint64_t starved;   /* ns the pump waited for items */
	uint64_t bytes, records, pages_received;
	uint64_t live; /* pages handed on for good; with an index, known before */
	unsigned int pass;
	uint64_t other_calls;
	uint64_t control_digest;
	bool complete; /* xr_run() succeeded */
};

void xr_log(const struct xr_restore *r, xentoollog_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Move items from the stream through populate to copy until END, or failover. */
int xr_pump(struct xr_restore *r, struct xr_error *err);

/* From here on nothing more of the stream is handed on: its frames are settled, its contents are in
 * them, and no mapping is left. Then complete() may be called. */
int xr_finish_memory(struct xr_restore *r, struct xr_error *err);

/* These contents are not the stream's, or no longer there: a receipt leaves them out. */
void xr_receipt_own(struct xr_restore *r, uint64_t pfn);
int xr_receipt_forget(struct xr_restore *r, const struct xr_where *where, const uint64_t *pfns,
		      size_t n, struct xr_error *err);
/* A record that is not a page. */
void xr_receipt_record(struct xr_restore *r, const struct xr_item *it);
/* Over all regions; 0 without a receipt. */
uint64_t xr_receipt_contents(const struct xr_restore *r);

/* Xen does not take what the stream has at `where` (NULL: it is not the stream's). What it calls
 * invalid is the stream's fault then. Returns err->code. */
int xr_refused(struct xr_error *err, int rc, const struct xr_where *where, const char *what);

/* Between two steps: the first error of a worker, -ECANCELED, or 0; and tell of the progress. */
int xr_pulse(struct xr_restore *r, struct xr_error *err);

/* Call the progress callback if it is time to; from when the first is due. */
void xr_progress_tell(struct xr_restore *r);
void xr_progress_start(struct xr_restore *r);
void xr_progress_indexing(struct xr_restore *r, uint64_t offset); /* the same, before */

/* Of so many ns the control loop waited starved for the stream and blocked for copy: which stage
 * held the others up? */
enum xr_stage xr_limit(uint64_t elapsed, uint64_t starved, uint64_t blocked);

/* -ECANCELED with an error, or 0. */
int xr_check_cancel(struct xr_restore *r, struct xr_error *err);

void xr_guest_free(struct xr_restore *r);

/* The books about a PV guest. After a failure, too, xr_guest_free() frees them. */
int xr_pv_open(struct xr_restore *r, const struct xr_dominfo *dom, struct xr_error *err);
void xr_pv_free(struct xr_restore *r);
/* Before the sandbox, which lets nothing be opened; else it is opened when it is needed. */
int xr_open_mapper(struct xr_restore *r, const struct xr_where *where, struct xr_error *err);

/* Records that every kind of guest handles alike. -ENOENT: not one of those. */
int xr_control_common(struct xr_restore *r, struct xr_item *item, struct xr_error *err);

#endif
