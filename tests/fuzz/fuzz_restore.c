/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole restore into the model host, of a stream that the input is a recipe for: whatever the
 * stream, the domain and the settings, it ends with the guest that the stream tells (up to its last
 * complete checkpoint, where it has some) or with one error that says why, and nothing is left
 * behind. Built with FUZZ_WORKERS worker threads and, if
 * FUZZ_FAULTS, with host calls, calls to the C library and reads that fail as the input says.
 */
#include "fuzz/expect.h"
#include "lib/feed.h"
#include "lib/sanitizer.h"
#include "props/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STORE_PORT 5u
#define CONSOLE_PORT 6u
#define MAX_PAGES ((uint64_t)1 << 20) /* of the domain: bounds what an input can cost */
#define MAX_MEMORY 12000u	      /* the same, with memory behind it */
#define FDS 64

struct attempt {
	struct recipe recipe;
	struct expect x;
	struct xr_model *model;
	uint64_t most; /* pages of the domain */
	int fd;
	bool sprung;  /* something failed */
	bool waiting; /* something might have */
	int rc;
	struct xr_error err;
	struct xr_result res;
	struct why why;
	char text[512];
};

/* Made once: with memory behind the frames, and without. */
static struct xr_model *model(bool memory)
{
	static struct xr_model *models[2];
	struct xr_model_settings set;

	if (models[memory])
		return models[memory];
	xr_model_settings_default(&set);
	set.no_huge = true;
	set.without_memory = !memory;
	fuzz_claim(!xr_model_create(&models[memory], &set), "no model");
	return models[memory];
}

/* Pages of the domain, so that nothing is lacking. */
static uint64_t needs(const struct attempt *a)
{
	return a->recipe.start_pages + (a->recipe.pv ? a->recipe.pfns : a->x.ref.peak);
}

static void set_up_domain(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	const uint64_t least = needs(a);
	struct xr_model_settings set;

	xr_model_settings_default(&set);
	a->most = r->room < 0 && least < (uint64_t)-r->room ? 0 : least + (uint64_t)r->room;
	if (a->most > (r->memory ? MAX_MEMORY : MAX_PAGES))
		a->most = r->memory ? MAX_MEMORY : MAX_PAGES;
	if (a->most < r->start_pages)
		a->most = r->start_pages;
	set.start_pages = r->start_pages;
	set.max_pages = a->most;
	set.fill = REF_FILL;
	set.pv = r->pv;
	set.max_vcpu_id = r->pv;
	a->model = model(r->memory);
	fuzz_claim(!xr_model_reset(a->model, &set), "the model is not reset");
	if (r->fail_from < 255)
		xr_model_fail_orders_from(a->model, r->fail_from);
}

static int write_all(int fd, const unsigned char *bytes, size_t n)
{
	while (n) {
		const ssize_t done = write(fd, bytes, n);

		if (done <= 0)
			return -1;
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

static void open_file(struct attempt *a)
{
	static int file = -1;
	const struct recipe *r = &a->recipe;

	if (file < 0)
		file = memfd_create("stream", MFD_CLOEXEC);
	fuzz_claim(file >= 0 && !ftruncate(file, 0) && lseek(file, r->start, SEEK_SET) >= 0 &&
			   !write_all(file, r->bytes, r->size) &&
			   lseek(file, r->start, SEEK_SET) >= 0,
		   "no file to read from");
	a->fd = file;
}

static void open_pipe(struct attempt *a)
{
	struct feed f;

	fuzz_claim(!feed_fill(&f, a->recipe.bytes, a->recipe.size), "no pipe to read from");
	a->fd = f.fd;
}

#ifdef FUZZ_FAULTS
static uint64_t calls(struct xr_model *m, enum xr_model_call call)
{
	struct xr_model_stats st;

	xr_model_stats(m, &st);
	return st.calls[call];
}

static void set_faults(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	for (unsigned int i = 0; i < RECIPE_FAULTS; i++) {
		const struct recipe_fault *f = &r->fault[i];

		if (f->nth)
			xr_model_fail(a->model, f->call, f->nth, f->order, f->arg);
	}
	if (r->traps)
		trap_set(r->trap, r->trap_at, r->trap == TRAP_READV ? EIO : ENOMEM, a->fd);
	if (r->reads)
		trap_read_at(a->fd, r->trap_at + (r->pipe ? 0 : r->start), r->read);
}

static void end_faults(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	a->sprung = trap_release() || r->reads;
	for (unsigned int i = 0; i < RECIPE_FAULTS; i++)
		a->sprung |=
			r->fault[i].nth && calls(a->model, r->fault[i].call) >= r->fault[i].nth;
	for (unsigned int i = 0; i < RECIPE_FAULTS; i++)
		a->waiting |= r->fault[i].nth && r->fault[i].call == XR_CALL_INFO;
}
#else
static void set_faults(struct attempt *a)
{
	(void)a;
}

static void end_faults(struct attempt *a)
{
	a->sprung = false;
}
#endif

static void restore(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	struct counterpart toolstack = { &a->x, a->fd, 0 };
	struct xr_restore *handle = NULL;
	struct xr_settings set;

	xr_settings_default(&set);
	set.fd = a->fd;
	set.layer = r->bare ? XR_LAYER_LIBXC : XR_LAYER_AUTO;
	set.host = XR_HOST_MODEL;
	set.model = a->model;
	set.store_port = STORE_PORT;
	set.console_port = CONSOLE_PORT;
	set.policy = r->policy;
	set.max_order = r->max_order;
	set.ahead_mib = r->ahead_mib;
	set.workers = FUZZ_WORKERS;
	set.worker_kind = XR_WORKER_THREAD;
	set.io = r->uring ? XR_IO_URING : XR_IO_PLAIN;
	set.type = r->checkpointed ? XR_STREAM_REMUS : XR_STREAM_PLAIN;
	set.buffer_mib = r->buffer_mib;
	set.callbacks.checkpoint = counterpart_checkpoint;
	set.opaque = &toolstack;
	a->rc = xr_open(&handle, &set, &a->err);
	if (!a->rc)
		a->rc = xr_run(handle, &a->res, &a->err);
	xr_close(&handle);
}

static bool check_rest(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	unsigned char buf[4096];
	ssize_t n, left = 0;

	if (!r->pipe)
		return lseek(a->fd, 0, SEEK_CUR) == (off_t)(r->start + a->x.ref_end) ||
		       why_not(&a->why, "the file's offset is not behind END");
	while ((n = read(a->fd, buf, sizeof(buf))) > 0)
		left += n;
	return (size_t)left == r->size - a->x.ref_end ||
	       why_not(&a->why, "%zd bytes are left behind END, not %zu", left,
		       r->size - a->x.ref_end);
}

/* Without memory there are frames, but no contents to look at. */
static bool check_frames(struct attempt *a)
{
	struct xr_model_stats st;
	uint64_t at = 0;

	for (uint64_t i = 0; i < a->x.ref.backed; i++) {
		if (xr_model_next(a->model, at) != a->x.ref.pfns[i])
			return why_not(&a->why, "pfn %#lx: not backed, or others are",
				       a->x.ref.pfns[i]);
		at = a->x.ref.pfns[i] + 1;
	}
	xr_model_stats(a->model, &st);
	return st.tot_pages == a->recipe.start_pages + a->x.ref.backed ||
	       why_not(&a->why, "the domain owns %lu pages", st.tot_pages);
}

static bool check_hvm(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	a->x.ref.params[2] = STORE_PORT;
	a->x.ref.params[18] = CONSOLE_PORT;
	if (r->memory && !check_guest(&a->why, a->model, &a->x.ref))
		return false;
	if (!check_frames(a) || !check_domain(&a->why, a->model, &a->x.ref, r->start_pages))
		return false;
	return a->res.pages_populated == a->x.ref.backed ||
	       why_not(&a->why, "the result does not say what was done");
}

static bool check_pv(struct attempt *a)
{
	const struct pvref_ports ports = { STORE_PORT, CONSOLE_PORT };

	/* The check asks the host, too, and would be who meets the fault. */
	if (a->waiting)
		return true;
	return pvref_check(&a->x.pv, a->model, &ports, a->res.store_gfn, a->res.console_gfn,
			   a->text, sizeof(a->text));
}

/* Damage behind a checkpoint leaves it as it is. */
static bool check_checkpoints(struct attempt *a)
{
	const struct expect *x = &a->x;
	const unsigned int good = a->recipe.good < x->complete ? a->recipe.good : x->complete;

	if (a->res.checkpoints > x->complete || (!a->sprung && a->res.checkpoints < good))
		return why_not(&a->why, "%lu checkpoints are said to be complete, %u are, %u good",
			       a->res.checkpoints, x->complete, good);
	if (!a->res.checkpoints || !a->res.failed_over)
		return why_not(&a->why, "succeeded without a failover to a checkpoint");
	if (a->res.checkpoints != x->upto)
		expect_upto(&a->x, (unsigned int)a->res.checkpoints);
	return true;
}

static bool check_success(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	if (r->checkpointed && !check_checkpoints(a))
		return false;
	if (!a->x.ref_end)
		return why_not(&a->why, "succeeded, but the stream is broken: %s",
			       a->x.ref.broken ? a->x.ref.broken : "not a PV guest's");
	if (!(r->pv ? check_pv(a) : check_hvm(a)))
		return false;
	if (a->res.pages_written > a->res.pages_received)
		return why_not(&a->why, "more was written than received");
	if (r->checkpointed)
		return true;
	if (!r->pv && a->res.records != a->x.ref.records)
		return why_not(&a->why, "the result has another number of records");
	return check_rest(a);
}

/* On a pipe the frames of a record are asked for before it is whole. The domain's limit is that of
 * the records which are. */
static bool cut_in_a_record(const struct attempt *a)
{
	return a->rc == -E2BIG && a->err.pfn != XR_NO_PFN &&
	       !refmodel_backed(&a->x.ref, a->err.pfn);
}

/* Cut off, it must say so. */
static bool check_cut(struct attempt *a)
{
	if (a->rc == -ENODATA || a->rc == -EBADMSG || cut_in_a_record(a))
		return true;
	return why_not(&a->why, "cut off, it gives %d: %s", a->rc, a->err.text);
}

/* A stream's end or fault is no failure where there is a checkpoint. But contents in a file are
 * read when the next one is applied, and then it is too late. */
static bool check_failure(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	if (!check_error(&a->why, a->rc, &a->err))
		return false;
	if (!r->checkpointed)
		return !r->cut || a->sprung || r->room < 0 || check_cut(a);
	return !a->res.checkpoints || a->err.host_failed || a->err.stage != XR_STAGE_STREAM ||
	       (a->sprung && !r->pipe) ||
	       why_not(&a->why, "no failover to checkpoint %lu: %s", a->res.checkpoints,
		       a->err.text);
}

static bool check(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	const bool whole = !a->sprung && (r->sound || (r->cut && r->checkpointed));
	const bool fails = r->checkpointed ? whole && a->x.fails : r->cut;

	if (!check_habits(&a->why, a->model))
		return false;
	if (a->rc && whole && !fails && a->most >= needs(a))
		return why_not(&a->why, "failed with %d: %s", a->rc, a->err.text);
	if (a->rc)
		return check_failure(a);
	if (fails)
		return why_not(&a->why, "succeeded, which it could not");
	return check_success(a);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < FDS; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A thread that was joined may be listed for a moment more. */
static unsigned long threads(unsigned long most)
{
	const struct timespec moment = { 0, 1000000 };
	struct stat st;

	for (unsigned int i = 0; i < 2000; i++) {
		if (stat("/proc/self/task", &st))
			return 0;
		if (st.st_nlink <= most)
			break;
		nanosleep(&moment, NULL);
	}
	return st.st_nlink;
}

/* For `xenrestore inspect`: the stream that a recipe makes, in a file that XR_FUZZ_STREAM names. */
static void keep_stream(const struct recipe *r)
{
	const char *path = getenv("XR_FUZZ_STREAM");
	FILE *f = path ? fopen(path, "we") : NULL;

	if (!f)
		return;
	fwrite(r->bytes, 1, r->size, f);
	fclose(f);
}

static void attempt(struct attempt *a)
{
	static unsigned long tasks;
	unsigned int fds;

	if (!tasks)
		tasks = threads(~0ul);
	if (a->recipe.pipe)
		open_pipe(a);
	else
		open_file(a);
	set_up_domain(a);
	fds = open_fds();
	set_faults(a);
	restore(a);
	end_faults(a);
	fuzz_claim(open_fds() == fds, "%u descriptors, before it were %u", open_fds(), fds);
	/* ThreadSanitizer starts one of its own when it likes. */
	fuzz_claim(a->recipe.uring || threads(tasks + TSAN) <= tasks + TSAN, "a thread is left");
	fuzz_claim(check(a), "%s", a->text);
	if (a->recipe.pipe)
		close(a->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct attempt a = { .rc = 0 };

	a.why = (struct why){ a.text, sizeof(a.text) };
	recipe_read(&a.recipe, data, size);
	keep_stream(&a.recipe);
	expect_read(&a.x, &a.recipe);
	attempt(&a);
	expect_free(&a.x);
	recipe_free(&a.recipe);
	return 0;
}
