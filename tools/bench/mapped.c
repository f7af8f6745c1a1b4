/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/mapped.h"

#include "base/clock.h"
#include "base/event.h"
#include "populate/physmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define WINDOW 1024u
#define WINDOW_BYTES ((size_t)WINDOW * XR_PAGE_SIZE)
#define REGION ((uint64_t)1 << XR_ORDER_2M)
#define WORKERS_MAX 64u
#define GENERATION ((uint64_t)64 << 10) /* frames; as of copy workers */

struct job {
	struct xr_event progress;
	uint64_t made; /* frames [0, made) are backed */
	uint64_t next; /* the next window to be claimed */
	int error;
	bool file;
	int fd;
	uint64_t bytes, frames;
	struct xr_host *host;
	uint64_t spent[BENCH_PART_COUNT]; /* ns; atomic */
	double touch_fresh, touch_again;  /* see bench_mapped */
	uint64_t ended[WORKERS_MAX];	  /* when the lane's process had done its work */
};

const char *const bench_part_names[BENCH_PART_COUNT] = { "populate", "map", "touch", "copy",
							 "unmap" };

/* Since *since, which becomes now. */
static void spend(struct job *j, enum bench_part part, uint64_t *since)
{
	const uint64_t now = xr_now();

	__atomic_fetch_add(&j->spent[part], now - *since, __ATOMIC_RELAXED);
	*since = now;
}

static void fail(struct job *j, int error)
{
	int none = 0;

	__atomic_compare_exchange_n(&j->error, &none, error, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
	xr_event_signal(&j->progress);
}

static bool wait_made(struct job *j, uint64_t upto)
{
	for (;;) {
		uint32_t seen = xr_event_value(&j->progress);

		if (__atomic_load_n(&j->error, __ATOMIC_RELAXED))
			return false;
		if (__atomic_load_n(&j->made, __ATOMIC_ACQUIRE) >= upto)
			return true;
		xr_event_wait(&j->progress, seen, 1000);
	}
}

static int fill(const struct job *j, unsigned char *to, size_t bytes, uint64_t at,
		const unsigned char *from)
{
	if (!j->file) {
		memcpy(to, from, bytes);
		return 0;
	}
	while (bytes) {
		/* A stream with many holes is smaller than its guest: read the same again. */
		uint64_t left = j->bytes - at % j->bytes;
		ssize_t n = pread(j->fd, to, bytes < left ? bytes : left, (off_t)(at % j->bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		to += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/*
 * By the one that writes the contents, the kernel or this process: where the hypervisor keeps page
 * tables of its own, what is made good for one is not for the other.
 */
static void touch(const struct job *j, unsigned char *at, size_t n)
{
	struct iovec byte[WINDOW];

	for (size_t i = 0; i < n; i++) {
		byte[i] = (struct iovec){ at + i * XR_PAGE_SIZE, 1 };
		if (!j->file)
			*(volatile unsigned char *)byte[i].iov_base = 1;
	}
	if (j->file && preadv(j->fd, byte, (int)n, 0) < 0)
		return; /* the copy will tell */
}

static int write_window(struct job *j, struct xr_mapper *m, uint64_t first,
			const unsigned char *from)
{
	uint64_t gfns[WINDOW] = { 0 };
	int err[WINDOW];
	size_t n = j->frames - first < WINDOW ? j->frames - first : WINDOW;
	uint64_t since = xr_now();
	unsigned char *at;
	int rc;

	for (size_t i = 0; i < n; i++)
		gfns[i] = first + i;
	at = m->ops->map(m, n, gfns, err);
	if (!at)
		return -errno;
	for (size_t i = 0; i < n; i++)
		if (err[i])
			return err[i];
	spend(j, BENCH_PART_MAP, &since);
	touch(j, at, n);
	spend(j, BENCH_PART_TOUCH, &since);
	rc = fill(j, at, n * XR_PAGE_SIZE, first << XR_PAGE_SHIFT, from);
	spend(j, BENCH_PART_COPY, &since);
	return rc;
}

/* Mappings are left to the end of the process, the cheapest way to be rid of them. */
static int work(struct job *j, unsigned int lane)
{
	unsigned char *from = malloc(WINDOW_BYTES);
	struct xr_mapper *m = NULL;
	int rc = from ? j->host->ops->mapper_open(j->host, &m) : -ENOMEM;

	if (!rc)
		memset(from, 0x5a, WINDOW_BYTES);
	for (uint64_t done = 0; !rc && done < GENERATION; done += WINDOW) {
		uint64_t first = __atomic_fetch_add(&j->next, WINDOW, __ATOMIC_RELAXED);
		uint64_t end = first + WINDOW < j->frames ? first + WINDOW : j->frames;

		if (first >= j->frames || !wait_made(j, end))
			break;
		rc = write_window(j, m, first, from);
	}
	free(from);
	j->ended[lane] = xr_now();
	return rc;
}

static int drain(struct job *j, unsigned int lane)
{
	unsigned char *to = malloc(WINDOW_BYTES);
	uint64_t got = 0;
	int rc = to ? 0 : -ENOMEM;

	fcntl(j->fd, F_SETPIPE_SZ, 1 << 20);
	while (!rc && got < j->bytes) {
		ssize_t n = read(j->fd, to, WINDOW_BYTES);

		if (n > 0)
			got += (uint64_t)n;
		else if (n == 0 || errno != EINTR)
			rc = n ? -errno : -ENODATA;
	}
	(void)lane;
	free(to);
	return rc;
}

static pid_t start(struct job *j, int (*body)(struct job *j, unsigned int lane), unsigned int lane)
{
	const pid_t parent = getpid();
	pid_t pid = fork();
	int rc;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	rc = body(j, lane);
	if (rc)
		fail(j, rc);
	_exit(rc ? 1 : 0);
}

static void await_end(struct job *j, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status))
		fail(j, -ECHILD);
}

/* One process after the other, for what a mapping costs grows with the number of those that are
 * kept. */
static int generations(struct job *j, unsigned int lane)
{
	pid_t pid;

	do {
		pid = start(j, work, lane);
		if (pid < 0)
			return -errno;
		await_end(j, pid);
		spend(j, BENCH_PART_UNMAP, &j->ended[lane]);
	} while (!__atomic_load_n(&j->error, __ATOMIC_RELAXED) &&
		 __atomic_load_n(&j->next, __ATOMIC_RELAXED) < j->frames);
	return 0;
}

static int touch_old_frames(struct job *j, unsigned int lane)
{
	const size_t n = j->frames < WINDOW ? j->frames : WINDOW;
	uint64_t gfns[WINDOW], begun, between;
	struct xr_mapper *m;
	int err[WINDOW];
	unsigned char *at;
	int rc = j->host->ops->mapper_open(j->host, &m);

	(void)lane;
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		gfns[i] = i;
	at = m->ops->map(m, n, gfns, err);
	if (!at)
		return -errno;
	begun = xr_now();
	touch(j, at, n);
	between = xr_now();
	touch(j, at, n);
	j->touch_again = (double)(xr_now() - between) / 1e9 / (double)n;
	j->touch_fresh = (double)(between - begun) / 1e9 / (double)n;
	return 0;
}

static int populate(struct job *j)
{
	uint64_t gfns[XR_BATCH_2M], since = xr_now();

	for (uint64_t at = 0; at < j->frames;) {
		size_t n = 0;

		while (n < XR_BATCH_2M && at + n * REGION < j->frames) {
			gfns[n] = at + n * REGION;
			n++;
		}
		if (j->host->ops->populate(j->host, XR_ORDER_2M, n, gfns, NULL) != (long)n)
			return -ENOMEM;
		spend(j, BENCH_PART_POPULATE, &since);
		at += n * REGION;
		__atomic_store_n(&j->made, at, __ATOMIC_RELEASE);
		xr_event_signal(&j->progress);
		since = xr_now();
	}
	return 0;
}

static void run(struct job *j, unsigned int workers)
{
	pid_t pid[WORKERS_MAX + 1] = { 0 };
	unsigned int n = 0, want = workers + !j->file;
	int rc = 0;

	for (; n < want; n++) {
		pid[n] = start(j, n < workers ? generations : drain, n);
		if (pid[n] < 0) {
			rc = -errno;
			break;
		}
	}
	if (!rc)
		rc = populate(j);
	if (rc)
		fail(j, rc);
	while (n)
		await_end(j, pid[--n]);
}

static int look_again(struct job *j, struct bench_mapped *out)
{
	const pid_t pid = start(j, touch_old_frames, 0);

	if (pid < 0)
		return -errno;
	await_end(j, pid);
	out->touch_fresh = j->touch_fresh;
	out->touch_again = j->touch_again;
	return j->error;
}

int bench_mapped_run(int fd, uint64_t bytes, uint64_t frames, unsigned int workers,
		     struct xr_model *model, struct bench_mapped *out)
{
	struct job *j =
		mmap(NULL, sizeof(*j), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct xr_host *host = NULL;
	struct stat st;
	uint64_t begun;
	int rc;

	if (j == MAP_FAILED)
		return -errno;
	rc = xr_host_model_open(&host, model);
	if (rc)
		goto out;
	xr_event_init(&j->progress);
	j->file = !fstat(fd, &st) && S_ISREG(st.st_mode);
	j->fd = fd;
	j->bytes = bytes;
	j->frames = frames;
	j->host = host;
	begun = xr_now();
	run(j, workers < WORKERS_MAX ? workers : WORKERS_MAX);
	out->seconds = (double)(xr_now() - begun) / 1e9;
	for (unsigned int i = 0; i < BENCH_PART_COUNT; i++)
		out->part[i] = (double)j->spent[i] / 1e9;
	rc = j->error ? j->error : look_again(j, out);
out:
	if (host)
		host->ops->close(host);
	munmap(j, sizeof(*j));
	return rc;
}
