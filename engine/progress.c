/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the progress callback is told, and when. */
#include "base/clock.h"
#include "internal.h"

#define EVERY_NS 100000000u

void xr_progress_start(struct xr_restore *r)
{
	r->told.at = xr_now();
}

enum xr_stage xr_limit(uint64_t elapsed, uint64_t starved, uint64_t blocked)
{
	const uint64_t waited = starved + blocked;
	const uint64_t worked = elapsed > waited ? elapsed - waited : 0;

	if (starved > blocked && starved > worked)
		return XR_STAGE_STREAM;
	return blocked > worked ? XR_STAGE_COPY : XR_STAGE_POPULATE;
}

static void judge(struct xr_restore *r, struct xr_progress *pr, uint64_t now, uint64_t blocked)
{
	const uint64_t elapsed = now - r->told.at;
	struct xr_stage_times stream;

	xr_stream_times(r->stream, &stream);
	pr->limit = xr_limit(elapsed, r->starved - r->told.starved, blocked - r->told.blocked);
	/* A wait is booked when it ends: one that still lasts shows by bytes that do not come. */
	pr->source = pr->limit == XR_STAGE_STREAM &&
		     (r->bytes == r->told.bytes ||
		      stream.starved - r->told.stream_starved > elapsed / 2);
	r->told.bytes = r->bytes;
	r->told.at = now;
	r->told.starved = r->starved;
	r->told.blocked = blocked;
	r->told.stream_starved = stream.starved;
}

static bool due(const struct xr_restore *r, uint64_t now)
{
	return r->set.callbacks.progress && now >= r->told.at + EVERY_NS;
}

void xr_progress_indexing(struct xr_restore *r, uint64_t offset)
{
	const struct xr_stream_info *in = xr_stream_info(r->stream);
	const uint64_t begin = in->start_offset + in->libxc_offset, now = xr_now();
	const struct xr_progress pr = {
		.bytes_done = offset - begin,
		.bytes_total = r->file_end > begin ? r->file_end - begin : 0,
		.seconds = (double)(now - r->begun) / 1e9,
	};

	if (!due(r, now))
		return;
	r->told.at = now;
	r->set.callbacks.progress(&pr, r->set.opaque);
}

void xr_progress_tell(struct xr_restore *r)
{
	const struct xr_stream_info *in = xr_stream_info(r->stream);
	struct xr_progress pr = { 0 };
	struct xr_copy_stats cs;
	const uint64_t now = xr_now();

	if (!due(r, now))
		return;
	xr_copy_stats(r->copy, &cs);
	judge(r, &pr, now, cs.dispatch_blocked);
	pr.bytes_done = r->bytes;
	pr.pages_done = cs.pages_written;
	pr.pass = r->pass ? r->pass : 1; /* 0 is while a file is indexed */
	pr.seconds = (double)(now - r->begun) / 1e9;
	if (r->index) {
		pr.bytes_total = r->index->end_offset - in->start_offset - in->libxc_offset;
		pr.pages_total = r->index->live_pages;
	}
	r->set.callbacks.progress(&pr, r->set.opaque);
}
