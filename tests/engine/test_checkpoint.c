/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkpointed streams made by hand: what is applied when, and what each way to end leaves. */
#include "lib/checkpoints.h"
#include "lib/pvguest.h"
#include "lib/pvref.h"
#include "lib/restore.h"
#include "lib/sanitizer.h"
#include "rig.h"

#include "host/host.h"
#include "host/model.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16u
#define OTHERS 24u

struct check {
	struct rig g;
	struct checkpoints cp;
	struct toolstack tools;
	unsigned int ran;
};

/* Records [first, first + n) of the guest, of that type. */
static void pages(struct check *c, uint64_t first, uint32_t n, unsigned int type)
{
	uint64_t e[PAGES];

	for (uint32_t i = 0; i < n; i++)
		e[i] = XR_EMIT_ENTRY(type, first + i);
	builder_page_data(&c->g.b, e, n, NULL);
}

static void state(struct check *c)
{
	const struct xr_emit_param params[] = { { XR_EMIT_STORE_PFN, 1 },
						{ XR_EMIT_CONSOLE_PFN, 2 } };

	builder_tsc(&c->g.b);
	builder_context(&c->g.b);
	builder_params(&c->g.b, params, 2);
}

static void checkpoint(struct check *c)
{
	state(c);
	checkpoints_put(&c->cp, &c->g.b, OTHERS);
}

/* The first image: pfns 0 to 15. */
static void begin(struct check *c)
{
	memset(c, 0, sizeof(*c));
	rig_init(&c->g, 64, 3);
	builder_static(&c->g.b, true, true);
	pages(c, 0, PAGES, XR_EMIT_NOTAB);
	checkpoint(c);
	c->tools.c = &c->cp;
	c->tools.b = &c->g.b;
	c->g.set.type = XR_STREAM_REMUS;
	toolstack_install(&c->tools, &c->g.set);
}

static int run(struct check *c, enum feed_kind kind, size_t size)
{
	int rc;

	cr_assert_eq(feed_open(&c->g.feed, kind, builder_data(&c->g.b), size, 1), 0);
	c->g.set.fd = c->tools.fd = c->g.feed.fd;
	rc = restore_once(&c->g.set, &c->g.res, &c->g.err);
	feed_close(&c->g.feed);
	cr_assert_eq(rc, c->g.err.code);
	cr_expect_null(c->tools.wrong, "%s", c->tools.wrong);
	rig_expect_clean(&c->g);
	return rc;
}

static void expect_guest(struct check *c, unsigned int complete)
{
	struct xr_model_stats st;
	struct refmodel ref;
	unsigned char got[XR_PAGE_SIZE];

	checkpoints_ref(&c->cp, &c->g.b, complete, &ref);
	xr_model_stats(c->g.model, &st);
	cr_expect_eq(st.tot_pages, ref.backed, "%lu pages, not %lu", st.tot_pages, ref.backed);
	cr_expect_eq(c->g.res.checkpoints, complete);
	cr_expect(c->g.res.failed_over);
	for (uint64_t i = 0; i < ref.backed; i++) {
		const unsigned char *want = refmodel_page(&ref, ref.pfns[i]);

		cr_assert_eq(xr_model_peek(c->g.model, ref.pfns[i], got), 0, "pfn %lu is missing",
			     ref.pfns[i]);
		cr_expect(!want || !memcmp(got, want, sizeof(got)), "pfn %lu has other contents",
			  ref.pfns[i]);
	}
	refmodel_free(&ref);
}

static void end(struct check *c)
{
	rig_free(&c->g);
}

/* --- when ------------------------------------------------------------------------------------- */

Test(checkpoint, records_are_applied_when_the_checkpoint_is_good)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_SOCKET; kind++) {
		struct check c;

		begin(&c);
		pages(&c, 4, 4, XR_EMIT_NOTAB);
		pages(&c, 12, 2, XR_EMIT_XTAB);
		pages(&c, 30, 2, XR_EMIT_NOTAB);
		checkpoint(&c);
		cr_assert_eq(run(&c, kind, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
		expect_guest(&c, 2);
		cr_expect_str_eq(c.tools.asked, "cc");
		end(&c);
	}
}

struct look {
	struct rig *g;
	uint64_t backed;
	bool old;
	unsigned int calls;
};

/* The second checkpoint is asked for: its contents are not in the guest, its frames are. */
static int look(void *opaque)
{
	struct toolstack *t = opaque;
	struct look *l = t->arg;
	unsigned char want[XR_PAGE_SIZE], got[XR_PAGE_SIZE];
	struct xr_model_stats st;
	char skip[OTHERS];

	cr_assert_eq(read(t->fd, skip, sizeof(skip)), (ssize_t)sizeof(skip));
	if (++l->calls != 2)
		return XR_ANSWER_GO_ON;
	xr_model_stats(l->g->model, &st);
	l->backed = st.tot_pages;
	builder_fill(4, 3, want);
	l->old = !xr_model_peek(l->g->model, 4, got) && !memcmp(got, want, sizeof(got));
	return XR_ANSWER_FAIL_OVER;
}

Test(checkpoint, only_frames_are_had_ahead_and_failover_gives_them_back)
{
	struct check c;
	struct look l = { 0 };

	begin(&c);
	pages(&c, 4, 4, XR_EMIT_NOTAB);
	pages(&c, 30, 5, XR_EMIT_NOTAB);
	checkpoint(&c);
	l.g = &c.g;
	c.tools.arg = &l;
	c.g.set.callbacks.checkpoint = look;
	cr_assert_eq(run(&c, FEED_FILE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	cr_expect(l.old, "contents of a checkpoint that is not good are in the guest");
	cr_expect_eq(l.backed, PAGES + 5);
	expect_guest(&c, 1);
	end(&c);
}

/* A domain without room has frames taken away before it is given others. */
Test(checkpoint, a_full_domain_exchanges_frames)
{
	struct xr_model_settings ms;
	struct check c;

	begin(&c);
	xr_model_settings_default(&ms);
	ms.max_pages = PAGES;
	ms.no_huge = true;
	ms.fill = REF_FILL;
	cr_assert_eq(xr_model_reset(c.g.model, &ms), 0);
	pages(&c, 8, 8, XR_EMIT_XTAB);
	pages(&c, 40, 8, XR_EMIT_NOTAB);
	checkpoint(&c);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	expect_guest(&c, 2);
	end(&c);
}

/* --- PV --------------------------------------------------------------------------------------- */

static void put_pv_state(const struct pvguest *g, struct builder *b, struct checkpoints *cp)
{
	builder_tsc(b);
	pvguest_registers(g, b);
	pvguest_state(b);
	if (cp)
		checkpoints_put(cp, b, OTHERS);
}

/* A guest, and a checkpoint in which pages and a page table change. Without cp the same records as
 * a plain stream. */
static void put_pv(struct builder *b, struct checkpoints *cp)
{
	struct pvguest g;

	pvguest_init(&g, 8);
	pvguest_head(&g, b);
	pvguest_pages(&g, b, 0, PVG_PFNS);
	put_pv_state(&g, b, cp);
	for (uint64_t pfn = PVG_DATA; pfn < PVG_DATA + 9; pfn++)
		builder_fill(pfn, 2, g.page[pfn]);
	pvguest_pte(&g, PVG_L1 + 1, 3, PVG_DATA + 1, 0x61);
	pvguest_pages(&g, b, PVG_L1, PVG_L1 + 3);
	pvguest_pages(&g, b, PVG_DATA, PVG_DATA + 9);
	put_pv_state(&g, b, cp);
	if (cp)
		pvguest_pages(&g, b, 0, PVG_PFNS / 2); /* of one that is not complete */
	else
		builder_end(b, false, 0);
	pvguest_free(&g);
}

Test(checkpoint, a_pv_guest_fails_over, .timeout = 120)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct check c = { 0 };
		struct builder plain;
		struct pvref ref;
		char why[512];

		rig_init_pv(&c.g, 4096);
		put_pv(&c.g.b, &c.cp);
		c.tools.c = &c.cp;
		c.tools.b = &c.g.b;
		c.g.set.type = XR_STREAM_REMUS;
		c.g.set.buffer_mib = 0;
		toolstack_install(&c.tools, &c.g.set);
		cr_assert_eq(run(&c, kind, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
		cr_expect_eq(c.g.res.checkpoints, 2);
		builder_begin(&plain, XR_EMIT_BARE, 3, true);
		put_pv(&plain, NULL);
		cr_assert(pvref_read(&ref, builder_data(&plain), builder_size(&plain), 0));
		cr_expect(pvref_check(&ref, c.g.model, &(struct pvref_ports){ 0, 0 },
				      c.g.res.store_gfn, c.g.res.console_gfn, why, sizeof(why)),
			  "%s", why);
		pvref_free(&ref);
		builder_free(&plain);
		end(&c);
	}
}

/* --- how it ends ------------------------------------------------------------------------------ */

static void two_checkpoints(struct check *c)
{
	begin(c);
	pages(c, 4, 2, XR_EMIT_NOTAB);
	pages(c, 12, 2, XR_EMIT_XTAB);
	pages(c, 20, 2, XR_EMIT_NOTAB);
	checkpoint(c);
	pages(c, 5, 2, XR_EMIT_NOTAB);
	pages(c, 20, 2, XR_EMIT_XTAB);
	checkpoint(c);
}

/* Where record n of the stream begins, or what is the toolstack's; the first is behind the headers.
 */
static size_t begin_of(const struct check *c, size_t from)
{
	uint32_t length;

	for (unsigned int i = 0; i < c->cp.n; i++)
		if (c->cp.end[i] == from)
			return c->cp.resume[i];
	memcpy(&length, builder_data(&c->g.b) + from + 4, sizeof(length));
	return from + 8 + ((length + 7) & ~7u);
}

/* Every record: its header and its end, and all of a small one. */
static bool interesting(const struct check *c, size_t n)
{
	size_t from = c->g.b.libxc_offset + 40, to;

	if (n < from)
		return n % 13 == 0;
	if (SANITIZED && n % 8)
		return false;
	while ((to = begin_of(c, from)) <= n && to < builder_size(&c->g.b))
		from = to;
	if (to - from <= 48)
		return true;
	return n - from < 9 || to - n < 3 || (n - from) % 4093 == 0;
}

static void cut_everywhere(enum feed_kind kind, enum xr_stream_type type, unsigned int buffer_mib)
{
	struct check whole;

	two_checkpoints(&whole);
	for (size_t n = 0; n <= builder_size(&whole.g.b); n++) {
		const unsigned int complete = checkpoints_in(&whole.cp, n);
		struct check c;

		if (!interesting(&whole, n))
			continue;
		two_checkpoints(&c);
		c.g.set.type = type;
		c.g.set.send_back_fd = STDERR_FILENO;
		c.g.set.workers = 1;
		c.g.set.worker_kind = XR_WORKER_THREAD;
		c.g.set.buffer_mib = buffer_mib;
		if (run(&c, kind, n)) {
			cr_assert_eq(complete, 0, "cut at %zu: %s", n, c.g.err.text);
			cr_assert(c.g.err.code == -ENODATA || c.g.err.code == -EIO,
				  "cut at %zu: %s", n, c.g.err.text);
		} else {
			expect_guest(&c, complete);
		}
		end(&c);
	}
	end(&whole);
}

Test(checkpoint, a_file_cut_anywhere, .timeout = 300)
{
	cut_everywhere(FEED_FILE, XR_STREAM_REMUS, 128);
}

Test(checkpoint, a_pipe_cut_anywhere, .timeout = 300)
{
	cut_everywhere(FEED_PIPE, XR_STREAM_REMUS, 0);
}

Test(checkpoint, the_end_of_the_stream_drops_what_is_not_complete)
{
	struct check c;

	begin(&c);
	pages(&c, 4, 4, XR_EMIT_NOTAB);
	builder_end(&c.g.b, false, 0);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	expect_guest(&c, 1);
	end(&c);
}

/* As begin(), but no checkpoint was taken: its pages only. */
static void begin_without(struct check *c)
{
	begin(c);
	builder_free(&c->g.b);
	builder_begin(&c->g.b, XR_EMIT_BARE, 3, false);
	builder_static(&c->g.b, true, true);
	pages(c, 0, PAGES, XR_EMIT_NOTAB);
}

/* As Xen's own restorer has it: nothing was put by yet. */
Test(checkpoint, an_end_before_the_first_checkpoint_is_that_of_a_plain_stream)
{
	struct check c;

	begin_without(&c);
	state(&c);
	builder_end(&c.g.b, false, 0);
	c.cp.n = 0;
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	cr_expect_not(c.g.res.failed_over);
	cr_expect_eq(c.g.res.checkpoints, 0);
	cr_expect_eq(c.g.res.pages_populated, PAGES);
	end(&c);
}

Test(checkpoint, a_failover_before_the_first_checkpoint_is_a_failure)
{
	struct check c;

	begin(&c);
	c.tools.at = 1;
	c.tools.answer = XR_ANSWER_FAIL_OVER;
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), -EIO);
	cr_expect(c.g.err.host_failed);
	cr_expect_eq(c.g.err.type, 0x0e);
	end(&c);
}

Test(checkpoint, the_toolstack_s_error_is_a_failure)
{
	static const int answers[] = { 0, -1, 3 };

	for (unsigned int i = 0; i < 3; i++) {
		struct check c;

		two_checkpoints(&c);
		c.tools.at = 2;
		c.tools.answer = answers[i];
		cr_expect_eq(run(&c, FEED_SOCKET, builder_size(&c.g.b)), -EIO);
		cr_expect_not_null(strstr(c.g.err.text, "checkpoint"));
		end(&c);
	}
}

/* --- what records --------------------------------------------------------------------------- */

Test(checkpoint, optional_records_that_nobody_knows_are_passed_over)
{
	static const char body[100];
	struct check c;

	begin(&c);
	builder_record(&c.g.b, XR_EMIT_OPTIONAL | 5, body, sizeof(body));
	pages(&c, 4, 4, XR_EMIT_NOTAB);
	builder_record(&c.g.b, XR_EMIT_OPTIONAL | 6, NULL, 0);
	checkpoint(&c);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	expect_guest(&c, 2);
	end(&c);
}

Test(checkpoint, mandatory_ones_are_the_end)
{
	struct check c;

	begin(&c);
	pages(&c, 4, 4, XR_EMIT_NOTAB);
	builder_record(&c.g.b, 0x7f, NULL, 0);
	checkpoint(&c);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	expect_guest(&c, 1);
	end(&c);
}

Test(checkpoint, records_without_bounds_are_not_kept)
{
	static unsigned char body[4u << 20];
	struct check c;

	begin(&c);
	memset(body, 7, sizeof(body));
	for (unsigned int i = 0; i < 17; i++)
		builder_record(&c.g.b, XR_EMIT_HVM_CONTEXT, body, sizeof(body));
	checkpoint(&c);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), -EOPNOTSUPP, "the primary runs");
	end(&c);
}

/* What was applied has made room: three checkpoints that would not fit together. */
Test(checkpoint, each_checkpoint_has_all_the_room)
{
	static unsigned char body[4u << 20];
	struct check c;

	begin(&c);
	memset(body, 7, sizeof(body));
	for (unsigned int i = 0; i < 3; i++) {
		for (unsigned int k = 0; k < 6; k++)
			builder_record(&c.g.b, XR_EMIT_HVM_CONTEXT, body, sizeof(body));
		pages(&c, 4 * i, 4, XR_EMIT_NOTAB);
		checkpoint(&c);
	}
	cr_assert_eq(run(&c, FEED_FILE, builder_size(&c.g.b)), 0, "%s", c.g.err.text);
	expect_guest(&c, 4);
	end(&c);
}

/* Without a disk, what is beyond the limit in memory cannot be kept: the primary lives on. */
Test(checkpoint, a_backlog_without_room_is_a_failure_of_the_host)
{
	struct check c;

	setenv("TMPDIR", "/proc/nowhere", 1);
	two_checkpoints(&c);
	c.g.set.buffer_mib = 0;
	cr_assert_lt(run(&c, FEED_PIPE, builder_size(&c.g.b)), 0);
	cr_expect(c.g.err.host_failed);
	cr_expect_eq(c.g.err.stage, XR_STAGE_ENGINE);
	end(&c);
}

Test(checkpoint, a_host_that_fails_while_it_is_applied_is_a_failure)
{
	struct check c;

	two_checkpoints(&c);
	xr_model_fail(c.g.model, XR_CALL_TSC, 2, -1, -EPERM);
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), -EPERM);
	cr_expect(c.g.err.host_failed);
	end(&c);
}

Test(checkpoint, a_plain_stream_has_none)
{
	struct check c;

	begin(&c);
	c.g.set.type = XR_STREAM_PLAIN;
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), -EBADMSG);
	end(&c);
}

/* --- COLO ------------------------------------------------------------------------------------- */

Test(checkpoint, a_gfn_far_out_makes_no_list_of_its_size)
{
	struct check c;

	begin_without(&c);
	pages(&c, 1ull << 30, 1, XR_EMIT_NOTAB);
	c.cp.n = 0;
	checkpoint(&c);
	c.g.set.type = XR_STREAM_COLO;
	c.g.set.send_back_fd = STDERR_FILENO;
	cr_assert_eq(run(&c, FEED_PIPE, builder_size(&c.g.b)), -EOPNOTSUPP, "%s", c.g.err.text);
	cr_expect_eq(c.g.err.pfn, 1ull << 30);
	end(&c);
}

/* What the guest does while it runs: gives pfns 9 and 10 back, takes 40 and 41 and writes to them,
 * has its shared info, a page of Xen's, at 11. */
static void run_guest(void *arg)
{
	struct check *c = arg;
	const uint64_t back[] = { 9, 10 }, taken[] = { 40, 41 };
	unsigned char page[XR_PAGE_SIZE];
	struct xr_host *h;

	if (c->ran++)
		return;
	cr_assert_eq(xr_host_model_open(&h, c->g.model), 0);
	cr_assert_eq(h->ops->release(h, 0, 2, back), 2);
	cr_assert_eq(h->ops->populate(h, 0, 2, taken, NULL), 2);
	for (unsigned int i = 0; i < 2; i++) {
		builder_fill(taken[i], 77, page);
		cr_assert_eq(xr_model_dirty(c->g.model, taken[i], page), 0);
	}
	builder_fill(11, 78, page);
	cr_assert_eq(xr_model_poke(c->g.model, 11, page), 0);
	cr_assert_eq(xr_model_put_xens(c->g.model, 11), 0);
	h->ops->close(h);
}

/* All lists together: what the guest wrote before the first is behind the end of the first image.
 */
static void expect_lists(int back, unsigned int lists)
{
	const off_t size = lseek(back, 0, SEEK_END);
	struct {
		uint32_t type, length;
		uint64_t pfn[2];
	} first;

	cr_assert_eq(pread(back, &first, sizeof(first), 0), (ssize_t)sizeof(first));
	cr_expect_eq(first.type, 0x0f);
	cr_expect_eq(first.length, sizeof(first.pfn));
	cr_expect_eq(first.pfn[0], 40);
	cr_expect_eq(first.pfn[1], 41);
	cr_expect_eq(size, (off_t)(sizeof(first) + 8 * (lists - 1)), "others are empty");
}

static void run_colo_with(struct check *c, void (*guest)(void *), int back)
{
	c->g.set.type = XR_STREAM_COLO;
	c->g.set.send_back_fd = back;
	c->tools.before_suspend = guest;
	c->tools.arg = c;
	cr_assert_eq(run(c, FEED_PIPE, builder_size(&c->g.b)), 0, "%s", c->g.err.text);
	cr_expect(c->g.res.failed_over);
}

static void run_colo(struct check *c)
{
	const int back = memfd_create("back", MFD_CLOEXEC);

	run_colo_with(c, run_guest, back);
	expect_lists(back, (unsigned int)c->g.res.checkpoints);
	close(back);
}

static void expect_none(struct check *c, uint64_t pfn)
{
	unsigned char got[XR_PAGE_SIZE];

	cr_expect_eq(xr_model_peek(c->g.model, pfn, got), -ENOENT, "pfn %lu", pfn);
}

Test(checkpoint, what_a_running_guest_took_survives_a_failover)
{
	struct check c;

	begin(&c);
	pages(&c, 40, 1, XR_EMIT_NOTAB);
	run_colo(&c);
	cr_expect_eq(c.g.res.checkpoints, 1);
	rig_expect_page(&c.g, 40, 77);
	end(&c);
}

Test(checkpoint, a_running_guest_may_take_frames_and_give_them_back)
{
	struct xr_model_stats st;
	struct check c;
	uint64_t serial;

	begin(&c);
	pages(&c, 9, 1, XR_EMIT_XTAB);
	serial = c.g.b.records;
	pages(&c, 10, 1, XR_EMIT_NOTAB);
	pages(&c, 40, 1, XR_EMIT_NOTAB);
	pages(&c, 11, 1, XR_EMIT_XTAB);
	pages(&c, 41, 1, XR_EMIT_XTAB);
	checkpoint(&c);
	run_colo(&c);
	cr_expect_eq(c.g.res.checkpoints, 2);
	xr_model_stats(c.g.model, &st);
	cr_expect_eq(st.tot_pages, PAGES - 1, "two less, one of them Xen's now, one more");
	cr_expect_eq(st.leaked, 0);
	cr_expect_eq(st.released_xens, 0);
	expect_none(&c, 9);
	rig_expect_page(&c.g, 10, serial);
	rig_expect_page(&c.g, 40, serial + 1);
	rig_expect_page(&c.g, 11, 78);
	expect_none(&c, 41);
	end(&c);
}

/* Its ring pages, which no page record names: gives one back, the other is a frame of its own. */
static void lose_rings(void *arg)
{
	struct check *c = arg;
	const uint64_t ring[] = { 1, 2 };
	unsigned char page[XR_PAGE_SIZE] = { 0 };
	struct xr_host *h;

	if (c->ran++)
		return;
	cr_assert_eq(xr_host_model_open(&h, c->g.model), 0);
	cr_assert_eq(xr_model_poke(c->g.model, 1, page), 0);
	cr_assert_eq(xr_model_poke(c->g.model, 2, page), 0);
	cr_assert_eq(h->ops->release(h, 0, 2, ring), 2);
	cr_assert_eq(h->ops->populate(h, 0, 1, &ring[1], NULL), 1);
	builder_fill(2, 77, page);
	cr_assert_eq(xr_model_dirty(c->g.model, 2, page), 0);
	h->ops->close(h);
}

Test(checkpoint, a_running_guest_may_give_its_ring_pages_back)
{
	const int back = memfd_create("back", MFD_CLOEXEC);
	struct check c;

	begin(&c);
	checkpoint(&c);
	run_colo_with(&c, lose_rings, back);
	cr_expect_eq(c.g.res.checkpoints, 2);
	expect_none(&c, 1);
	rig_expect_zero(&c.g, 2);
	close(back);
	end(&c);
}
