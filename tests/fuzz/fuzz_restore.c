/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole restore into the model host, of a stream that the input is a recipe for: whatever the
 * stream, the domain and the settings, it ends with the guest that the stream tells or with one
 * error that says why, and nothing is left behind. Built with FUZZ_WORKERS worker threads and, if
 * FUZZ_FAULTS, with host calls, calls to the C library and reads that fail as the input says.
 */
#include "fuzz/recipe.h"
#include "lib/refmodel.h"
#include "lib/sanitizer.h"
#include "props/check.h"

#include <errno.h>
#include <fcntl.h>
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
	struct refmodel ref;
	size_t ref_end; /* 0: the reference model cannot read it */
	struct xr_model *model;
	uint64_t most; /* pages of the domain */
	int fd;
	bool sprung; /* something failed */
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

static void set_up_domain(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	const uint64_t least = r->start_pages + a->ref.peak;
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

/* All of it fits in, so nobody need write while it is read. */
static void open_pipe(struct attempt *a)
{
	int fds[2];

	fuzz_claim(!pipe2(fds, O_CLOEXEC) && fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) >= 0 &&
			   !write_all(fds[1], a->recipe.bytes, a->recipe.size) && !close(fds[1]),
		   "no pipe to read from");
	a->fd = fds[0];
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
		return lseek(a->fd, 0, SEEK_CUR) == (off_t)(r->start + a->ref_end) ||
		       why_not(&a->why, "the file's offset is not behind END");
	while ((n = read(a->fd, buf, sizeof(buf))) > 0)
		left += n;
	return (size_t)left == r->size - a->ref_end ||
	       why_not(&a->why, "%zd bytes are left behind END, not %zu", left,
		       r->size - a->ref_end);
}

/* Without memory there are frames, but no contents to look at. */
static bool check_frames(struct attempt *a)
{
	struct xr_model_stats st;
	uint64_t at = 0;

	for (uint64_t i = 0; i < a->ref.backed; i++) {
		if (xr_model_next(a->model, at) != a->ref.pfns[i])
			return why_not(&a->why, "pfn %#lx: not backed, or others are",
				       a->ref.pfns[i]);
		at = a->ref.pfns[i] + 1;
	}
	xr_model_stats(a->model, &st);
	return st.tot_pages == a->recipe.start_pages + a->ref.backed ||
	       why_not(&a->why, "the domain owns %lu pages", st.tot_pages);
}

static bool check_success(struct attempt *a)
{
	const struct recipe *r = &a->recipe;

	if (!a->ref_end)
		return why_not(&a->why, "succeeded, but the stream is broken: %s", a->ref.broken);
	a->ref.params[2] = STORE_PORT;
	a->ref.params[18] = CONSOLE_PORT;
	if (r->memory && !check_guest(&a->why, a->model, &a->ref))
		return false;
	if (!check_frames(a) || !check_domain(&a->why, a->model, &a->ref, r->start_pages) ||
	    !check_rest(a))
		return false;
	return a->res.pages_populated == a->ref.backed && a->res.records == a->ref.records &&
			       a->res.pages_written <= a->res.pages_received
		       ? true
		       : why_not(&a->why, "the result does not say what was done");
}

/* On a pipe the frames of a record are asked for before it is whole. The domain's limit is that of
 * the records which are. */
static bool cut_in_a_record(const struct attempt *a)
{
	return a->rc == -E2BIG && a->err.pfn != XR_NO_PFN && !refmodel_backed(&a->ref, a->err.pfn);
}

static bool check(struct attempt *a)
{
	const struct recipe *r = &a->recipe;
	const bool must = r->sound && !a->sprung && a->most >= r->start_pages + a->ref.peak;

	if (!check_habits(&a->why, a->model))
		return false;
	if (!a->rc)
		return (!r->cut || why_not(&a->why, "the stream was cut off")) && check_success(a);
	if (must)
		return why_not(&a->why, "failed with %d: %s", a->rc, a->err.text);
	if (r->cut && !a->sprung && r->room >= 0 && a->rc != -ENODATA && a->rc != -EBADMSG &&
	    !cut_in_a_record(a))
		return why_not(&a->why, "cut off, it gives %d: %s", a->rc, a->err.text);
	return check_error(&a->why, a->rc, &a->err);
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
	refmodel_init(&a.ref);
	a.ref_end = refmodel_stream(&a.ref, a.recipe.bytes, a.recipe.size, a.recipe.b.libxc_offset);
	attempt(&a);
	refmodel_free(&a.ref);
	recipe_free(&a.recipe);
	return 0;
}
