/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receipts as files, and what differs from them. */
#include "receipt/receipt.h"

#include "base/digests.h"
#include "engine/internal.h"
#include "host/model.h"
#include "lib/builder.h"
#include "lib/feed.h"
#include "receipt/tell.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A guest with pages at the start of so many regions, 2M apart, restored with a receipt. */
struct made {
	struct builder b;
	struct feed feed;
	struct xr_settings set;
	struct xr_restore *r;
	struct xr_result res;
};

static void make(struct made *m, const uint64_t *pfns, uint32_t n, uint64_t serial)
{
	static unsigned char contents[8 * 4096];
	struct xr_model_settings ms;
	struct xr_error err;

	memset(m, 0, sizeof(*m));
	for (uint32_t i = 0; i < n; i++)
		builder_fill(pfns[i], serial, contents + i * 4096ul);
	builder_begin(&m->b, XR_EMIT_BARE, 3, false);
	builder_static(&m->b, true, true);
	builder_page_data(&m->b, pfns, n, contents);
	builder_context(&m->b);
	builder_end(&m->b, false, 0);
	xr_model_settings_default(&ms);
	ms.no_huge = true;
	xr_settings_default(&m->set);
	m->set.host = XR_HOST_MODEL;
	m->set.worker_kind = XR_WORKER_THREAD;
	m->set.workers = 2;
	m->set.receipt = true;
	cr_assert_eq(xr_model_create(&m->set.model, &ms), 0);
	cr_assert_eq(feed_open(&m->feed, FEED_FILE, builder_data(&m->b), builder_size(&m->b), 1),
		     0);
	m->set.fd = m->feed.fd;
	cr_assert_eq(xr_open(&m->r, &m->set, &err), 0);
	cr_assert_eq(xr_run(m->r, &m->res, &err), 0, "%s", err.text);
}

static void unmake(struct made *m)
{
	xr_close(&m->r);
	xr_model_destroy(&m->set.model);
	feed_close(&m->feed);
	builder_free(&m->b);
}

/* By way of its file. */
static void receipt_of(struct receipt *r, const struct made *m)
{
	const struct receipt_context c = { &m->set, &m->res, "a \"name\" \n \xff", 1e9 };
	char path[] = "/tmp/xr-receipt-XXXXXX", why[RECEIPT_TEXT];
	FILE *f = fdopen(mkstemp(path), "w");

	cr_assert_not_null(f);
	receipt_write(f, &c, m->r);
	cr_assert_eq(fclose(f), 0);
	cr_assert(receipt_read(r, path, why), "%s", why);
	unlink(path);
}

/* A bit of those of the first region is changed in its file: the written ones, then its own. */
static void change_bit(char *text, unsigned int bit)
{
	char *at = strstr(text, "\n  [\"0\", \"");
	const unsigned int digit = bit / 4;
	unsigned int value;

	cr_assert_not_null(at);
	at += strlen("\n  [\"0\", \"") + 16 + strlen("\", \"") + digit;
	if (digit >= 128)
		at += strlen("\", \"");
	cr_assert_eq(sscanf(at, "%1x", &value), 1);
	*at = "0123456789abcdef"[value ^ 1u << bit % 4];
}

static bool receipt_reread(struct receipt *r, const struct made *m, unsigned int bit, char *why)
{
	const struct receipt_context c = { &m->set, &m->res, "changed", 1e9 };
	char path[] = "/tmp/xr-receipt-XXXXXX", *text = NULL;
	FILE *f, *to = fdopen(mkstemp(path), "w");
	size_t n;
	bool ok;

	f = open_memstream(&text, &n);
	cr_assert(f && to);
	receipt_write(f, &c, m->r);
	fclose(f);
	change_bit(text, bit);
	cr_assert_eq(fwrite(text, 1, n, to), n);
	cr_assert_eq(fclose(to), 0);
	ok = receipt_read(r, path, why);
	free(text);
	unlink(path);
	return ok;
}

static const uint64_t four[] = { 5, 1030, 1540, 5130 };

Test(receipt, a_file_keeps_all_of_it)
{
	struct xr_region region = { 0 };
	struct receipt r;
	struct made m;
	uint64_t from = 0;

	make(&m, four, 4, 1);
	receipt_of(&r, &m);
	cr_expect_eq(r.n, 4);
	for (size_t i = 0; i < r.n; i++) {
		cr_assert_eq(xr_next_region(m.r, from, &region), 0);
		cr_expect_eq(memcmp(&region, &r.region[i], sizeof(region)), 0, "region %zu", i);
		from = region.first + 512;
	}
	cr_expect_eq(r.stream.contents, m.res.contents_digest);
	cr_expect_eq(r.stream.control, m.res.control_digest);
	cr_expect(!r.stream.pv);
	cr_expect_eq(r.stream.store_gfn, XR_NO_PFN);
	receipt_free(&r);
	unmake(&m);
}

static void expect_ranges(const struct receipt_difference *d, const uint64_t (*want)[2], size_t n)
{
	cr_assert_eq(d->n, n, "%zu ranges", d->n);
	for (size_t i = 0; i < n; i++)
		cr_expect(d->range[i].first == want[i][0] && d->range[i].last == want[i][1],
			  "%#lx to %#lx", d->range[i].first, d->range[i].last);
}

Test(receipt, regions_that_are_missing_or_new_differ)
{
	static const uint64_t other[] = { 5, 1540, 5130, 6000 };
	static const uint64_t ranges[][2] = { { 1024, 1535 }, { 5632, 6143 } };
	struct receipt_difference d = { 0 };
	struct receipt r;
	struct made a, b;

	make(&a, four, 4, 1);
	make(&b, other, 4, 1);
	receipt_of(&r, &a);
	receipt_compare_restore(&r, a.r, &a.res, &d);
	cr_expect(receipt_is_met(&d));
	receipt_compare_restore(&r, b.r, &b.res, &d);
	cr_expect_eq(d.regions, 2);
	expect_ranges(&d, ranges, 2);
	cr_expect(!d.control);
	receipt_difference_free(&d);
	receipt_free(&r);
	unmake(&a);
	unmake(&b);
}

Test(receipt, neighbours_are_one_range)
{
	static const uint64_t ranges[][2] = { { 0, 511 }, { 1024, 2047 }, { 5120, 5631 } };
	struct receipt_difference d = { 0 };
	struct receipt r;
	struct made a, b;

	make(&a, four, 4, 1);
	make(&b, four, 4, 2);
	receipt_of(&r, &a);
	receipt_compare_restore(&r, b.r, &b.res, &d);
	cr_expect_eq(d.regions, 4);
	expect_ranges(&d, ranges, 3);
	receipt_difference_free(&d);
	receipt_free(&r);
	unmake(&a);
	unmake(&b);
}

static void hold_domain(const struct receipt *r, struct made *m, const uint64_t (*want)[2],
			size_t n)
{
	for (unsigned int threads = 1; threads <= 3; threads++) {
		struct receipt_difference d = { 0 };
		struct xr_host *host;

		cr_assert_eq(xr_host_model_open(&host, m->set.model), 0);
		cr_assert_eq(receipt_compare_domain(r, host, threads, &d), 0);
		expect_ranges(&d, want, n);
		receipt_difference_free(&d);
		host->ops->close(host);
	}
}

Test(receipt, a_domain_s_changed_and_missing_frames_differ)
{
	static const uint64_t ranges[][2] = { { 1024, 1535 }, { 5120, 5631 } };
	const uint64_t gone = 5130;
	unsigned char page[4096];
	struct xr_model_stats st;
	struct xr_host *host;
	struct receipt r;
	struct made m;

	make(&m, four, 4, 1);
	receipt_of(&r, &m);
	hold_domain(&r, &m, NULL, 0);
	cr_assert_eq(xr_model_peek(m.set.model, 1030, page), 0);
	page[0] ^= 0x80;
	cr_assert_eq(xr_model_poke(m.set.model, 1030, page), 0);
	cr_assert_eq(xr_host_model_open(&host, m.set.model), 0);
	cr_assert_eq(host->ops->release(host, 0, 1, &gone), 1);
	host->ops->close(host);
	hold_domain(&r, &m, ranges, 2);
	xr_model_stats(m.set.model, &st);
	cr_expect_eq(st.live_mappings, 0);
	receipt_free(&r);
	unmake(&m);
}

static unsigned int writable, readable;
static void *(*real_map)(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err);

static void *count_map(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err)
{
	__atomic_fetch_add(m->read_only ? &readable : &writable, 1, __ATOMIC_RELAXED);
	return real_map(m, n, gfns, err);
}

/* Whoever only reads a guest cannot change it. */
Test(receipt, a_domain_is_mapped_for_reading_only)
{
	struct receipt_difference d = { 0 };
	struct xr_host_ops ops;
	struct xr_host *host;
	struct receipt r;
	struct made m;

	make(&m, four, 4, 1);
	receipt_of(&r, &m);
	cr_assert_eq(xr_host_model_open(&host, m.set.model), 0);
	ops = *host->ops;
	real_map = ops.map;
	ops.map = count_map;
	host->ops = &ops;
	cr_expect_eq(receipt_compare_domain(&r, host, 2, &d), 0);
	cr_expect_eq(readable, 4);
	cr_expect_eq(writable, 0);
	host->ops->close(host);
	receipt_free(&r);
	unmake(&m);
}

Test(receipt, a_failing_host_is_told)
{
	struct receipt_difference d = { 0 };
	struct xr_host *host;
	struct receipt r;
	struct made m;

	make(&m, four, 4, 1);
	receipt_of(&r, &m);
	cr_assert_eq(xr_host_model_open(&host, m.set.model), 0);
	xr_model_fail(m.set.model, XR_CALL_MAP, 2, -1, -ENOMEM);
	cr_expect_eq(receipt_compare_domain(&r, host, 1, &d), -ENOMEM);
	xr_model_fail(m.set.model, XR_CALL_MAPPER, 1, -1, -EACCES);
	cr_expect_eq(receipt_compare_domain(&r, host, 1, &d), -EACCES);
	host->ops->close(host);
	receipt_free(&r);
	unmake(&m);
}

/* Each bit that tells which pages count is as much part of a receipt as the digests are. */
Test(receipt, a_changed_bit_of_what_counts_is_noticed)
{
	static const uint64_t pfns[] = { 5, 1030 };
	struct made m;

	make(&m, pfns, 2, 1);
	xr_digests_set(m.r->digests, 7, XR_DIGEST_OWN);
	m.res.contents_digest = xr_receipt_contents(m.r);
	for (unsigned int bit = 0; bit < 2 * 128 * 4; bit += 37) {
		char why[RECEIPT_TEXT] = "";
		struct receipt r;

		cr_expect(!receipt_reread(&r, &m, bit, why), "bit %u", bit);
		cr_expect_not_null(strstr(why, "its digest is of"), "bit %u: %s", bit, why);
		receipt_free(&r);
	}
	unmake(&m);
}

/* What a guest may change is said. */
Test(receipt, a_running_domain_is_told_of)
{
	struct receipt_difference d = { 0 };
	struct receipt r = { 0 };
	struct receipt_verdict v = { .receipt = &r, .found = &d, .domain = true, .running = true };
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	receipt_tell_text(f, &v);
	fclose(f);
	cr_expect_not_null(strstr(text, "the domain runs: it may have changed any page"), "%s",
			   text);
	free(text);
}

Test(receipt, what_is_none_is_refused)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"receipt\": 2}",
		"{\"receipt\": 1, \"stream\": {\"guest\": \"hvm\", \"bytes\": 1, \"records\": 1}, "
		"\"digests\": {\"contents\": \"00\", \"control\": \"0000000000000000\"}, "
		"\"restore\": {}, \"regions\": []}",
		"{\"receipt\": 1, \"stream\": {\"guest\": \"hvm\", \"bytes\": 1, \"records\": 1}, "
		"\"digests\": {\"contents\": \"0000000000000000\", \"control\": \"0000000000000000\"}, "
		"\"restore\": {}, \"regions\": [[\"0x201\", \"0000000000000000\"]]}",
		"{\"receipt\": 1, \"stream\": {\"guest\": \"hvm\", \"bytes\": 1, \"records\": 1}, "
		"\"digests\": {\"contents\": \"0000000000000000\", \"control\": \"0000000000000000\"}, "
		"\"restore\": {}, \"regions\": [[\"0x1000000000\", \"0000000000000000\"]]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char path[] = "/tmp/xr-receipt-XXXXXX", why[RECEIPT_TEXT] = "";
		FILE *f = fdopen(mkstemp(path), "w");
		struct receipt r;

		fputs(bad[i], f);
		fclose(f);
		cr_expect(!receipt_read(&r, path, why) && *why, "%zu was taken", i);
		receipt_free(&r);
		unlink(path);
	}
}
