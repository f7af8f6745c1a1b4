/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restores inside the sandbox: all kinds work, on the model host, and nothing gets through. */
#include "copy/copy.h"
#include "engine/crew.h"
#include "engine/rig.h"
#include "lib/isolate.h"
#include "lib/restore.h"
#include "lib/sanitizer.h"
#include "probe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xentoollog.h>

#define RECORDS 8u
#define PAGES 64u

struct way {
	enum feed_kind feed;
	enum xr_worker_kind kind;
	enum xr_io io;
	bool threads; /* the caller has some: workers are spawned, not forked */
	bool sandbox;
	char told[2048];
	unsigned int through;
};

static int probe_here(unsigned int missing, void *opaque)
{
	struct way *w = opaque;

	(void)missing;
	w->through = probe_all(IN_ENGINE, w->told, sizeof(w->told));
	return 0;
}

/* Two passes: the second takes frames away, so that workers leave and others follow. */
static void make_stream(struct rig *g)
{
	uint64_t e[PAGES];

	rig_init(g, 1u << 16, 3);
	builder_static(&g->b, true, true);
	for (unsigned int k = 0; k < RECORDS; k++) {
		for (uint64_t i = 0; i < PAGES; i++)
			e[i] = XR_EMIT_ENTRY(XR_EMIT_NOTAB, k * PAGES + i);
		builder_page_data(&g->b, e, PAGES, NULL);
	}
	for (uint64_t i = 0; i < PAGES; i++)
		e[i] = XR_EMIT_ENTRY(i < 10 ? XR_EMIT_NOTAB : XR_EMIT_XTAB, 100 + i);
	builder_page_data(&g->b, e, PAGES, NULL);
	rig_tail(g);
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static bool with_threads(void)
{
	pthread_t t;

	setenv("XENRESTORE_WORKER", XR_TEST_WORKER, 1);
	return pthread_create(&t, NULL, wait_for_ever, NULL) == 0;
}

static bool restores(void *arg, char *why, size_t room)
{
	struct way *w = arg;
	struct rig g;

	make_stream(&g);
	if (w->threads && !with_threads())
		return false;
	if (feed_open(&g.feed, w->feed, builder_data(&g.b), builder_size(&g.b), 1))
		return false;
	g.set.fd = g.feed.fd;
	g.set.worker_kind = w->kind;
	g.set.io = w->io;
	g.set.sandbox = true;
	g.set.callbacks.static_data_done = probe_here;
	g.set.opaque = w;
	if (restore_once(&g.set, &g.res, &g.err)) {
		snprintf(why, room, "%s", g.err.text);
		return false;
	}
	snprintf(why, room, "%u got through:%s, sandboxed %d, kind %d", w->through, w->told,
		 g.res.sandboxed, g.res.worker_kind);
	rig_expect_page(&g, 70, 4);
	rig_expect_page(&g, 104, 3 + RECORDS);
	rig_expect_clean(&g);
	return !w->through && g.res.sandboxed && g.res.worker_kind == w->kind &&
	       g.res.pages_populated == RECORDS * PAGES - (PAGES - 10);
}

static void expect_restores(struct way w)
{
	char why[ISOLATE_WHY];

	if (w.kind == XR_WORKER_PROCESS && NO_PROCESSES)
		return;
	cr_expect(isolated(restores, &w, why), "%s, workers %d, io %d, threads %d: %s",
		  feed_kind_name(w.feed), w.kind, w.io, w.threads, why);
}

Test(inside, every_kind_of_restore_works, .timeout = 300)
{
	for (enum feed_kind feed = FEED_FILE; feed < FEED_KINDS; feed++)
		for (enum xr_io io = XR_IO_URING; io <= XR_IO_PLAIN; io++) {
			struct way w = { .feed = feed, .io = io };

			w.kind = XR_WORKER_THREAD;
			expect_restores(w);
			w.kind = XR_WORKER_PROCESS;
			expect_restores(w);
			w.threads = true;
			expect_restores(w);
		}
}

/* --- a worker process of the model host ------------------------------------------------------- */

struct seen {
	char told[2048];
	unsigned int asked, through;
};

static struct seen *seen; /* shared with workers */
static const struct xr_host_ops *real;

static void *probe_and_map(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err)
{
	if (!__atomic_fetch_add(&seen->asked, 1, __ATOMIC_ACQ_REL))
		seen->through = probe_all(IN_WORKER, seen->told, sizeof(seen->told));
	return real->map(m, n, gfns, err);
}

static int write_page(struct xr_copy *c, uint64_t pfn, int fd, struct xr_error *err)
{
	int rc = xr_copy_begin(c, NULL, &pfn, 1, false, err);

	(void)fd;
	if (!rc)
		rc = xr_copy_data(c, 0, 1, NULL, -1, 0, err);
	if (!rc)
		rc = xr_copy_end(c, err);
	return rc ? rc : xr_copy_drain(c, err);
}

static bool worker_probes(void *arg, char *why, size_t room)
{
	const uint64_t pfn = 5;
	static struct xr_host_ops ops;
	struct xr_copy_config cfg = { .workers = 1, .kind = XR_WORKER_PROCESS };
	struct xr_copy *c = NULL;
	struct xr_host *host;
	struct xr_error err;
	struct rig g;
	int rc;

	(void)arg;
	rig_init(&g, 1u << 10, 3);
	if (xr_host_model_open(&host, g.model) || host->ops->populate(host, 0, 1, &pfn, NULL) != 1)
		return false;
	real = host->ops;
	ops = *real;
	ops.map = probe_and_map;
	host->ops = &ops;
	cfg.fd = memfd_create("contents", MFD_CLOEXEC);
	cfg.sandbox = true;
	if (cfg.fd < 0 || ftruncate(cfg.fd, XR_PAGE_SIZE))
		return false;
	rc = xr_copy_open(&c, host, &cfg, &err);
	if (!rc)
		rc = write_page(c, pfn, cfg.fd, &err);
	if (rc)
		snprintf(why, room, "%s", err.text);
	else
		snprintf(why, room, "asked %u, %u got through:%s", seen->asked, seen->through,
			 seen->told);
	xr_copy_close(&c);
	rig_expect_zero(&g, pfn);
	return !rc && seen->asked && !seen->through;
}

Test(inside, a_worker_of_the_model_is_confined)
{
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)seen, MAP_FAILED);
	cr_expect(isolated(worker_probes, NULL, why), "%s", why);
	munmap(seen, sizeof(*seen));
}

/* The program that is spawned has another main() than ours: it says what it saw on standard error.
 */
static bool spawned_worker_probes(void *arg, char *why, size_t room)
{
	struct way *w = arg;
	const int fd = memfd_create("said", 0);
	char said[4096] = "";
	unsigned int n = 0;
	bool good;

	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || !with_threads())
		return false;
	setenv("XENRESTORE_WORKER", PROBING_WORKER, 1);
	w->told[0] = 0;
	w->threads = false; /* there is one already */
	good = restores(w, why, room);
	if (pread(fd, said, sizeof(said) - 1, 0) < 0 || !good)
		return false;
	snprintf(why, room, "it says: %s", said);
	for (const char *line = said; (line = strstr(line, "probed worker: ")); line++, n++)
		good = good && !strncmp(line, "probed worker: 0 got", 20);
	return good && n;
}

Test(inside, a_worker_that_is_spawned_is_confined)
{
	struct way w = { .feed = FEED_FILE, .kind = XR_WORKER_PROCESS };
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	for (; w.feed <= FEED_PIPE; w.feed++)
		cr_expect(isolated(spawned_worker_probes, &w, why), "%s: %s",
			  feed_kind_name(w.feed), why);
}

/* --- the crew, as /proc shows it ---------------------------------------------------------------
 */

#define WORKERS 2u

static int status_of(pid_t pid, const char *key)
{
	char path[32], line[128];
	int value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = atoi(line + strlen(key));
	if (f)
		fclose(f);
	return value;
}

static bool has_filters(const char *name, unsigned int n, int filters, char *why, size_t room)
{
	pid_t pid[WORKERS] = { 0 };
	const unsigned int found = crew_find(name, pid, n);

	snprintf(why, room, "%u %s", found, name);
	for (unsigned int i = 0; i < n; i++) {
		const int mode = status_of(pid[i], "Seccomp:"),
			  nnp = status_of(pid[i], "NoNewPrivs:"),
			  count = status_of(pid[i], "Seccomp_filters:");

		snprintf(why, room, "%u %s: mode %d, %d filters, no_new_privs %d", found, name,
			 mode, count, nnp);
		/* Before Linux 5.9 they are not counted. */
		if (mode != (filters ? 2 : 0) || (count >= 0 && count != filters) || nnp != 1)
			return false;
	}
	return found == n;
}

static bool crew_is_confined(void *arg, char *why, size_t room)
{
	struct way *w = arg;
	struct xr_restore *r;
	struct rig g;
	bool good;

	setpgid(0, 0);
	make_stream(&g);
	if (w->threads && !with_threads())
		return false;
	if (feed_open(&g.feed, FEED_FILE, builder_data(&g.b), builder_size(&g.b), 1))
		return false;
	g.set.fd = g.feed.fd;
	g.set.workers = WORKERS;
	g.set.worker_kind = XR_WORKER_PROCESS;
	g.set.sandbox = w->sandbox;
	if (xr_open(&r, &g.set, &g.err)) {
		snprintf(why, room, "%s", g.err.text);
		return false;
	}
	good = has_filters("xr-nursery", 1, w->sandbox ? 1 : 0, why, room) &&
	       has_filters("xr-copy", WORKERS, w->sandbox ? 2 : 0, why, room);
	xr_close(&r);
	feed_close(&g.feed);
	rig_free(&g);
	return good;
}

Test(inside, workers_have_a_filter_upon_that_of_the_nursery)
{
	char why[ISOLATE_WHY];

	if (NO_PROCESSES)
		cr_skip_test("no worker processes in this build");
	for (unsigned int i = 0; i < 4; i++) {
		struct way w = { .threads = i & 1, .sandbox = i & 2 };

		cr_expect(isolated(crew_is_confined, &w, why), "threads %d, sandbox %d: %s",
			  w.threads, w.sandbox, why);
	}
}

/* --- a kernel that has no filters, or refuses one --------------------------------------------- */

struct ear {
	struct xentoollog_logger logger;
	unsigned int warnings;
};

static void hear(struct xentoollog_logger *l, xentoollog_level level, int errnoval,
		 const char *context, const char *format, va_list al)
{
	(void)errnoval, (void)context, (void)al;
	((struct ear *)l)->warnings += level == XTL_WARN && strstr(format, "without a sandbox");
}

/* From now on seccomp() fails so. */
static bool no_seccomp(int error)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	bool done = ctx &&
		    !seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)error), SCMP_SYS(seccomp), 0);

	done = done && !seccomp_load(ctx);
	seccomp_release(ctx);
	return done;
}

static int restore_with(struct rig *g, struct ear *ear, int error)
{
	make_stream(g);
	g->set.sandbox = true;
	g->set.logger = &ear->logger;
	return no_seccomp(error) ? rig_run(g, FEED_PIPE) : 1;
}

static bool goes_on(void *arg, char *why, size_t room)
{
	struct ear ear = { .logger = { .vmessage = hear } };
	struct rig g;
	int rc = restore_with(&g, &ear, ENOSYS);

	(void)arg;
	snprintf(why, room, "%d, %s, %u warnings, sandboxed %d", rc, g.err.text, ear.warnings,
		 g.res.sandboxed);
	return !rc && ear.warnings == 1 && !g.res.sandboxed;
}

static bool fails(void *arg, char *why, size_t room)
{
	struct ear ear = { .logger = { .vmessage = hear } };
	struct rig g;
	int rc = restore_with(&g, &ear, EACCES);

	(void)arg;
	snprintf(why, room, "%d, %s", rc, g.err.text);
	return rc == -EACCES && g.err.host_failed && strstr(g.err.text, "Permission denied");
}

Test(inside, a_kernel_without_filters_is_told_of)
{
	char why[ISOLATE_WHY];

	cr_expect(isolated(goes_on, NULL, why), "%s", why);
}

Test(inside, a_filter_that_cannot_be_put_on_fails_the_restore)
{
	char why[ISOLATE_WHY];

	cr_expect(isolated(fails, NULL, why), "%s", why);
}
