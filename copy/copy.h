/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy stage: workers (processes or threads, the same code) that map guest frames and write
 * page contents into them. One thread dispatches; all calls here are that thread's.
 *
 * Order: in ordered mode a frame always goes to the same worker, by its 4 MiB region, and a worker
 * works in order: the last writer wins. In unordered mode (every frame is written once) any worker
 * takes any work.
 *
 * Nothing of a worker outlives the stage, and a worker does not outlive the process that opened it.
 */
#ifndef XR_COPY_H
#define XR_COPY_H

#include "base/bufpool.h"
#include "base/digests.h"
#include "base/error.h"
#include "base/p2m.h"
#include "host/host.h"

#define XR_WINDOW 1024u /* frames per window at most */

/* As a buffer's number: contents lie in a file instead. 0 is the stream, from 1 on those that the
 * caller keeps contents in. */
#define XR_FROM(file) (-1 - (int)(file))
#define XR_COPY_KEPT 2u

struct xr_copy;

struct xr_copy_config {
	unsigned int workers;	  /* 1..64 */
	enum xr_worker_kind kind; /* AUTO: processes if they can be had, else threads */
	bool ordered;
	int fd;			    /* stream, for contents taken from the file; -1 */
	int kept[XR_COPY_KEPT];	    /* regular files of the caller's, for contents that it wrote */
	unsigned int nkept;	    /* of these */
	struct xr_bufpool *pool;    /* for contents taken from buffers; may be NULL */
	struct xr_p2m *p2m;	    /* by which a PV guest's frames are found; HVM: NULL */
	struct xr_digests *digests; /* of what is written; NULL: none are taken */
	bool sandbox;		    /* worker processes confine themselves (base/filter.h) */
};

struct xr_copy_stats {
	uint64_t pages_written, pages_verified, pages_differing, pages_cleared;
	uint64_t lowest_differing;		   /* pfn; XR_NO_PFN: none */
	uint64_t tables_localised, tables_lacking; /* those that were left as they are */
	uint64_t map_calls, unmap_calls, pages_mapped;
	struct xr_stage_times times; /* sum over workers */
	uint64_t dispatch_blocked;   /* ns that the dispatcher waited for a worker */
	uint64_t queued;	     /* pieces of work that are not finished */
	enum xr_worker_kind kind;    /* as it is */
	int unrestricted; /* errno: why the workers' handles reach other domains; 0: they don't */
};

/*
 * Start the workers. PROCESS: forked if this thread is the only one of the calling process; else a
 * worker program is started (spawn.h), -EBUSY if there is none. The workers hold on to the host's
 * fds of regular files, to the stream's fd, and to the pool (which must exist already); to nothing
 * else of the caller's.
 */
int xr_copy_open(struct xr_copy **out, struct xr_host *host, const struct xr_copy_config *cfg,
		 struct xr_error *err);

/* Change the mode; only while drained. */
void xr_copy_set_ordered(struct xr_copy *c, bool ordered);

/*
 * Open the current window: these frames (all backed) will be written next; the workers map them
 * while the contents are still on their way. n <= XR_WINDOW, no pfn twice.
 */
int xr_copy_begin(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns, size_t n,
		  bool verify, struct xr_error *err);

/*
 * A window of just these frames, all backed, will be opened some time: they may be mapped before.
 * A hint, in ordered mode: it takes no longer than there is room, and what comes of it is given up
 * wherever mappings are. No window may be open; n <= XR_WINDOW, no pfn twice.
 */
int xr_copy_expect(struct xr_copy *c, const uint64_t *pfns, size_t n, struct xr_error *err);

/*
 * Contents for frames [first, first + n) of the current window; parts come in order. Page i of the
 * part lies at page p = page ? page[i] : i of the source. buffer >= 0: in the pool; one user is
 * handed over, and freed when the last page is written (also on error). XR_FROM(n): in file n.
 */
int xr_copy_data(struct xr_copy *c, size_t first, size_t n, const uint32_t *page, int buffer,
		 uint64_t file_offset, struct xr_error *err);

/* Close the current window; its frames are unmapped some time after their last write. */
int xr_copy_end(struct xr_copy *c, struct xr_error *err);

/* Is there room for a window without waiting? */
bool xr_copy_has_room(const struct xr_copy *c);

/*
 * Finish all copies to these frames and drop every mapping of them; zero them if clear (they are
 * backed then). where: the record that takes them, for errors, or NULL. No window may be open.
 */
int xr_copy_retire(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns, size_t n,
		   bool clear, struct xr_error *err);

/* For a guest of this kind from here on; only while drained. */
void xr_copy_set_pv(struct xr_copy *c, bool pv);

/*
 * Localise these page tables where they lie (localise.h), after all contents before. One that names
 * a pfn without a frame is left as it is, raw in the p2m, and counted. n <= XR_WINDOW.
 */
int xr_copy_localise(struct xr_copy *c, const struct xr_where *where, const uint64_t *pfns,
		     size_t n, struct xr_error *err);

/* Finish everything; mappings may stay. No window may be open. */
int xr_copy_sync(struct xr_copy *c, struct xr_error *err);

/* Finish everything and drop every mapping. No window may be open. */
int xr_copy_drain(struct xr_copy *c, struct xr_error *err);

/* The first error of any worker, a dead worker included. 0: none. Cheap. */
int xr_copy_check(struct xr_copy *c, struct xr_error *err);

/* Every wait in this stage ends with -ECANCELED within 50 ms once *flag is set (atomically). NULL:
 * never. */
void xr_copy_set_cancel(struct xr_copy *c, const uint32_t *flag);

void xr_copy_stats(const struct xr_copy *c, struct xr_copy_stats *out);

/*
 * Stop the workers (without finishing their work if there was an error, a cancel, or a window is
 * open), drop every mapping, give back all pool users, free, and set *c to NULL. Worker processes
 * that are stuck are killed after a second.
 */
void xr_copy_close(struct xr_copy **c);

#endif
