/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxenrestore: restore a Xen domain from a migration stream.
 *
 * One restore is one handle: xr_open(), xr_run(), xr_close(). Handles are independent; any number
 * may live in one process. A handle belongs to one thread at a time, except for xr_cancel().
 *
 * Every call that can fail returns 0 or a negative errno and, where it takes a struct xr_error,
 * fills it with the first cause. Nothing here prints, exits, aborts, or changes signal handlers.
 */
#ifndef XENRESTORE_H
#define XENRESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XR_API_MAJOR 0
#define XR_API_MINOR 1

#if defined(__GNUC__)
#define XR_API __attribute__((visibility("default")))
#else
#define XR_API
#endif

struct xentoollog_logger;
struct xr_model;
struct xr_restore;

#define XR_NO_PFN (~(uint64_t)0)
#define XR_NO_OFFSET (~(uint64_t)0)
#define XR_NO_RECORD (~(uint64_t)0)
#define XR_NO_TYPE (~(uint32_t)0)

/* Where an error arose. */
enum xr_stage {
	XR_STAGE_NONE,
	XR_STAGE_SETUP,	   /* settings, resources, worker start */
	XR_STAGE_STREAM,   /* reading and decoding: the stream is at fault, or its fd */
	XR_STAGE_POPULATE, /* giving frames to the guest and taking them back */
	XR_STAGE_COPY,	   /* mapping frames and writing contents */
	XR_STAGE_ENGINE,   /* control records, guest state, callbacks */
};

/*
 * The first failure of a restore. `code` is a negative errno:
 *   -EBADMSG   the stream breaks the format (stage STREAM) or contradicts itself
 *   -ENODATA   the stream ends too early
 *   -EOPNOTSUPP the stream is valid but of a kind this version cannot restore
 *   -E2BIG     the domain's limit leaves no room for the guest
 *   -ECANCELED xr_cancel() was called
 *   others     what the kernel or Xen said
 * `host_failed` tells a failing host (Xen, memory, a worker that died) from a bad stream.
 * offset is in bytes from the position the fd had at xr_open() (for a regular file: from its
 * start), at the header of the record at fault, not counting what the toolstack takes from a pipe
 * at checkpoints; record counts the libxc records from 0; type is the record's type field. XR_NO_*
 * where not known. text is one line, always NUL-terminated.
 */
struct xr_error {
	int code;
	enum xr_stage stage;
	bool host_failed;
	uint64_t offset;
	uint64_t record;
	uint32_t type;
	uint64_t pfn;
	char text[256];
};

enum xr_host_kind {
	XR_HOST_XEN,   /* libxenctrl, libxenforeignmemory */
	XR_HOST_MODEL, /* a software Xen in this process, for tests, benches and dry runs */
};

enum xr_stream_type { XR_STREAM_PLAIN, XR_STREAM_REMUS, XR_STREAM_COLO };

/* What stands before the libxc stream at the fd's position. */
enum xr_layer {
	XR_LAYER_AUTO,	/* found by its magic: xl, libvirt, libxl or libxc */
	XR_LAYER_LIBXC, /* the bare libxc stream, as a save helper is handed it */
};

enum xr_policy {
	XR_POLICY_EXACT,       /* large pages where the stream is known to fill them */
	XR_POLICY_SPECULATIVE, /* the largest page on the first touched pfn, gaps punched */
	XR_POLICY_4K,	       /* no large pages */
};

enum xr_worker_kind {
	XR_WORKER_AUTO,	   /* processes where they can be had, else threads */
	XR_WORKER_PROCESS, /* a mapping of guest memory costs no other worker its mmap lock */
	XR_WORKER_THREAD,
};

enum xr_io {
	XR_IO_AUTO,  /* io_uring if the kernel allows it */
	XR_IO_URING, /* fail where it is not allowed */
	XR_IO_PLAIN, /* read(2), pread(2), poll(2) */
};

/* A snapshot for the progress callback. Byte counts are of the libxc stream. */
struct xr_progress {
	uint64_t bytes_done;
	uint64_t bytes_total; /* 0: not known (pipe, socket) */
	uint64_t pages_done;  /* contents written into the guest so far */
	uint64_t pages_total; /* 0: not known */
	unsigned pass;	     /* from 1; inferred from descending pfns. 0: the file is being indexed,
			      * and bytes_done tells how far that has come */
	double seconds;	     /* since xr_run() began */
	enum xr_stage limit; /* what the others waited for since the last call; NONE: not known */
	uint32_t source;     /* limit is STREAM: 1 if that itself waited for bytes, else 0 */
	uint64_t reserved[3];
};

/* What a toolstack answers to the callbacks of a checkpointed stream; the numbers are libxl's. */
enum xr_answer {
	XR_ANSWER_ERROR = 0, /* and whatever is none of the others: the restore fails */
	XR_ANSWER_GO_ON = 1,
	XR_ANSWER_FAIL_OVER = 2, /* nothing more will come: the last complete checkpoint counts */
};

/*
 * Callbacks run on the thread that called xr_run() (a worker kind of thread or process never calls
 * out) and may be NULL, but for those that the stream's type needs. `opaque` is
 * xr_settings.opaque.
 */
struct xr_callbacks {
	/* Once, at the (inferred) end of static data, before any memory is allocated. missing:
	 * bit 0 no CPUID policy in the stream, bit 1 no MSR policy. Non-zero fails the restore. */
	int (*static_data_done)(unsigned int missing, void *opaque);
	/* Some ten times a second. */
	void (*progress)(const struct xr_progress *p, void *opaque);

	/*
	 * Remus and COLO: a CHECKPOINT record was read. Until this returns the fd is the
	 * toolstack's: nothing reads from it, it stands right behind the record, and the stream
	 * goes on where the toolstack leaves it. Returns an enum xr_answer.
	 */
	int (*checkpoint)(void *opaque);

	/* COLO, at each checkpoint once the guest is complete, in this order. The fd and
	 * send_back_fd are the toolstack's until suspend returns. */
	void (*restore_results)(uint64_t store_gfn, uint64_t console_gfn, void *opaque);
	int (*postcopy)(void *opaque);	      /* the guest may run; enum xr_answer */
	int (*wait_checkpoint)(void *opaque); /* returns when the next one is due; likewise */
	int (*suspend)(void *opaque);	      /* the guest has stopped; likewise */
	void *reserved[1];
};

/*
 * Filled by xr_settings_default() with the values given first in each comment, then changed by the
 * caller. Nothing is kept by reference but logger, model and opaque. Reserved fields stay zero.
 *
 * fd may be of any kind and blocking or not; that is not changed. A regular file is read from its
 * present offset on, by position, its headers twice; it must not change meanwhile. A pipe may be
 * given a larger buffer.
 *
 * policy and max_order decide only in what pages the guest lies, never which frames it has. With
 * EXACT a regular file is planned from an index of all of it, so that 1G pages are exact, too; on a
 * pipe a 1G page is only chosen where the records at hand show it whole, hence 2M by default.
 *
 * ahead_mib bounds memory that is allocated before the stream names it (EXACT, on a pipe); what
 * proves wrong is given back.
 *
 * buffer_mib bounds what a checkpointed stream takes of memory for the records between two
 * checkpoints, contents and all; what is more goes to a file without a name in $TMPDIR, else in
 * /var/tmp. Together they take no more than twice the domain's limit and 64 MiB.
 *
 * sandbox is for programs that do nothing else: before xr_run() reads the first byte it puts a
 * seccomp filter on the calling process, all its threads and, at their start, the worker processes,
 * for good. What is open stays in use; no file, socket, program, process or privilege can be had
 * any more, and such calls fail with EPERM (clone3() with ENOSYS); so a process has one such
 * restore. On a kernel without seccomp filters the restore runs without, logs a warning, and
 * xr_result.sandboxed tells.
 *
 * receipt has the workers take a digest of each page as they find it in the guest after writing it;
 * see xr_next_region(). It takes 4 KiB for each 2M region that holds, or held, a
 * page of the guest; where those are far more than the domain can fill, the restore fails. Of plain
 * streams only.
 */
struct xr_settings {
	int fd;			  /* the stream; -1. Stays the caller's, is never closed */
	enum xr_layer layer;	  /* XR_LAYER_AUTO */
	enum xr_stream_type type; /* XR_STREAM_PLAIN; the stream does not say it itself */
	enum xr_host_kind host;	  /* XR_HOST_XEN */
	uint32_t domid;		  /* 0; the domain to restore into: created, paused, empty */
	uint32_t store_port;	  /* 0; event channel port in the guest for xenstore */
	uint32_t store_domid;	  /* 0 */
	uint32_t console_port;	  /* 0 */
	uint32_t console_domid;	  /* 0 */
	enum xr_policy policy;	  /* XR_POLICY_EXACT */
	unsigned int max_order;	  /* 9; largest extent: 0 (4K), 9 (2M) or 18 (1G) */
	unsigned int ahead_mib;	  /* 64; how far to allocate ahead of a pipe; 0: not at all */
	unsigned int workers;	  /* 0: by cores and the domain's limit, at most 8; 1..64 */
	enum xr_worker_kind worker_kind; /* XR_WORKER_AUTO */
	enum xr_io io;			 /* XR_IO_AUTO */
	bool sandbox;			 /* false; see above */
	bool receipt;			 /* false; see above */
	struct xr_callbacks callbacks;
	void *opaque;			  /* NULL */
	struct xentoollog_logger *logger; /* NULL: no log. Used on the xr_run() thread only */
	struct xr_model *model;		  /* NULL; the model host to restore into, if host is MODEL.
					   * NULL there makes one that lives as long as the handle */
	unsigned int buffer_mib;	  /* 128; see above */
	int send_back_fd;		  /* -1; COLO: where the list of dirty pfns goes */
	uint64_t reserved[7];
};

/* Nanoseconds. copy is the sum over the workers. */
struct xr_stage_times {
	uint64_t busy;
	uint64_t starved; /* nothing to do */
	uint64_t blocked; /* nowhere to put the result */
};

struct xr_result {
	uint64_t store_gfn;   /* XR_NO_PFN if the stream did not say; PV: an mfn */
	uint64_t console_gfn; /* likewise */
	uint32_t stream_version;
	uint32_t xen_major, xen_minor; /* of the saver */
	bool pv;
	uint64_t records;	     /* of the libxc stream */
	uint64_t bytes;		     /* of the libxc stream, headers included */
	uint64_t pages_received;     /* page contents in the stream */
	uint64_t pages_written;	     /* contents written; fewer than received where an index showed
				      * that a later pass replaces them */
	uint64_t pages_populated;    /* frames backed at the end */
	uint64_t verify_differences; /* pages that differed in verify mode */
	unsigned int passes;
	double seconds;
	uint64_t extents_1g, extents_2m, extents_4k; /* allocated and kept whole at the end */
	uint64_t populate_calls, release_calls, map_calls, unmap_calls, other_calls;
	uint64_t pages_released;
	struct xr_stage_times stream, populate, copy;
	unsigned int workers;
	enum xr_worker_kind worker_kind; /* as it was */
	bool uring;			 /* the reader used io_uring */
	bool indexed;			 /* a regular file, planned from its index */
	bool sandboxed;			 /* the process is now confined, see xr_settings */
	bool failed_over;		 /* the guest is that of the last complete checkpoint */
	uint64_t verify_lowest_pfn;	 /* of verify_differences; XR_NO_PFN: none differed */
	uint64_t checkpoints;		 /* that are complete */
	uint64_t contents_digest;	 /* with a receipt: over all regions, in ascending order */
	uint64_t control_digest;	 /* with a receipt: over all records that are not pages */
	/* From the toolstack's word that a checkpoint is good until all of it is in the guest, ns:
	 * the sum and the longest, of all but the first, which is written as it comes. */
	uint64_t apply_ns, apply_ns_longest;
	uint64_t reserved[2];
};

/* A 2M region of the guest, after a restore with a receipt. Bit i is that of pfn first + i. */
struct xr_region {
	uint64_t first;	     /* a multiple of 512 */
	uint64_t written[8]; /* pfns with contents of the stream, which the digest is over */
	uint64_t own[8];     /* pfns whose contents the restore made itself: not in the digest */
	uint64_t digest;
	uint64_t reserved[2];
};

/* "0.1.0" */
XR_API const char *xr_version(void);

/* Fill *s with the defaults given above. */
XR_API void xr_settings_default(struct xr_settings *s);

/*
 * Check the settings, open the host and start the workers; nothing is read from fd and the domain
 * is not changed. Worker processes are forks if the process has no other thread, else of a program
 * that is started: where this library's is installed, or at the path in the environment variable
 * XENRESTORE_WORKER. Neither SIGCHLD nor wait() tell of them. *out is NULL on failure.
 * err may be NULL.
 */
XR_API int xr_open(struct xr_restore **out, const struct xr_settings *s, struct xr_error *err);

/*
 * Restore: returns when the domain is complete and every mapping of it is gone, or at the first
 * failure, with all threads joined, all workers gone and all mappings removed. On a regular file
 * fd's offset is then behind the END record (on failure: behind the last record consumed); from a
 * pipe or socket not one byte behind it has been taken. A failed restore leaves a domain that can
 * only be destroyed. May be called once per handle. res and err may be NULL.
 *
 * A checkpointed stream ends by failover: its end, a failure to read it, a record that breaks the
 * format, END or the toolstack's word leave the guest of the last complete checkpoint, and xr_run()
 * returns 0. It fails where there is no complete checkpoint yet, where the stream is more than this
 * side takes, and where this side fails, by a full disk say, or for lack of memory to read with:
 * the primary one is then still at work. Contents in a regular file are read when their checkpoint
 * is applied: if that fails, so does the restore. With COLO the guest has run in between, and is
 * left as it is.
 */
XR_API int xr_run(struct xr_restore *r, struct xr_result *res, struct xr_error *err);

/*
 * Ask a running (or not yet running) restore to stop. No call to the host that changes the guest is
 * begun any more; xr_run() returns -ECANCELED when the one under way has returned and the workers
 * have let go of their mappings, that is in under 100 ms. Where the very last call is under way, it
 * returns 0: the guest is complete. From any thread, and from signal handlers, as long as the
 * handle is not closed.
 */
XR_API void xr_cancel(struct xr_restore *r);

/*
 * What was written, after an xr_run() with settings.receipt that succeeded: the lowest region, from
 * that of this pfn on, which has any. 0; -ENOENT: there is none; -EINVAL: there is no receipt.
 *
 * Digests are XXH3 (64 bits): of a page with its pfn as the seed, of a region over those of its 512
 * pages. They depend on the stream only, not on how, where or from what it was restored. A page
 * counts in its newest version, a page table of a PV guest as the stream has it, naming pfns. What
 * counts for nothing: frames that got no contents, or were taken away later; pages that the restore
 * makes itself (HVM: it clears those of the rings of xenstore, console and emulator; PV: the start
 * info, the guest's own p2m).
 */
XR_API int xr_next_region(const struct xr_restore *r, uint64_t from, struct xr_region *out);

/* Free everything and set *r to NULL. Not while xr_run() runs. */
XR_API void xr_close(struct xr_restore **r);

/* A stable lower-case name, for logs and JSON. */
XR_API const char *xr_stage_name(enum xr_stage stage);

#ifdef __cplusplus
}
#endif

#endif
