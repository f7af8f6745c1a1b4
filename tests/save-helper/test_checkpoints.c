/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remus and COLO under the helper, as libxl runs them: scripted checkpoints with dirty pages, and
 * an end at every message there is.
 */
#include "fixture.h"
#include "lib/checkpoints.h"
#include "lib/feed.h"
#include "props/check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 600u
#define CHECKPOINTS 3u
#define OTHERS 40u /* bytes of libxl's between checkpoints */
#define DIRTY 7u   /* pages that the guest writes while it runs */

TestSuite(save_helper_checkpoints, .init = setup, .fini = teardown, .timeout = 300);

struct scene {
	struct builder b;
	struct checkpoints cp;
	struct toolstack tools;
	struct xr_settings answers; /* the toolstack's callbacks */
	struct xr_model *m;
	struct libxl l;
	struct feed feed;
	int back[2]; /* ours, the helper's; -1: none */
	unsigned int suspended;
};

static void put_pages(struct builder *b, uint64_t first, uint32_t n, unsigned int type)
{
	uint64_t e[PAGES];

	for (uint32_t i = 0; i < n; i++)
		e[i] = XR_EMIT_ENTRY(type, first + i);
	builder_page_data(b, e, n, NULL);
}

/* A guest that is sent, and at each checkpoint some dirty pages, pages that go and pages that come.
 */
static void make_stream(struct scene *s)
{
	const struct xr_emit_param params[] = { { XR_EMIT_STORE_PFN, 1 },
						{ XR_EMIT_CONSOLE_PFN, 2 } };

	builder_begin(&s->b, XR_EMIT_BARE, 3, false);
	builder_static(&s->b, true, true);
	for (unsigned int i = 0; i < CHECKPOINTS; i++) {
		if (!i) {
			put_pages(&s->b, 0, PAGES, XR_EMIT_NOTAB);
		} else {
			put_pages(&s->b, 10 * i, 20, XR_EMIT_NOTAB);
			/* what the guest wrote in between, as COLO's primary does */
			put_pages(&s->b, 50, 3 * DIRTY, XR_EMIT_NOTAB);
			put_pages(&s->b, 100 * i, 3, XR_EMIT_XTAB);
			put_pages(&s->b, PAGES + 10 * i, 4, XR_EMIT_NOTAB);
		}
		builder_tsc(&s->b);
		builder_context(&s->b);
		builder_params(&s->b, params, 2);
		checkpoints_put(&s->cp, &s->b, OTHERS);
	}
	put_pages(&s->b, 5, 9, XR_EMIT_NOTAB);
	put_pages(&s->b, PAGES + 100, 9, XR_EMIT_NOTAB);
}

/* The guest runs until it is suspended. */
static void run_guest(void *arg)
{
	struct scene *s = arg;
	unsigned char page[XR_PAGE_SIZE];

	s->suspended++;
	for (uint64_t i = 0; i < DIRTY; i++) {
		builder_fill(50 + 3 * i, 77, page);
		cr_assert_eq(xr_model_dirty(s->m, 50 + 3 * i, page), 0);
	}
}

static int answer(void *arg, const char *what)
{
	const struct scene *s = arg;
	const struct xr_callbacks *cb = &s->answers.callbacks;

	if (!strcmp(what, "checkpoint"))
		return cb->checkpoint(s->answers.opaque);
	if (!strcmp(what, "postcopy"))
		return cb->postcopy(s->answers.opaque);
	return what[0] == 'w' ? cb->wait_checkpoint(s->answers.opaque)
			      : cb->suspend(s->answers.opaque);
}

/* The first `size` bytes of the stream, in a restore that has begun. */
static void begin(struct scene *s, enum feed_kind kind, size_t size, bool colo)
{
	memset(s, 0, sizeof(*s));
	s->back[0] = s->back[1] = -1;
	make_stream(s);
	s->m = domain(false);
	cr_assert_eq(feed_open(&s->feed, kind, builder_data(&s->b),
			       size < builder_size(&s->b) ? size : builder_size(&s->b), 1),
		     0);
	fcntl(s->feed.fd, F_SETFD, 0);
	s->tools = (struct toolstack){ .c = &s->cp, .b = &s->b, .fd = s->feed.fd };
	s->tools.before_suspend = colo ? run_guest : NULL;
	s->tools.arg = s;
	toolstack_install(&s->tools, &s->answers);
	s->l.ask = answer;
	s->l.arg = s;
	s->l.retval = -9;
	if (colo)
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s->back), 0);
	if (colo)
		fcntl(s->back[0], F_SETFD, FD_CLOEXEC);
	start_restore_back(&s->l, s->feed.fd, s->back[1], colo ? COLO : REMUS, colo ? 2 : 1);
	if (colo)
		close(s->back[1]);
}

static void end(struct scene *s)
{
	if (s->back[0] >= 0)
		close(s->back[0]);
	libxl_hang_up(&s->l.out);
	libxl_hang_up(&s->l.replies);
	close(s->l.err);
	feed_close(&s->feed);
	builder_free(&s->b);
	xr_model_destroy(&s->m);
}

static void expect_guest_of(struct scene *s, unsigned int complete)
{
	char text[512] = "";
	const struct why why = { text, sizeof(text) };
	struct refmodel ref;

	checkpoints_ref(&s->cp, &s->b, complete, &ref);
	cr_expect(check_habits(&why, s->m), "%s", text);
	cr_expect(check_guest(&why, s->m, &ref), "after %u: %s", complete, text);
	cr_expect(check_domain(&why, s->m, &ref, 0), "after %u: %s", complete, text);
	cr_expect_eq(xr_model_param(s->m, 2), 3);
	cr_expect_eq(xr_model_param(s->m, 18), 4);
	refmodel_free(&ref);
}

static void expect_success(struct scene *s)
{
	expect_exit(&s->l, 0);
	cr_expect_null(s->tools.wrong, "%s", s->tools.wrong);
	cr_expect_eq(s->l.retval, 0, "%d", s->l.errnoval);
	cr_expect_eq(s->l.store_gfn, 1);
	cr_expect_eq(s->l.console_gfn, 2);
	cr_expect_eq(errors(&s->l), 0);
}

static void expect_failure_of(struct scene *s)
{
	struct xr_model_stats st;

	expect_exit(&s->l, 0);
	cr_expect_eq(s->l.retval, -1);
	cr_expect_gt(s->l.errnoval, 0);
	cr_expect_eq(s->l.store_gfn, 0);
	cr_expect_gt(errors(&s->l), 0);
	xr_model_stats(s->m, &st);
	cr_expect_eq(st.live_mappings, 0);
}

/* --- Remus ------------------------------------------------------------------------------------ */

Test(save_helper_checkpoints, remus_goes_on_until_the_stream_ends)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_SOCKET; kind++) {
		struct scene s;

		begin(&s, kind, ALL, false);
		libxl_serve(&s.l);
		expect_success(&s);
		cr_expect_str_eq(s.l.order,
				 "static checkpoint checkpoint checkpoint results complete");
		expect_guest_of(&s, CHECKPOINTS);
		end(&s);
	}
}

Test(save_helper_checkpoints, remus_ends_wherever_the_stream_does)
{
	const size_t step[] = { 1, 8, 17, OTHERS / 2 };
	struct scene probe;

	begin(&probe, FEED_FILE, ALL, false);
	libxl_serve(&probe.l);
	for (unsigned int i = 0; i < CHECKPOINTS * 4; i++) {
		const size_t size = probe.cp.end[i / 4] + step[i % 4] - (i % 4 < 2 ? 9 : 0);
		const unsigned int complete = checkpoints_in(&probe.cp, size);
		struct scene s;

		begin(&s, i % 2 ? FEED_PIPE : FEED_SOCKET, size, false);
		libxl_serve(&s.l);
		if (complete) {
			expect_success(&s);
			expect_guest_of(&s, complete);
		} else {
			expect_failure_of(&s);
		}
		end(&s);
	}
	end(&probe);
}

Test(save_helper_checkpoints, remus_heeds_every_answer)
{
	static const int answers[] = { XR_ANSWER_ERROR, XR_ANSWER_FAIL_OVER, 7 };

	for (unsigned int at = 1; at <= CHECKPOINTS; at++)
		for (unsigned int i = 0; i < 3; i++) {
			struct scene s;

			begin(&s, FEED_PIPE, ALL, false);
			s.tools.at = at;
			s.tools.answer = answers[i];
			libxl_serve(&s.l);
			if (answers[i] == XR_ANSWER_FAIL_OVER && at > 1) {
				expect_success(&s);
				expect_guest_of(&s, at - 1);
			} else {
				expect_failure_of(&s);
			}
			end(&s);
		}
}

/* --- COLO ------------------------------------------------------------------------------------- */

static void take(int fd, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		const ssize_t got = read(fd, (char *)to + done, n - done);

		cr_assert_gt(got, 0, "the list is too short");
		done += (size_t)got;
	}
}

/* One list for each time the guest was suspended, and nothing behind. */
static void expect_lists(const struct scene *s)
{
	uint32_t head[2];
	uint64_t pfn[DIRTY];
	char more;

	for (unsigned int i = 0; i < s->suspended; i++) {
		take(s->back[0], head, sizeof(head));
		cr_expect_eq(head[0], 0x0f);
		cr_assert_eq(head[1], sizeof(pfn));
		take(s->back[0], pfn, sizeof(pfn));
		for (uint64_t k = 0; k < DIRTY; k++)
			cr_expect_eq(pfn[k], 50 + 3 * k);
	}
	cr_expect_eq(read(s->back[0], &more, 1), 0);
}

#define COLO_STEP " checkpoint results postcopy wait suspend"

Test(save_helper_checkpoints, colo_completes_and_runs_at_every_checkpoint)
{
	for (enum feed_kind kind = FEED_PIPE; kind <= FEED_SOCKET; kind++) {
		struct scene s;

		begin(&s, kind, ALL, true);
		libxl_serve(&s.l);
		expect_success(&s);
		cr_expect_str_eq(s.l.order,
				 "static" COLO_STEP COLO_STEP COLO_STEP " results complete");
		cr_expect_eq(s.suspended, CHECKPOINTS);
		expect_lists(&s);
		end(&s);
	}
}

/* What the guest itself wrote stays; the rest is that of the checkpoint. */
static void expect_guest_that_ran(struct scene *s, unsigned int complete)
{
	unsigned char page[XR_PAGE_SIZE];

	for (uint64_t i = 0; s->suspended == complete && i < DIRTY; i++) {
		unsigned char got[XR_PAGE_SIZE];
		const uint64_t pfn = 50 + 3 * i;

		builder_fill(pfn, 77, page);
		cr_assert_eq(xr_model_peek(s->m, pfn, got), 0);
		cr_expect(!memcmp(page, got, sizeof(page)), "pfn %lu is not as the guest left it",
			  pfn);
	}
	if (s->suspended < complete)
		expect_guest_of(s, complete);
}

Test(save_helper_checkpoints, colo_heeds_every_answer)
{
	static const int answers[] = { XR_ANSWER_FAIL_OVER, XR_ANSWER_ERROR };

	for (unsigned int at = 1; at <= 4 * 2; at++)
		for (unsigned int i = 0; i < 2; i++) {
			const unsigned int complete = (at - 1 + 3) / 4;
			struct scene s;

			begin(&s, FEED_SOCKET, ALL, true);
			s.tools.at = at;
			s.tools.answer = answers[i];
			libxl_serve(&s.l);
			if (!i && complete) {
				expect_success(&s);
				expect_guest_that_ran(&s, complete);
			} else {
				expect_failure_of(&s);
			}
			end(&s);
		}
}

Test(save_helper_checkpoints, colo_survives_a_back_channel_that_is_gone)
{
	struct scene s;

	begin(&s, FEED_SOCKET, ALL, true);
	close(s.back[0]);
	s.back[0] = -1;
	libxl_serve(&s.l);
	expect_success(&s);
	cr_expect_str_eq(s.l.order, "static" COLO_STEP " results complete");
	expect_guest_that_ran(&s, 1);
	end(&s);
}

/* --- libxl's end ------------------------------------------------------------------------------ */

/* How it gets to the question that is not answered. */
static void hold(struct scene *s, const char *what, bool colo)
{
	begin(s, FEED_SOCKET, ALL, colo);
	s->l.hold = what;
	while (!strstr(s->l.order, what))
		cr_assert(libxl_serve_one(&s->l), "%s", libxl_stderr(&s->l));
}

static const char *const questions[] = { "checkpoint", "postcopy", "wait", "suspend" };

#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

Test(save_helper_checkpoints, it_ends_by_a_signal_at_every_question)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct scene s;
		int status;

		hold(&s, questions[i], true);
		cr_assert_eq(kill(s.l.pid, SIGTERM), 0);
		libxl_serve(&s.l);
		status = libxl_wait(&s.l);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "%s: status %#x",
			  questions[i], status);
		end(&s);
	}
}

Test(save_helper_checkpoints, it_ends_with_libxl_at_every_question)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct scene s;

		hold(&s, questions[i], true);
		libxl_hang_up(&s.l.replies);
		libxl_hang_up(&s.l.out);
		cr_expect_neq(libxl_wait(&s.l), 0, "%s", questions[i]);
		end(&s);
	}
}

/* While libxl has the stream's fd, the helper takes nothing from it, whoever writes meanwhile. */
Test(save_helper_checkpoints, the_fd_is_libxl_s_while_it_is_asked)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		static char bytes[1 << 20];
		struct scene s;
		size_t want, got = 0;
		ssize_t n;

		hold(&s, questions[i], true);
		want = builder_size(&s.b) - (i ? s.cp.resume[0] : s.cp.end[0]);
		usleep(50000);
		while (got < want && (n = read(s.feed.fd, bytes + got, sizeof(bytes) - got)) > 0)
			got += (size_t)n;
		cr_expect_eq(got, want, "%s: %zu bytes of %zu are left", questions[i], got, want);
		cr_expect(!memcmp(bytes, builder_data(&s.b) + builder_size(&s.b) - want, got));
		kill(s.l.pid, SIGKILL);
		libxl_wait(&s.l);
		end(&s);
	}
}
