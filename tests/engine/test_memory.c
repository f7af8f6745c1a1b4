/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's own memory for a guest of 1 TiB: bounded, whatever the stream says. */
#include "generate/generate.h"
#include "lib/rng.h"
#include "lib/sanitizer.h"
#include "lib/status.h"
#include "rig.h"
#include "stream/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_KIB (96u << 10)
#define PAGES ((uint64_t)1 << (SANITIZED ? 20 : 28)) /* of the guest: 1 TiB */

/* Every frame of the guest, without a hole. */
static int full(int fd)
{
	struct xr_gen_options o;

	xr_gen_options_default(&o);
	o.size_bytes = (uint64_t)PAGES << XR_PAGE_SHIFT;
	o.types_only = true;
	return xr_generate(fd, &o, NULL);
}

/* One frame in eight, of each region some: the books are as large as for any guest with holes, the
 * stream is not. */
static void thin_frames(struct xr_sink *s)
{
	static uint64_t e[1024];
	struct rng dice = rng_seed(7);

	for (uint64_t pfn = 0; pfn < PAGES; pfn += 8 * 1024) {
		uint64_t random = rng_next(&dice);

		for (unsigned int i = 0; i < 1024; i++) {
			random = random << 3 | random >> 61;
			e[i] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, pfn + 8 * i + (random & 7));
		}
		xr_emit_record_header(s, XR_EMIT_PAGE_DATA, 8 + sizeof(e));
		xr_sink_put(s, (uint32_t[]){ 1024, 0 }, 8);
		xr_sink_put(s, e, sizeof(e));
	}
}

static int finish(struct xr_sink *s)
{
	xr_emit_record(s, XR_EMIT_END, NULL, 0);
	xr_sink_flush(s);
	xr_sink_close(s);
	return s->error;
}

static int thin(int fd)
{
	struct xr_sink s;

	xr_sink_open(&s, fd);
	xr_emit_headers(&s, 3, false);
	xr_emit_policies(&s, true, true);
	xr_emit_record(&s, XR_EMIT_STATIC_DATA_END, NULL, 0);
	thin_frames(&s);
	xr_emit_context(&s);
	return finish(&s);
}

/* A chain of save records that fills the longest context that is accepted. */
static void longest_context(unsigned char *body)
{
	const uint32_t all = XR_CONTROL_MAX;
	const uint32_t head[] = { 1, 24, 0x54381286 }, middle[] = { 2, all - 48 };

	memset(body, 0, all);
	memcpy(body, head, sizeof(head));
	memcpy(body + 32, middle, sizeof(middle));
}

/* The same with all that is kept for later as long as may be, and the context sent three times. */
static int thin_and_wordy(int fd)
{
	unsigned char *body = calloc(1, XR_CONTROL_MAX);
	struct xr_sink s;

	xr_sink_open(&s, fd);
	xr_emit_headers(&s, 3, false);
	xr_emit_record(&s, XR_EMIT_CPUID_POLICY, body, 24 * 40000);
	xr_emit_record(&s, XR_EMIT_MSR_POLICY, body, 16 * 60000);
	xr_emit_record(&s, XR_EMIT_STATIC_DATA_END, NULL, 0);
	longest_context(body);
	xr_emit_record(&s, XR_EMIT_HVM_CONTEXT, body, XR_CONTROL_MAX);
	thin_frames(&s);
	for (unsigned int i = 0; i < 2; i++)
		xr_emit_record(&s, XR_EMIT_HVM_CONTEXT, body, XR_CONTROL_MAX);
	free(body);
	return finish(&s);
}

/* The model's books are shared memory and not the engine's: anonymous memory is what counts, looked
 * at some ten times a second and at the end, when nothing is freed yet. */
static void note_peak(const struct xr_progress *p, void *peak)
{
	const long now = status_kib("RssAnon");

	(void)p;
	if (now > *(long *)peak)
		*(long *)peak = now;
}

/* In a process of its own, so that its high-water mark is the restore's. Exit: MiB used, 255:
 * failed. */
static int measure(int fd, int want)
{
	struct xr_model_settings ms;
	struct xr_model *model;
	struct xr_settings set;
	struct xr_restore *r;
	struct xr_error err;
	long before, peak = 0;
	int rc;

	xr_model_settings_default(&ms);
	ms.without_memory = true;
	ms.max_pages = (1ull << 28) + 1024; /* 1 TiB */
	xr_settings_default(&set);
	set.fd = fd;
	set.host = XR_HOST_MODEL;
	set.worker_kind = XR_WORKER_THREAD;
	if (xr_model_create(&model, &ms))
		return 255;
	set.model = model;
	set.callbacks.progress = note_peak;
	set.opaque = &peak;
	before = status_kib("RssAnon");
	rc = xr_open(&r, &set, &err);
	if (!rc)
		rc = xr_run(r, NULL, &err);
	if (rc != want) {
		fprintf(stderr, "%s\n", rc ? err.text : "not refused");
		return 255;
	}
	note_peak(NULL, &peak);
	xr_close(&r);
	return (int)((peak - before) >> 10);
}

static int pipe_source(int (*make)(int fd))
{
	int fd[2];

	cr_assert_eq(pipe(fd), 0);
	if (fork() == 0) {
		close(fd[0]);
		_exit(make(fd[1]) != 0);
	}
	close(fd[1]);
	return fd[0];
}

static int file_source(int (*make)(int fd))
{
	char path[] = "/tmp/xr-memory-XXXXXX";
	int fd = mkstemp(path);

	cr_assert(fd >= 0);
	unlink(path);
	cr_assert_eq(make(fd), 0);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* A frame here and a frame there, over all that 36 bits can name; the books would take gigabytes.
 */
static void strewn(struct builder *b, unsigned int passes)
{
	static uint64_t e[1024];

	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, true, true);
	for (unsigned int p = 0; p < passes; p++)
		for (uint64_t i = 0; i < 1 << (SANITIZED ? 16 : 20); i += 1024) {
			for (uint64_t k = 0; k < 1024; k++)
				e[k] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, (i + k) << 16 | p);
			builder_page_data(b, e, 1024, NULL);
		}
	builder_context(b);
	builder_end(b, false, 0);
}

/* As far from each other as one record can have them. */
static void strewn_in_records(struct builder *b)
{
	static uint64_t e[8192];

	builder_begin(b, XR_EMIT_BARE, 3, false);
	builder_static(b, true, true);
	for (uint64_t i = 0; i < 4; i++) {
		for (uint64_t k = 0; k < 8192; k++)
			e[k] = XR_EMIT_ENTRY(XR_EMIT_XALLOC, k << 23 | i << 12);
		builder_page_data(b, e, 8192, NULL);
	}
	builder_context(b);
	builder_end(b, false, 0);
}

static void expect_bounded(int fd, int want)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		_exit(measure(fd, want));
	close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_neq(WEXITSTATUS(status), 255);
	if (SANITIZED) /* its own memory hides the engine's */
		return;
	cr_assert_leq((unsigned int)WEXITSTATUS(status), LIMIT_KIB >> 10, "%d MiB",
		      WEXITSTATUS(status));
}

Test(memory, of_frames_strewn_over_all_there_is)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct builder b;
		struct feed f;

		strewn(&b, 2);
		cr_assert_eq(feed_open(&f, kind, builder_data(&b), builder_size(&b), 1), 0);
		builder_free(&b);
		expect_bounded(dup(f.fd), SANITIZED ? 0 : -EOPNOTSUPP);
		feed_close(&f); /* only then the writer of a pipe ends */
	}
}

Test(memory, of_a_record_strewn_over_all_there_is)
{
	for (enum feed_kind kind = FEED_FILE; kind <= FEED_PIPE; kind++) {
		struct builder b;
		struct feed f;

		strewn_in_records(&b);
		cr_assert_eq(feed_open(&f, kind, builder_data(&b), builder_size(&b), 1), 0);
		builder_free(&b);
		expect_bounded(dup(f.fd), 0);
		feed_close(&f);
	}
}

Test(memory, of_a_terabyte_through_a_pipe)
{
	expect_bounded(pipe_source(full), 0);
}

Test(memory, of_a_terabyte_full_of_holes_through_a_pipe)
{
	expect_bounded(pipe_source(thin), 0);
}

Test(memory, of_a_terabyte_full_of_holes_in_a_file)
{
	expect_bounded(file_source(thin), 0);
}

Test(memory, of_records_that_are_kept_through_a_pipe)
{
	expect_bounded(pipe_source(thin_and_wordy), 0);
}

Test(memory, of_records_that_are_kept_in_a_file)
{
	expect_bounded(file_source(thin_and_wordy), 0);
}
