/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>

int xr_fail_over(struct xr_restore *r, const char *why)
{
	r->check.failed_over = true;
	xr_log(r, XTL_WARN, "failover to checkpoint %" PRIu64 ": %s", r->check.complete, why);
	return 1;
}

int xr_checkpoint_answer(struct xr_restore *r, const char *question, int answer,
			 const struct xr_where *where, struct xr_error *err)
{
	if (answer == XR_ANSWER_GO_ON)
		return 0;
	if (answer != XR_ANSWER_FAIL_OVER)
		return xr_fail_host(err, -EIO, XR_STAGE_ENGINE, where, XR_NO_PFN,
				    "the toolstack fails the checkpoint (callback %s returned %d)",
				    question, answer);
	if (!r->check.buffering)
		return xr_fail_host(err, -EIO, XR_STAGE_ENGINE, where, XR_NO_PFN,
				    "the toolstack wants a failover before the first checkpoint "
				    "is complete (callback %s)",
				    question);
	return xr_fail_over(r, "the toolstack says so");
}

int xr_checkpoint_ask(struct xr_restore *r, const struct xr_where *where, struct xr_error *err)
{
	const int answer = r->set.callbacks.checkpoint(r->set.opaque);

	r->check.good_at = xr_now();
	return xr_checkpoint_answer(r, "checkpoint", answer, where, err);
}

static void count_applied(struct xr_checkpoints *c)
{
	const uint64_t ns = xr_now() - c->good_at;

	c->apply_ns += ns;
	if (ns > c->apply_ns_longest)
		c->apply_ns_longest = ns;
}

/* The first image was handed on as it came, all others from the backlog. */
int xr_checkpoint_taken(struct xr_restore *r, const struct xr_where *where, struct xr_error *err)
{
	struct xr_checkpoints *c = &r->check;
	int rc = xr_copy_sync(r->copy, err);

	if (!rc)
		rc = xr_physmap_settle(r->pm, err);
	if (rc)
		return rc;
	if (c->buffering)
		count_applied(c);
	xr_backlog_clear(r->backlog);
	c->buffering = true;
	/* A guest that runs here changes its frames by itself: none may be put into its way before
	 * the checkpoint is good. */
	c->preparing = r->set.type == XR_STREAM_REMUS;
	c->complete++;
	return r->set.type == XR_STREAM_COLO ? xr_colo_run(r, where, err) : 0;
}

/* The window that the record will be, where it is one (see pump.c). Frames that are not the guest's
 * yet may have to be given back at any time: no mapping may hold them. */
static int map_ahead(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	const unsigned int whole = XR_ITEM_FIRST | XR_ITEM_LAST;
	uint64_t pfns[XR_CHUNK];
	size_t n = 0;

	if ((it->flags & whole) != whole)
		return 0;
	for (unsigned int i = 0; i < it->n; i++) {
		if (!xr_page_in(XR_PAGES_DATA, XR_ENTRY_TYPE(it->entries[i])))
			continue;
		pfns[n] = XR_ENTRY_PFN(it->entries[i]);
		if (!xr_physmap_has(r->pm, pfns[n++]))
			return 0;
	}
	return n ? xr_copy_expect(r->copy, pfns, n, err) : 0;
}

/*
 * Frames are had before the checkpoint is good, so that its contents need only be copied. Where
 * they can't be had now, those that the checkpoint takes away may have to go first.
 */
static int prepare(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	const struct xr_entries e = { .where = it->where, .n = it->n, .entry = it->entries };
	struct xr_error unheeded;

	xr_error_clear(&unheeded);
	if (r->check.preparing && xr_physmap_prepare(r->pm, &e, &unheeded))
		r->check.preparing = false;
	if (xr_physmap_torn(r->pm)) {
		if (err && !err->code)
			*err = unheeded;
		return -ENOMEM;
	}
	return r->check.preparing ? map_ahead(r, it, err) : 0;
}

/*
 * A stream that fails says that the saving side is gone, or out of its mind. A host that fails here
 * does not, nor does what is only more than this side takes: there the guest may still run, and
 * must not run twice.
 */
static bool is_the_streams(const struct xr_error *e)
{
	return e->stage == XR_STAGE_STREAM && !e->host_failed && e->code != -ECANCELED &&
	       e->code != -EOPNOTSUPP && e->code != -E2BIG;
}

int xr_checkpoint_keep(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_error own;
	int rc;

	xr_error_clear(&own);
	rc = xr_backlog_add(r->backlog, it, r->pool, &own);
	if (it->kind == XR_ITEM_DATA && it->buffer >= 0)
		xr_bufpool_drop(r->pool, (unsigned int)it->buffer);
	if (rc && is_the_streams(&own))
		return xr_fail_over(r, own.text);
	if (rc && err && !err->code)
		*err = own;
	return rc || it->kind != XR_ITEM_TYPES ? rc : prepare(r, it, err);
}

int xr_checkpoint_end(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	const bool failed = it->kind == XR_ITEM_ERROR;
	int rc = r->check.buffering ? xr_pulse(r, err) : 0;

	if (rc)
		return rc;
	if (r->check.buffering && (!failed || is_the_streams(&it->error)))
		return xr_fail_over(r, failed ? it->error.text : "the stream is at its end");
	if (!failed)
		return 1;
	if (err && !err->code)
		*err = it->error;
	return it->error.code;
}
