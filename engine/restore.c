/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of one restore: what xr_open() starts, xr_run() runs and xr_close() ends. */
#include "base/clock.h"
#include "base/filter.h"
#include "base/trace.h"
#include "checkpoint.h"
#include "internal.h"
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Contents from a pipe pass through these: few enough to stay in the last-level cache. */
#define BUFFERS 16u
#define BUFFER_BYTES (512u << 10)

/* Of a checkpoint: state of CPUs and devices, lists of pfns. */
#define MOST_BESIDE_PAGES (64ull << 20)

static int open_host(struct xr_restore *r, struct xr_error *err)
{
	struct xr_model_settings ms;
	struct xr_model *m = r->set.model;
	int rc;

	if (r->set.host == XR_HOST_XEN) {
		rc = xr_host_xen_open(&r->host, r->set.domid, r->set.logger);
		if (rc)
			return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
					    "cannot talk to Xen about domain %u: %s (is this a "
					    "control domain, with /dev/xen/privcmd?)",
					    r->set.domid, strerror(-rc));
		return 0;
	}
	if (!m) {
		xr_model_settings_default(&ms);
		ms.follow = true;
		rc = xr_model_create(&r->own_model, &ms);
		if (rc)
			goto fail;
		m = r->own_model;
	}
	rc = xr_host_model_open(&r->host, m);
	if (!rc)
		return 0;
fail:
	return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			    "cannot make the model host: %s", strerror(-rc));
}

/* As many as the domain's limit makes worth their start; whether it exists is for xr_run() to tell.
 */
static unsigned int choose_workers(struct xr_restore *r)
{
	struct xr_dominfo dom;

	r->other_calls++;
	return xr_default_workers(r->host->ops->info(r->host, &dom) ? 0 : dom.max_pages);
}

/* Only a PV guest needs the table that the workers share; whether the stream holds one is not known
 * before they start. */
static bool may_be_pv(struct xr_restore *r)
{
	struct xr_dominfo dom;

	if (r->set.host == XR_HOST_MODEL)
		return true;
	r->other_calls++;
	return r->host->ops->info(r->host, &dom) || !dom.hvm;
}

static int open_backlog(struct xr_restore *r, struct xr_copy_config *cc, struct xr_error *err)
{
	const uint64_t in_memory = (uint64_t)r->set.buffer_mib << 20;
	int rc = xr_backlog_open(&r->backlog, in_memory, err);

	if (rc)
		return rc;
	_Static_assert(XR_SPILL_FILES <= XR_COPY_KEPT, "workers hold all files of a spill");
	cc->nkept = XR_SPILL_FILES;
	memcpy(cc->kept, xr_backlog_spill(r->backlog)->fd, XR_SPILL_FILES * sizeof(cc->kept[0]));
	return 0;
}

static int open_stages(struct xr_restore *r, struct xr_error *err)
{
	struct xr_copy_config cc = {
		.workers = r->set.workers,
		.kind = r->set.worker_kind,
		.ordered = true,
		.fd = r->set.fd,
		.sandbox = r->set.sandbox,
	};
	struct stat st;
	int rc;

	r->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->cancel_fd < 0)
		return xr_fail_host(err, -errno, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "cannot make an eventfd: %s", strerror(errno));
	if (fstat(r->set.fd, &st))
		return xr_fail(err, -errno, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "cannot use fd %d as the stream: %s", r->set.fd, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return xr_fail(err, -EISDIR, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "fd %d is a directory, not a stream", r->set.fd);
	r->file_end = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	if (!S_ISREG(st.st_mode)) {
		r->pool = xr_bufpool_create(BUFFERS, BUFFER_BYTES);
		if (!r->pool)
			return xr_fail_host(err, -errno, XR_STAGE_SETUP, NULL, XR_NO_PFN,
					    "no memory for stream buffers");
	}
	cc.pool = r->pool;
	if (may_be_pv(r))
		r->p2m = xr_p2m_create();
	cc.p2m = r->p2m;
	if (r->set.receipt) {
		r->digests = xr_digests_create();
		if (!r->digests)
			return xr_fail_host(err, -errno, XR_STAGE_SETUP, NULL, XR_NO_PFN,
					    "no memory for the digests of a receipt");
	}
	cc.digests = r->digests;
	if (r->set.type != XR_STREAM_PLAIN) {
		rc = open_backlog(r, &cc, err);
		if (rc)
			return rc;
	}
	rc = xr_copy_open(&r->copy, r->host, &cc, err);
	if (!rc)
		xr_copy_set_cancel(r->copy, &r->cancelled);
	return rc;
}

int xr_open(struct xr_restore **out, const struct xr_settings *s, struct xr_error *err)
{
	struct xr_restore *r;
	int rc;

	*out = NULL;
	xr_error_clear(err);
	rc = xr_settings_check(s, err);
	if (rc)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return xr_fail_host(err, -ENOMEM, XR_STAGE_SETUP, NULL, XR_NO_PFN, "no memory");
	r->set = *s;
	r->cancel_fd = -1;
	rc = open_host(r, err);
	if (!rc && !r->set.workers)
		r->set.workers = choose_workers(r);
	if (!rc)
		rc = open_stages(r, err);
	if (rc)
		xr_close(&r);
	*out = r;
	return rc;
}

void xr_cancel(struct xr_restore *r)
{
	const uint64_t one = 1;
	ssize_t done;

	__atomic_store_n(&r->cancelled, 1, __ATOMIC_SEQ_CST);
	done = write(r->cancel_fd, &one, sizeof(one));
	(void)done; /* a full counter is readable, too */
}

int xr_check_cancel(struct xr_restore *r, struct xr_error *err)
{
	if (!__atomic_load_n(&r->cancelled, __ATOMIC_RELAXED))
		return 0;
	return xr_fail(err, -ECANCELED, XR_STAGE_ENGINE, NULL, XR_NO_PFN, "cancelled");
}

/* A saver sends a page once. */
static uint64_t most_of_a_checkpoint(const struct xr_dominfo *dom)
{
	const uint64_t pages = dom->max_pages < XR_PFN_LIMIT ? dom->max_pages : XR_PFN_LIMIT;

	return (2 * pages << XR_PAGE_SHIFT) + MOST_BESIDE_PAGES;
}

/* Only what can be restored gets further than this; nothing of the domain is touched before. */
static int check_guest(struct xr_restore *r, const struct xr_stream_info *in, struct xr_error *err)
{
	struct xr_dominfo dom;
	int rc;

	if (r->set.host == XR_HOST_MODEL)
		xr_model_follow(r->set.model ? r->set.model : r->own_model, in->pv);
	r->other_calls++;
	rc = r->host->ops->info(r->host, &dom);
	if (rc)
		return xr_fail_host(err, rc, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
				    "cannot get the state of domain %u: %s", r->set.domid,
				    strerror(-rc));
	if (dom.hvm == in->pv)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "the stream holds %s guest, domain %u is %s",
			       in->pv ? "a PV" : "an HVM or PVH", dom.domid,
			       dom.hvm ? "HVM or PVH" : "PV");
	/* A domain that runs would have its memory replaced under its feet. */
	if (!dom.paused || (r->set.host == XR_HOST_XEN && !dom.domid))
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "domain %u is not one to restore into: it must be newly created and "
			       "paused",
			       dom.domid);
	if (in->pv && dom.max_vcpu_id == XR_NO_VCPU)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "domain %u has no vcpus yet", dom.domid);
	if (in->pv && r->set.type == XR_STREAM_COLO)
		return xr_fail(err, -EOPNOTSUPP, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "COLO is for HVM guests, the stream holds a PV guest");
	r->max_pages = dom.max_pages;
	if (r->backlog)
		xr_backlog_limit(r->backlog, most_of_a_checkpoint(&dom));
	r->guest.ops = in->pv ? &xr_guest_pv : &xr_guest_hvm;
	return in->pv ? xr_pv_open(r, &dom, err) : 0;
}

int xr_open_mapper(struct xr_restore *r, const struct xr_where *where, struct xr_error *err)
{
	int rc;

	if (r->mapper)
		return 0;
	rc = r->host->ops->mapper_open(r->host, &r->mapper);
	if (!rc)
		return 0;
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN,
			    "cannot map memory of the guest: %s", strerror(-rc));
}

/* Called when nothing is left to be opened and nothing of the stream is read. */
static int confine(void *ctx, struct xr_error *err)
{
	struct xr_restore *r = ctx;
	int rc;

	if (!r->set.sandbox)
		return 0;
	rc = r->p2m ? xr_open_mapper(r, NULL, err) : 0;
	if (rc)
		return rc;
	rc = xr_filter_confine(XR_FILTER_ENGINE);
	r->sandboxed = !rc;
	if (!rc)
		return 0;
	if (rc != -ENOSYS)
		return xr_fail_host(err, rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
				    "cannot put the sandbox's filter of system calls on: %s",
				    strerror(-rc));
	xr_log(r, XTL_WARN,
	       "this kernel has no filters of system calls (CONFIG_SECCOMP_FILTER): "
	       "the restore runs without a sandbox");
	return 0;
}

/* Workers have no log of their own. */
static void tell_of_handles(struct xr_restore *r)
{
	struct xr_copy_stats cs;

	xr_copy_stats(r->copy, &cs);
	if (cs.unrestricted)
		xr_log(r, XTL_DEBUG,
		       "this kernel does not tie handles on foreign memory to one "
		       "domain (%s)",
		       strerror(cs.unrestricted));
}

static void indexed(void *ctx, uint64_t offset)
{
	xr_progress_indexing(ctx, offset);
}

static int open_stream(struct xr_restore *r, struct xr_error *err)
{
	struct xr_stream_config sc = {
		.fd = r->set.fd,
		.layer = r->set.layer,
		.io = r->set.io,
		.checkpointed = r->set.type != XR_STREAM_PLAIN,
		.max_pfn = XR_PFN_LIMIT - 1,
		.pool = r->pool,
		.opened = confine,
		.indexed = indexed,
		.ctx = r,
	};
	const struct xr_stream_info *in;
	int rc;

	tell_of_handles(r);
	rc = xr_stream_open(&r->stream, &sc, r->cancel_fd, err);
	if (rc)
		return rc;
	in = xr_stream_info(r->stream);
	xr_log(r, XTL_DETAIL, "stream version %u from Xen %u.%u, %s, read with %s", in->version,
	       in->xen_major, in->xen_minor, in->seekable ? "regular file" : "pipe or socket",
	       in->uring ? "io_uring" : "plain reads");
	rc = check_guest(r, in, err);
	/* An index tells of all frames of the stream, those of an incomplete checkpoint, too. */
	if (rc || !in->seekable || r->backlog || r->set.policy == XR_POLICY_SPECULATIVE)
		return rc;
	rc = xr_stream_index(r->stream, &r->index, err);
	if (!rc)
		xr_log(r, XTL_DETAIL, "%s",
		       r->index ? "planned from the index of the whole stream"
				: "the stream has a shape that an index does not serve");
	return rc;
}

static int retire(void *ctx, const struct xr_where *where, const uint64_t *pfns, size_t n,
		  bool clear, struct xr_error *err)
{
	struct xr_restore *r = ctx;
	const int rc = xr_copy_retire(r->copy, where, pfns, n, clear, err);

	return rc ? rc : xr_receipt_forget(r, where, pfns, n, err);
}

static int heed(void *ctx, struct xr_error *err)
{
	return xr_pulse(ctx, err);
}

static int open_physmap(struct xr_restore *r, struct xr_error *err)
{
	const struct xr_physmap_config pc = {
		.policy = r->set.policy,
		.max_order = r->set.max_order,
		.ahead_pages = (uint64_t)r->set.ahead_mib << (20 - XR_PAGE_SHIFT),
		.retire = retire,
		.has_ram = xr_colo_has_ram,
		.heed = heed,
		.p2m = r->guest.pv ? r->p2m : NULL,
		.ctx = r,
	};
	int rc = xr_physmap_open(&r->pm, r->host, &pc, err);

	if (!rc && r->index)
		xr_physmap_foresee(r->pm, r->index->want);
	return rc;
}

/* A worker's end or a cancellation shows as a stream error, too: name the cause, not the effect. */
static int name_cause(struct xr_restore *r, int rc, struct xr_error *err)
{
	struct xr_error cause;

	xr_error_clear(&cause);
	if (xr_check_cancel(r, &cause) || xr_copy_check(r->copy, &cause)) {
		*err = cause;
		return cause.code;
	}
	return rc;
}

/*
 * An error about a frame names a record, also where populate was ahead of the records: the one that
 * gives the frame, or, if it was a guess, the last one that was carried out.
 */
static void place(struct xr_restore *r, struct xr_error *err)
{
	struct xr_where at = { err->offset, err->record, err->type };

	if (err->pfn == XR_NO_PFN || !r->stream)
		return;
	if (at.offset == XR_NO_OFFSET)
		at = r->at;
	if (r->index && err->stage == XR_STAGE_POPULATE)
		xr_stream_locate(r->stream, r->index, err->pfn, &at);
	err->offset = at.offset;
	err->record = at.record;
	err->type = at.type;
}

int xr_finish_memory(struct xr_restore *r, struct xr_error *err)
{
	/* A guest that has run may have given memory away. */
	int rc = r->check.completed ? xr_physmap_settle(r->pm, err) : xr_physmap_finish(r->pm, err);

	if (!rc && r->guest.ops->settle)
		rc = r->guest.ops->settle(r, err);
	if (!rc)
		rc = xr_copy_drain(r->copy, err);
	return rc ? rc : xr_check_cancel(r, err);
}

static int run(struct xr_restore *r, struct xr_error *err)
{
	int rc;

	rc = open_stream(r, err);
	if (rc)
		return rc;
	r->opened = xr_now();
	rc = open_physmap(r, err);
	if (rc)
		return rc;
	xr_copy_set_ordered(r->copy, !r->index);
	rc = xr_stream_start(r->stream, r->index, err);
	if (rc)
		return rc;
	rc = xr_pump(r, err);
	if (rc)
		return rc;
	rc = xr_finish_memory(r, err);
	if (rc || r->check.completed)
		return rc;
	return r->guest.ops->complete(r, err);
}

static void fill_result(struct xr_restore *r, struct xr_result *res)
{
	const struct xr_stream_info *in = r->stream ? xr_stream_info(r->stream) : NULL;
	struct xr_physmap_stats ps = { 0 };
	struct xr_copy_stats cs;
	const uint64_t now = xr_now(), total = now - r->begun;
	const uint64_t opening = (r->opened ? r->opened : now) - r->begun;
	const uint64_t waited = opening + r->starved;

	memset(res, 0, sizeof(*res));
	res->store_gfn = r->guest.store_gfn;
	res->console_gfn = r->guest.console_gfn;
	if (in) {
		res->stream_version = in->version;
		res->xen_major = in->xen_major;
		res->xen_minor = in->xen_minor;
		res->pv = in->pv;
		res->uring = in->uring;
		xr_stream_times(r->stream, &res->stream);
		*(r->index ? &res->stream.busy : &res->stream.starved) += opening;
	}
	res->records = r->records;
	res->bytes = r->bytes;
	res->pages_received = r->index ? r->index->pages : r->pages_received;
	res->passes = r->index ? r->index->npasses : r->pass;
	res->seconds = (double)total / 1e9;
	res->indexed = r->index != NULL;
	res->sandboxed = r->sandboxed;
	res->checkpoints = r->check.complete;
	res->apply_ns = r->check.apply_ns;
	res->apply_ns_longest = r->check.apply_ns_longest;
	res->failed_over = r->check.failed_over;
	res->control_digest = r->control_digest;
	res->contents_digest = r->complete ? xr_receipt_contents(r) : 0;
	if (r->pm)
		xr_physmap_stats(r->pm, &ps);
	res->pages_populated = ps.populated;
	res->extents_1g = ps.whole_1g;
	res->extents_2m = ps.whole_2m;
	res->extents_4k = ps.pages_4k;
	res->pages_released = ps.released;
	res->populate_calls = ps.populate_calls;
	res->release_calls = ps.release_calls;
	res->other_calls = r->other_calls + ps.info_calls;
	xr_copy_stats(r->copy, &cs);
	res->pages_written = cs.pages_written;
	res->verify_differences = cs.pages_differing;
	res->verify_lowest_pfn = cs.lowest_differing;
	res->map_calls = cs.map_calls;
	res->unmap_calls = cs.unmap_calls;
	res->copy = cs.times;
	res->worker_kind = cs.kind;
	res->workers = r->set.workers;
	res->populate.starved = waited;
	res->populate.blocked = cs.dispatch_blocked;
	if (total > waited + cs.dispatch_blocked)
		res->populate.busy = total - waited - cs.dispatch_blocked;
}

/* The fd. Whoever reads on would read from somewhere else if its offset were not right. */
static int give_back(struct xr_restore *r, int rc, struct xr_error *err)
{
	const int moved = xr_stream_close(&r->stream);

	if (rc || !moved)
		return rc;
	r->complete = false;
	return xr_fail_host(err, moved, XR_STAGE_STREAM, NULL, XR_NO_PFN,
			    "cannot put the offset of the stream's file behind its end: %s",
			    strerror(-moved));
}

int xr_run(struct xr_restore *r, struct xr_result *res, struct xr_error *err)
{
	struct xr_error local;
	int rc;

	if (!err)
		err = &local;
	xr_error_clear(err);
	if (r->ran)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "xr_run() was called before on this handle");
	r->ran = true;
	r->begun = xr_now();
	xr_trace_zero(r->begun);
	xr_progress_start(r);
	r->at = XR_NOWHERE;
	r->guest.store_gfn = XR_NO_PFN;
	r->guest.console_gfn = XR_NO_PFN;
	rc = run(r, err);
	if (rc)
		rc = name_cause(r, rc, err);
	r->complete = !rc;
	if (res)
		fill_result(r, res);
	if (rc)
		place(r, err);
	rc = give_back(r, rc, err);
	xr_copy_close(&r->copy);
	if (res) /* workers unmap as they end: that is part of it */
		res->seconds = (double)(xr_now() - r->begun) / 1e9;
	if (rc)
		xr_log(r, XTL_ERROR, "%s", err->text);
	return rc;
}

void xr_close(struct xr_restore **rp)
{
	struct xr_restore *r = *rp;

	if (!r)
		return;
	xr_stream_close(&r->stream);
	xr_copy_close(&r->copy);
	xr_physmap_close(&r->pm);
	xr_index_free(r->index);
	xr_guest_free(r);
	xr_backlog_close(&r->backlog);
	if (r->mapper)
		r->host->ops->mapper_close(r->mapper);
	if (r->host)
		r->host->ops->close(r->host);
	xr_model_destroy(&r->own_model);
	xr_bufpool_destroy(r->pool);
	xr_p2m_destroy(r->p2m);
	xr_digests_destroy(r->digests);
	if (r->cancel_fd >= 0)
		close(r->cancel_fd);
	free(r);
	*rp = NULL;
}
