/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "props/check.h"

#include "lib/receipt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool why_not(const struct why *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->text, w->room, fmt, args);
	va_end(args);
	return false;
}

/* Nothing is asked of a frame that the stream gave no contents. */
static bool check_page(const struct why *w, struct xr_model *m, const struct refmodel *ref,
		       uint64_t pfn)
{
	const unsigned char *want = refmodel_page(ref, pfn);
	unsigned char page[XR_PAGE_SIZE];
	uint64_t got[2], wanted[2];
	int rc = xr_model_peek(m, pfn, page);

	if (rc)
		return why_not(w, "pfn %#lx can't be read: %d", pfn, rc);
	if (!want || !memcmp(page, want, sizeof(page)))
		return true;
	memcpy(got, page, sizeof(got));
	memcpy(wanted, want, sizeof(wanted));
	return why_not(w,
		       "pfn %#lx has wrong contents: begins with %#lx %#lx, not %#lx %#lx "
		       "(pfn and serial)",
		       pfn, got[0], got[1], wanted[0], wanted[1]);
}

bool check_guest(const struct why *w, struct xr_model *m, const struct refmodel *ref)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < ref->backed; i++) {
		uint64_t pfn = ref->pfns[i], have = xr_model_next(m, at);

		if (have < pfn)
			return why_not(w, "pfn %#lx is backed and must not be", have);
		if (have > pfn)
			return why_not(w, "pfn %#lx is not backed", pfn);
		if (xr_model_order(m, pfn) < 0)
			return why_not(w, "pfn %#lx has no order", pfn);
		if (!check_page(w, m, ref, pfn))
			return false;
		at = pfn + 1;
	}
	at = xr_model_next(m, at);
	return at == ~0ull || why_not(w, "pfn %#lx is backed and must not be", at);
}

bool check_receipt(const struct why *w, const struct xr_restore *r, const struct xr_result *res,
		   const struct refmodel *ref)
{
	struct receipt_check c = { .r = r, .why = w->text, .room = w->room };

	for (uint64_t i = 0; i < ref->backed; i++) {
		const uint64_t pfn = ref->pfns[i];
		const unsigned char *page = refmodel_page(ref, pfn);

		if (page && !receipt_check_page(&c, pfn, page, refmodel_cleared(ref, pfn)))
			return false;
	}
	return receipt_check_end(&c, res);
}

bool check_habits(const struct why *w, struct xr_model *m)
{
	struct xr_model_stats st;

	xr_model_stats(m, &st);
	if (st.leaked)
		return why_not(w, "%lu frames leaked: backed frames were populated", st.leaked);
	if (st.released_empty)
		return why_not(w, "%lu empty frames were released", st.released_empty);
	if (st.released_xens)
		return why_not(w, "%lu pages of Xen's were released", st.released_xens);
	if (st.released_mapped)
		return why_not(w, "%lu frames were released while mapped", st.released_mapped);
	if (st.released_dirty)
		return why_not(w, "%lu frames were released with guest data", st.released_dirty);
	if (st.live_mappings + st.left_mapped)
		return why_not(w, "%lu pages are still mapped", st.live_mappings + st.left_mapped);
	if (st.peak_pages > st.max_pages)
		return why_not(w, "%lu pages at a time, %lu allowed", st.peak_pages, st.max_pages);
	return true;
}

bool check_domain(const struct why *w, struct xr_model *m, const struct refmodel *ref,
		  uint64_t start)
{
	struct xr_model_stats st;

	xr_model_stats(m, &st);
	if (st.tot_pages != start + ref->backed)
		return why_not(w, "the domain owns %lu pages, not %lu", st.tot_pages,
			       start + ref->backed);
	for (uint32_t i = 0; i < 64; i++) {
		if (i == 4 || ref->params[i] == ~0ull) /* PAE_ENABLED is not to be set */
			continue;
		if (xr_model_param(m, i) != ref->params[i])
			return why_not(w, "HVM parameter %u is %#lx, not %#lx", i,
				       xr_model_param(m, i), ref->params[i]);
	}
	if (xr_model_param(m, 4) != ~0ull)
		return why_not(w, "HVM parameter 4 was set");
	return true;
}

bool check_result(const struct why *w, const struct xr_result *res, const struct random_stream *s)
{
	const struct {
		const char *name;
		uint64_t have, want;
	} fields[] = {
		{ "store_gfn", res->store_gfn, s->ref.params[1] },
		{ "console_gfn", res->console_gfn, s->ref.params[17] },
		{ "stream_version", res->stream_version, s->version },
		{ "xen_major", res->xen_major, 4 },
		{ "records", res->records, s->b.records },
		{ "bytes", res->bytes, s->b.end_offset - s->b.libxc_offset },
		{ "pages_populated", res->pages_populated, s->ref.backed },
		{ "verify_differences", res->verify_differences, s->ref.differences },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].have != fields[i].want)
			return why_not(w, "result: %s is %#lx, not %#lx", fields[i].name,
				       fields[i].have, fields[i].want);
	}
	/* What is named again in the same record may have been passed over. */
	if (res->pages_received > s->ref.pages ||
	    res->pages_received < s->ref.pages - s->ref.replaced)
		return why_not(w, "result: pages_received is %lu, not %lu", res->pages_received,
			       s->ref.pages);
	return res->pages_written <= res->pages_received ||
	       why_not(w, "result: more pages written than received");
}

bool check_error(const struct why *w, int rc, const struct xr_error *err)
{
	if (rc >= 0)
		return why_not(w, "succeeded with %d instead of failing", rc);
	if (err->code != rc)
		return why_not(w, "returned %d, but the error has %d: %s", rc, err->code,
			       err->text);
	if (err->stage == XR_STAGE_NONE)
		return why_not(w, "the error names no stage: %s", err->text);
	if (!memchr(err->text, 0, sizeof(err->text)) || strlen(err->text) < 8 ||
	    strchr(err->text, '\n'))
		return why_not(w, "the error says nothing, or too much");
	return true;
}

/* Does it: as an entry of PAGE_DATA, or as the value of a parameter? */
static bool names(const unsigned char *body, uint32_t length, uint32_t type, uint64_t pfn)
{
	const size_t step = type == XR_EMIT_PAGE_DATA ? 8 : 16;
	uint32_t n;

	memcpy(&n, body, sizeof(n));
	for (size_t at = 8; n && at + step <= length; at += step, n--) {
		uint64_t value;

		memcpy(&value, body + at + step - 8, sizeof(value));
		if (type == XR_EMIT_PAGE_DATA)
			value &= 0x000fffffffffffffull;
		if (value == pfn)
			return true;
	}
	return false;
}

/* Where the nth record (from 0) is, its header. What is the toolstack's lies between some. */
static size_t find_record(const struct builder *b, const struct checkpoints *cp, uint64_t nth,
			  uint32_t head[2])
{
	const unsigned char *bytes = builder_data(b);
	size_t at = b->libxc_offset + 40;

	memcpy(head, bytes + at, 8);
	for (uint64_t i = 0; i < nth; i++) {
		at += 8 + ((head[1] + 7ull) & ~7ull);
		for (unsigned int c = 0; cp && c < cp->n; c++)
			if (at == cp->end[c]) {
				at = cp->resume[c];
				break;
			}
		memcpy(head, bytes + at, 8);
	}
	return at;
}

bool check_place(const struct why *w, const struct xr_error *err, const struct builder *b,
		 const struct checkpoints *cp, uint64_t start, bool by_name)
{
	uint32_t head[2];
	size_t at;

	if (err->pfn == XR_NO_PFN)
		return true;
	if (err->record == XR_NO_RECORD || err->record >= b->records)
		return why_not(w, "names pfn %#lx but no record of the stream: %s", err->pfn,
			       err->text);
	at = find_record(b, cp, err->record, head);
	if (err->offset != start + at || err->type != head[0])
		return why_not(w, "names record %lu at %#lx, type %u; that is at %#lx, type %u: %s",
			       err->record, err->offset, err->type, start + at, head[0], err->text);
	return !by_name || names(builder_data(b) + at + 8, head[1], head[0], err->pfn) ||
	       why_not(w, "names record %lu, which does not name pfn %#lx: %s", err->record,
		       err->pfn, err->text);
}

static bool has_no_superpage(uint64_t region)
{
	return region == 0xa0 >> 9 || region == 0xfee00 >> 9 || region == 0xfc000 >> 9;
}

bool check_superpages(const struct why *w, struct xr_model *m, const struct refmodel *ref)
{
	for (uint64_t i = 0; i + 512 <= ref->backed; i++) {
		uint64_t pfn = ref->pfns[i];

		if (pfn % 512 || ref->pfns[i + 511] != pfn + 511)
			continue;
		if (has_no_superpage(pfn >> 9) != (xr_model_order(m, pfn) == 0))
			return why_not(w, "the whole 2M region at pfn %#lx has order %d", pfn,
				       xr_model_order(m, pfn));
	}
	return true;
}
