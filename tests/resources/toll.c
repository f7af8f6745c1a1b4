/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "toll.h"

#include "host/model.h"
#include "lib/status.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct xr_restore *running;

void toll_begin(struct xr_sink *s)
{
	xr_emit_headers(s, 3, false);
	xr_emit_policies(s, true, true);
	xr_emit_record(s, XR_EMIT_STATIC_DATA_END, NULL, 0);
}

void toll_end(struct xr_sink *s)
{
	xr_emit_context(s);
	xr_emit_record(s, XR_EMIT_END, NULL, 0);
}

void toll_pages(struct xr_sink *s, const uint64_t *entries, uint32_t n, uint32_t contents)
{
	static const unsigned char zeros[XR_PAGE_SIZE];

	xr_emit_record_header(s, XR_EMIT_PAGE_DATA, 8 + 8 * n + contents * XR_PAGE_SIZE);
	xr_sink_put(s, (uint32_t[]){ n, 0 }, 8);
	xr_sink_put(s, entries, (size_t)n * sizeof(*entries));
	for (uint32_t i = 0; i < contents; i++)
		xr_sink_put(s, zeros, sizeof(zeros));
}

static uint64_t cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(const struct xr_progress *p, void *opaque)
{
	struct toll *t = opaque;
	const long now = status_kib("RssAnon");

	if (now > t->peak_kib)
		t->peak_kib = now;
	if (p && ++t->progress == t->cancel)
		xr_cancel(running);
}

static void send_stream(const struct toll *t, int fd)
{
	struct xr_sink s;

	xr_sink_open(&s, fd);
	do {
		t->make(&s, t->n);
	} while (t->endless && !s.error);
	xr_sink_flush(&s);
	xr_sink_close(&s);
}

static int open_source(const struct toll *t)
{
	char path[] = "/tmp/xr-resources-XXXXXX";
	int fd[2];

	if (t->way == FEED_FILE) {
		fd[0] = mkstemp(path);
		unlink(path);
		send_stream(t, fd[0]);
		lseek(fd[0], 0, SEEK_SET);
		return fd[0];
	}
	if (pipe(fd))
		abort();
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		close(fd[0]);
		send_stream(t, fd[1]);
		_exit(0);
	}
	close(fd[1]);
	return fd[0];
}

static void limit_memory(void)
{
	const rlim_t most = (rlim_t)(status_kib("VmData") + (TOLL_LIMIT_MIB << 10)) << 10;
	const struct rlimit lim = { most, most };

	if (!SANITIZED && setrlimit(RLIMIT_DATA, &lim))
		abort();
}

static int good(void *opaque)
{
	note(NULL, opaque);
	return XR_ANSWER_GO_ON;
}

static void restore(struct toll *t)
{
	struct xr_model_settings ms;
	struct xr_model_stats st;
	struct xr_settings set;
	uint64_t cpu;
	long before;

	xr_model_settings_default(&ms);
	ms.without_memory = true;
	if (t->max_pages)
		ms.max_pages = t->max_pages;
	xr_settings_default(&set);
	if (xr_model_create(&set.model, &ms))
		abort();
	set.fd = open_source(t);
	set.host = XR_HOST_MODEL;
	set.workers = 1;
	set.worker_kind = XR_WORKER_THREAD;
	set.type = t->checkpointed ? XR_STREAM_REMUS : XR_STREAM_PLAIN;
	set.callbacks.progress = note;
	set.callbacks.checkpoint = good;
	set.opaque = t;
	limit_memory();
	before = status_kib("RssAnon");
	cpu = cpu_now();
	t->rc = xr_open(&running, &set, &t->err);
	if (!t->rc)
		t->rc = xr_run(running, &t->res, &t->err);
	t->cpu_ns = cpu_now() - cpu;
	note(NULL, t); /* nothing is freed yet */
	t->peak_kib -= before;
	xr_close(&running);
	xr_model_stats(set.model, &st);
	t->pages_now = st.tot_pages;
	close(set.fd);
	xr_model_destroy(&set.model);
}

void toll_take(struct toll *t)
{
	struct toll *shared =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	cr_assert_neq((void *)shared, MAP_FAILED);
	*shared = *t;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		restore(shared);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	*t = *shared;
	munmap(shared, sizeof(*t));
	cr_assert_eq(status, 0, "status %#x", (unsigned int)status);
	fprintf(stderr,
		"resources: %s: %llu records, %ld KiB, %.3f s of CPU, %.2f us a record: %s\n",
		feed_kind_name(t->way), (unsigned long long)t->res.records, t->peak_kib,
		(double)t->cpu_ns / 1e9,
		t->res.records ? (double)t->cpu_ns / 1e3 / (double)t->res.records : 0,
		t->rc ? t->err.text : "done");
}
