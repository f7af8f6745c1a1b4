/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a cancel takes: restores of a generated guest that another thread cancels at a random
 * moment, in several shapes. Not a test, as it depends on the machine: run it on an idle one.
 *
 *	cancel-latency [TRIES [MIB [SHAPE...]]]
 */
#include "base/clock.h"
#include "generate/generate.h"
#include "host/model.h"
#include "lib/rng.h"
#include "xenrestore.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_NS 100000000u

enum source { FROM_FILE, FROM_PIPE, FROM_STALLED_PIPE };

struct shape {
	const char *name;
	enum source source;
	enum xr_worker_kind kind;
	enum xr_policy policy;
	unsigned int max_order;
	bool types_only; /* no contents: all is backed behind the last record */
	unsigned int passes, dirty_permille;
};

static const struct shape shapes[] = {
	{ "file-threads", FROM_FILE, XR_WORKER_THREAD, XR_POLICY_EXACT, 9, false, 3, 100 },
	{ "file-processes", FROM_FILE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 9, false, 3, 100 },
	{ "file-4k", FROM_FILE, XR_WORKER_PROCESS, XR_POLICY_4K, 0, false, 2, 100 },
	{ "file-scattered", FROM_FILE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 9, false, 200, 2 },
	{ "file-no-contents", FROM_FILE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 9, true, 1, 0 },
	{ "pipe-threads", FROM_PIPE, XR_WORKER_THREAD, XR_POLICY_EXACT, 9, false, 2, 100 },
	{ "pipe-processes", FROM_PIPE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 9, false, 2, 100 },
	{ "pipe-speculative", FROM_PIPE, XR_WORKER_PROCESS, XR_POLICY_SPECULATIVE, 9, false, 2,
	  100 },
	{ "pipe-stalled", FROM_STALLED_PIPE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 9, false, 1, 0 },
	{ "file-1g", FROM_FILE, XR_WORKER_PROCESS, XR_POLICY_EXACT, 18, false, 1, 0 },
};

struct canceller {
	struct xr_restore *r;
	uint64_t delay, at; /* ns */
};

struct samples {
	uint64_t *run, *close; /* ns from the cancel to the return of xr_run(), of xr_close() */
	unsigned int n;
	uint64_t worst, worst_delay;
};

static void *cancel_later(void *arg)
{
	struct canceller *c = arg;
	const struct timespec t = { (time_t)(c->delay / 1000000000),
				    (long)(c->delay % 1000000000) };

	nanosleep(&t, NULL);
	c->at = xr_now();
	xr_cancel(c->r);
	return NULL;
}

static int make_stream(const struct shape *s, uint64_t bytes)
{
	struct xr_gen_options o;
	int fd = memfd_create("stream", MFD_CLOEXEC);

	xr_gen_options_default(&o);
	o.size_bytes = bytes;
	o.passes = s->passes;
	o.dirty_permille = s->dirty_permille;
	o.types_only = s->types_only;
	if (fd < 0 || xr_generate(fd, &o, NULL)) {
		perror("cannot make a stream");
		exit(1);
	}
	return fd;
}

/* A pipe, and a process that writes `bytes` of the stream into it, then waits. */
static int open_pipe(int stream, off_t bytes, pid_t *writer)
{
	int fd[2];

	if (pipe(fd))
		exit(1);
	*writer = fork();
	if (*writer == 0) {
		off_t at = 0;

		close(fd[0]);
		while (at < bytes && sendfile(fd[1], stream, &at, (size_t)(bytes - at)) > 0)
			;
		pause();
		_exit(0);
	}
	close(fd[1]);
	return fd[0];
}

#define NEVER UINT64_MAX

/* One restore, cancelled after `delay`. Returns how long it took. */
static uint64_t once(const struct shape *s, int stream, uint64_t delay, struct rng *rng,
		     struct samples *out)
{
	const off_t all = lseek(stream, 0, SEEK_END);
	struct canceller c = { .delay = delay };
	struct xr_settings set;
	struct xr_error err;
	uint64_t began, ran;
	pid_t writer = 0;
	pthread_t t;
	int rc;

	xr_settings_default(&set);
	set.host = XR_HOST_MODEL;
	set.worker_kind = s->kind;
	set.policy = s->policy;
	set.max_order = s->max_order;
	lseek(stream, 0, SEEK_SET);
	set.fd = stream;
	if (s->source != FROM_FILE)
		set.fd = open_pipe(
			stream, s->source == FROM_PIPE ? all : (off_t)rng_below(rng, (uint64_t)all),
			&writer);
	if (xr_open(&c.r, &set, &err)) {
		fprintf(stderr, "%s: %s\n", s->name, err.text);
		exit(1);
	}
	began = xr_now();
	if (delay != NEVER)
		pthread_create(&t, NULL, cancel_later, &c);
	rc = xr_run(c.r, NULL, &err);
	ran = xr_now();
	if (delay != NEVER)
		pthread_join(t, NULL);
	xr_close(&c.r);
	if (rc == -ECANCELED) {
		if (ran - c.at > out->worst) {
			out->worst = ran - c.at;
			out->worst_delay = c.at - began;
		}
		out->run[out->n] = ran - c.at;
		out->close[out->n++] = xr_now() - c.at;
	} else if (rc) {
		fprintf(stderr, "%s: %s\n", s->name, err.text);
	}
	if (writer) {
		close(set.fd);
		kill(writer, SIGKILL);
		waitpid(writer, NULL, 0);
	}
	return ran - began;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void show(const char *what, uint64_t *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), by_size);
	printf("  %s median %6.1f p90 %6.1f max %6.1f ms", what, (double)v[n / 2] / 1e6,
	       (double)v[n * 9 / 10] / 1e6, (double)v[n - 1] / 1e6);
}

/* False: some cancel took longer than it may. */
static bool measure(const struct shape *s, unsigned int tries, uint64_t bytes)
{
	struct samples out = { calloc(tries, sizeof(uint64_t)), calloc(tries, sizeof(uint64_t)), 0,
			       0, 0 };
	struct rng rng = { .state = (uint64_t)(s - shapes) + 1 };
	const int stream = make_stream(s, bytes);
	uint64_t whole = 400000000;
	bool ok = true;

	if (s->source != FROM_STALLED_PIPE)
		whole = once(s, stream, NEVER, &rng, &out);
	while (out.n < tries)
		once(s, stream, rng_below(&rng, whole), &rng, &out);
	printf("%-17s whole %5.0f ms, %u cancels:", s->name, (double)whole / 1e6, out.n);
	show("run", out.run, out.n);
	show("close", out.close, out.n);
	ok = out.run[out.n - 1] < LIMIT_NS;
	printf(", worst when cancelled at %.0f ms%s\n", (double)out.worst_delay / 1e6,
	       ok ? "" : ": TOO LONG");
	fflush(stdout);
	free(out.run);
	free(out.close);
	close(stream);
	return ok;
}

static bool named(const struct shape *s, int argc, char **argv)
{
	for (int i = 3; i < argc; i++)
		if (!strcmp(argv[i], s->name))
			return true;
	return argc <= 3;
}

int main(int argc, char **argv)
{
	const unsigned int tries = argc > 1 ? (unsigned int)atoi(argv[1]) : 40;
	const uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 1024;
	bool ok = true;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (named(&shapes[i], argc, argv))
			ok &= measure(&shapes[i], tries, mib << 20);
	return !ok;
}
