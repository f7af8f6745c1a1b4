/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page entries: counts by type and pass, and which frames are RAM at the end. */
#include "inspect/inspect.h"

#include <errno.h>

static void begin_pass(struct inspect *in, const struct xr_where *at, uint64_t pfn)
{
	const unsigned int i = in->npasses < INSPECT_PASSES ? in->npasses : INSPECT_PASSES - 1;

	if (in->npasses++ < INSPECT_PASSES)
		in->passes[i] = (struct inspect_pass){
			.offset = at->offset,
			.record = at->record,
			.first = pfn,
			.last = pfn,
		};
}

static struct inspect_pass *this_pass(struct inspect *in)
{
	return &in->passes[(in->npasses < INSPECT_PASSES ? in->npasses : INSPECT_PASSES) - 1];
}

/* These pfns are no RAM any more; those that were are told as lost. */
static int take_away(struct inspect *in, struct inspect_pass *pass, uint64_t first, uint64_t n)
{
	const uint64_t end = first + n;
	int rc = 0;

	while (!rc && (first = xr_pfnset_next(in->ram, first, false)) < end) {
		uint64_t to = xr_pfnset_next(in->ram, first, true);

		to = to < end ? to : end;
		pass->taken += to - first;
		rc = xr_pfnset_add(in->lost, first, to - first);
		if (!rc)
			rc = xr_pfnset_del(in->ram, first, to - first);
		first = to;
	}
	return rc;
}

static int give(struct inspect *in, uint64_t first, uint64_t n)
{
	int rc = xr_pfnset_add(in->ram, first, n);

	if (!rc && xr_pfnset_count(in->lost))
		rc = xr_pfnset_del(in->lost, first, n);
	return rc;
}

/* Sets that a restore would not keep are not kept here either. */
static void check_books(struct inspect *in, const struct xr_where *at)
{
	const uint64_t tib = 1ull << 28, ram = xr_pfnset_count(in->ram);
	const size_t most = INSPECT_BOOKS_BYTES + (ram > tib ? (size_t)(ram - tib) / 5 : 0);

	if (xr_pfnset_bytes(in->ram) + xr_pfnset_bytes(in->lost) <= most)
		return;
	in->strewn = true;
	inspect_blame(in, INSPECT_BAD, at,
		      "the stream strews frames over so many places that the books about them take "
		      "more than %zu MiB; from here on they are not followed",
		      most >> 20);
}

static int account(struct inspect *in, unsigned int type, uint64_t pfn, uint64_t n)
{
	struct inspect_pass *pass = this_pass(in);
	const bool data = xr_page_in(XR_PAGES_DATA, type);
	int rc = 0;

	in->entries[type] += n;
	pass->entries += n;
	pass->last = pfn + n - 1;
	in->last_pfn = pfn + n - 1;
	if (in->highest == XR_NO_PFN || in->last_pfn > in->highest)
		in->highest = in->last_pfn;
	if (data) {
		in->pages += n;
		pass->contents += n;
	}
	if (in->strewn)
		return 0;
	if (xr_page_in(XR_PAGES_RAM, type))
		rc = give(in, pfn, n);
	else
		rc = take_away(in, pass, pfn, n);
	if (!rc && in->map && xr_page_in(XR_PAGES_RAM, type))
		rc = heat_add(&in->heat, data ? in->npasses : 1, pfn, n);
	return rc;
}

int inspect_frames(struct inspect *in, const struct xr_where *at, const uint64_t *entries, size_t n)
{
	int rc = 0;

	for (size_t i = 0, run; !rc && i < n; i += run) {
		const uint64_t pfn = XR_ENTRY_PFN(entries[i]);

		run = xr_index_run(entries + i, n - i);
		if (in->last_pfn == XR_NO_PFN || pfn <= in->last_pfn)
			begin_pass(in, at, pfn);
		rc = account(in, XR_ENTRY_TYPE(entries[i]), pfn, run);
	}
	if (!rc && !in->strewn)
		check_books(in, at);
	return rc;
}

void inspect_holes(const struct inspect *in, uint64_t *frames, uint64_t *stretches)
{
	uint64_t at = 0, next;

	*frames = *stretches = 0;
	while ((next = xr_pfnset_next(in->ram, at, false)) < XR_PFN_LIMIT) {
		*frames += next - at;
		*stretches += next > at;
		at = xr_pfnset_next(in->ram, next, true);
	}
}
