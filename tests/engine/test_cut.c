/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream that ends too early, wherever: the error names the record that is cut, within what is
 * there. */
#include "lib/sanitizer.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define CONTENTS 24u /* pages in a record with contents: more than one read of the reader */

struct cut {
	const unsigned char *bytes;
	size_t whole, libxc; /* size; where the image header is */
	size_t begin, end;   /* of the record that is cut; 0: before the records */
	uint64_t record;
	uint32_t type;
};

static void make_stream(struct rig *g, enum xr_emit_layer layer)
{
	uint64_t e[CONTENTS];

	rig_init(g, 4096, 3);
	builder_free(&g->b);
	builder_begin(&g->b, layer, 3, false);
	builder_static(&g->b, true, true);
	for (unsigned int pass = 0; pass < 2; pass++) {
		for (uint64_t i = 0; i < CONTENTS; i++)
			e[i] = XR_EMIT_ENTRY(i % 5 ? XR_EMIT_NOTAB : XR_EMIT_XTAB, i + pass);
		builder_page_data(&g->b, e, CONTENTS, NULL);
	}
	rig_tail(g);
}

static uint32_t word(const unsigned char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Go to the record that holds byte n, or begins there. */
static void seek_record(struct cut *c, size_t n)
{
	if (n < c->libxc + 40)
		return;
	if (!c->end)
		c->begin = c->libxc + 40; /* image and domain header */
	while (!c->end || n >= c->end) {
		if (c->end) {
			c->begin = c->end;
			c->record++;
		}
		c->type = word(c->bytes + c->begin);
		c->end = c->begin + 8 + ((word(c->bytes + c->begin + 4) + 7) & ~7u);
	}
}

/* Every byte of record headers and of small records; some of the others. */
static bool interesting(const struct cut *c, size_t n)
{
	const size_t tail = c->end - n, head = n - c->begin;

	if (!c->end)
		return n % 7 == 0;
	if (SANITIZED && n % 4)
		return false;
	if (c->type != XR_EMIT_PAGE_DATA)
		return head < 16 || tail < 4 || n % 3 == 0;
	return head < 30 || tail < 10 || (head < 400 && n % 5 == 0) || head % 4093 == 0;
}

static void check(const struct cut *c, struct rig *g, enum feed_kind kind, size_t n)
{
	const uint64_t start = kind == FEED_FILE ? (uint64_t)g->feed.start : 0;
	const struct xr_error *e = &g->err;

	cr_expect(e->code == -ENODATA, "cut at %zu: %d %s", n, e->code, e->text);
	cr_expect_not(e->host_failed, "cut at %zu", n);
	cr_expect_eq(e->stage, XR_STAGE_STREAM, "cut at %zu: %s", n, xr_stage_name(e->stage));
	cr_expect(e->offset != XR_NO_OFFSET && e->offset - start <= n, "cut at %zu: offset %lu", n,
		  e->offset - start);
	if (!c->end)
		return;
	cr_expect_eq(e->offset - start, c->begin, "cut at %zu: offset %lu, not %zu: %s", n,
		     e->offset - start, c->begin, e->text);
	cr_expect_eq(e->record, c->record, "cut at %zu: record %lu, not %lu", n, e->record,
		     c->record);
	cr_expect(n < c->begin + 8 || e->type == c->type, "cut at %zu: type %#x", n, e->type);
}

static void one_cut(const struct rig *whole, const struct cut *c, size_t n, enum feed_kind kind)
{
	struct rig part;

	rig_init(&part, 4096, 3);
	builder_free(&part.b);
	part.b = whole->b;
	part.b.sink.len = n;
	part.set.workers = 1;
	part.set.worker_kind = XR_WORKER_THREAD;
	part.set.policy = whole->set.policy;
	rig_run(&part, kind);
	check(c, &part, kind, n);
	rig_expect_clean(&part);
	xr_model_destroy(&part.model);
}

static void cut_everywhere(enum feed_kind kind, enum xr_emit_layer layer, enum xr_policy policy)
{
	struct rig g;
	struct cut c = { 0 };

	make_stream(&g, layer);
	c.bytes = builder_data(&g.b);
	c.whole = builder_size(&g.b);
	c.libxc = g.b.libxc_offset;
	g.set.policy = policy;
	for (size_t n = 0; n < c.whole; n++) {
		seek_record(&c, n);
		if (interesting(&c, n))
			one_cut(&g, &c, n, kind);
	}
	rig_free(&g);
}

Test(cut, file_with_an_index_anywhere, .timeout = 300)
{
	cut_everywhere(FEED_FILE, XR_EMIT_XL, XR_POLICY_EXACT);
}

Test(cut, file_without_an_index_anywhere, .timeout = 300)
{
	cut_everywhere(FEED_FILE, XR_EMIT_BARE, XR_POLICY_SPECULATIVE);
}

Test(cut, pipe_anywhere, .timeout = 300)
{
	cut_everywhere(FEED_PIPE, XR_EMIT_XL, XR_POLICY_EXACT);
}
