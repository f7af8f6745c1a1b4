/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "failures/once.h"
#include "lib/restore.h"
#include "lib/sanitizer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 2u

static unsigned int entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* The kernel's own threads for an io_uring end some time after it. */
static unsigned int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	char path[300], name[16];
	unsigned int n = 0;

	while (d && (e = readdir(d))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		n += f && fgets(name, sizeof(name), f) && strncmp(name, "iou-", 4) != 0;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

static uint64_t calls_of(struct xr_model *m, unsigned int call)
{
	struct xr_model_stats st;

	xr_model_stats(m, &st);
	return st.calls[call];
}

static int restore(struct once *o, struct xr_model *m, int fd, struct xr_error *err)
{
	struct toolstack tools = { .c = o->cp, .b = o->b, .fd = fd };
	const int send_back = o->colo ? memfd_create("back", MFD_CLOEXEC) : -1;
	struct xr_settings set;
	int rc;

	xr_settings_default(&set);
	if (o->cp) {
		set.type = o->colo ? XR_STREAM_COLO : XR_STREAM_REMUS;
		set.send_back_fd = send_back;
		set.buffer_mib = o->buffer_mib;
		toolstack_install(&tools, &set);
	}
	set.fd = fd;
	set.host = XR_HOST_MODEL;
	set.model = m;
	set.policy = o->policy;
	set.workers = WORKERS;
	set.worker_kind = o->kind;
	set.io = o->io;
	rc = restore_once(&set, &o->res, err);
	if (send_back >= 0)
		close(send_back);
	o->wrong = tools.wrong;
	return rc;
}

/* What error offsets count from: a file's are its own. */
static uint64_t start_of(const struct feed *f)
{
	return f->kind == FEED_FILE ? (uint64_t)f->start : 0;
}

static void set_fault(const struct once *o, struct xr_model *m, const struct feed *f)
{
	if (o->fault == FAULT_HOST)
		xr_model_fail(m, o->call, o->nth, -1, o->arg);
	else if (o->fault == FAULT_CALL)
		trap_set(o->call, o->nth, o->arg, f->fd);
	else
		trap_read_at(f->fd, o->nth + start_of(f), o->call);
}

/* The other side may be well: no failover, and not its stream's fault. */
static bool of_this_side(const struct why *why, int rc, const struct xr_error *err)
{
	return (rc == -ENOMEM && err->host_failed) ||
	       why_not(why, "gives %d (host failed: %d): %s", rc, err->host_failed, err->text);
}

/* As read_fault_told(), where a checkpoint takes the stream's place, or where it is the toolstack
 * that misses bytes. */
static bool checkpoint_read_fault_told(const struct once *o, const struct why *why, int rc,
				       const struct xr_error *err)
{
	const unsigned int n = checkpoints_in(o->cp, o->nth);
	const bool toolstack = n < o->cp->n && o->nth >= o->cp->end[n];
	const bool lost = o->call == TRAP_EOF || o->call == TRAP_EIO || o->call == TRAP_ENOMEM ||
			  (o->call == TRAP_EAGAIN && toolstack);
	const uint64_t complete = lost ? n : o->cp->n;

	if (o->call == TRAP_ENOMEM && !toolstack && o->nth < o->b->end_offset)
		return of_this_side(why, rc, err);
	if (complete)
		return (!rc && o->res.checkpoints == complete) ||
		       why_not(why, "%d, checkpoint %lu, not %lu: %s", rc, o->res.checkpoints,
			       complete, err->text);
	return (rc == (o->call == TRAP_EOF && !toolstack ? -ENODATA : -EIO) &&
		err->host_failed == toolstack) ||
	       why_not(why, "gives %d (host failed: %d): %s", rc, err->host_failed, err->text);
}

/* A read that ended too early, or for good, at this byte. */
static bool read_fault_told(const struct once *o, const struct why *why, int rc,
			    const struct xr_error *err, uint64_t start)
{
	const int want = o->call == TRAP_EOF ? -ENODATA : -EIO;
	/* An index reads headers before contents: every byte from there on fails. */
	const uint64_t at = start + (o->source == FEED_FILE ? o->b->end_offset : o->nth);

	/* Of a pipe every byte is read. */
	if (o->source != FEED_FILE && o->nth && o->nth < o->b->end_offset && !o->sprung)
		return why_not(why, "no read ends there");
	if (o->cp)
		return checkpoint_read_fault_told(o, why, rc, err);
	if (o->call < TRAP_EIO)
		return !rc || why_not(why, "not gone on: %d, %s", rc, err->text);
	if (o->nth >= o->b->end_offset)
		return !rc || why_not(why, "a byte behind END was read: %d, %s", rc, err->text);
	if (o->call == TRAP_ENOMEM)
		return of_this_side(why, rc, err);
	if (rc != want || err->host_failed)
		return why_not(why, "gives %d (host failed: %d): %s", rc, err->host_failed,
			       err->text);
	return err->offset <= at || why_not(why, "names offset %#llx, behind it: %s",
					    (unsigned long long)err->offset, err->text);
}

/* Is it the stream that fails, not what this side lacks to read it? */
static bool of_stream(const struct once *o)
{
	return o->fault == FAULT_CALL && trap_of_stream(o->call) && o->arg == EIO;
}

static bool check_failed_over(const struct once *o, const struct why *why, struct xr_model *m)
{
	const uint64_t n = o->res.checkpoints;
	struct refmodel ref;
	bool ok;

	if (!n || n > o->cp->n || (!o->sprung && o->fault != FAULT_READ && n < o->cp->n))
		return why_not(why, "%lu of %u checkpoints are complete", n, o->cp->n);
	checkpoints_ref(o->cp, o->b, (unsigned int)n, &ref);
	ok = check_guest(why, m, &ref) && check_domain(why, m, &ref, 0) &&
	     (o->res.failed_over || why_not(why, "it is not told that this is a checkpoint's"));
	refmodel_free(&ref);
	return ok;
}

/* Contents in a file are read when their checkpoint is applied: a failure then is one. */
static bool too_late(const struct once *o)
{
	return o->source == FEED_FILE && of_stream(o);
}

/* Offsets of a pipe do not count what the toolstack took from it. */
static struct xr_error count_all(const struct once *o, const struct xr_error *err)
{
	struct xr_error e = *err;

	if (o->source == FEED_FILE || e.offset == XR_NO_OFFSET)
		return e;
	for (unsigned int i = 0; o->cp && i < o->cp->n && e.offset >= o->cp->end[i]; i++)
		e.offset += o->cp->resume[i] - o->cp->end[i];
	return e;
}

static bool check_restored(const struct once *o, const struct why *why, struct xr_model *m)
{
	static const struct pvref_ports none;

	if (o->cp)
		return check_failed_over(o, why, m);
	if (!o->pv)
		return check_guest(why, m, o->ref);
	/* The check asks the host, too, and would be who meets the fault. */
	if (o->fault == FAULT_HOST && !o->sprung)
		return true;
	return pvref_check(o->pv, m, &none, o->res.store_gfn, o->res.console_gfn, why->text,
			   why->room);
}

static bool fair(struct once *o, const struct why *why, struct xr_model *m, int rc,
		 const struct xr_error *err, uint64_t start)
{
	const struct xr_error counted = count_all(o, err);

	if (o->wrong)
		return why_not(why, "%s", o->wrong);
	if (rc && !check_error(why, rc, err))
		return false;
	if (rc && o->res.checkpoints && err->stage == XR_STAGE_STREAM && !err->host_failed &&
	    !too_late(o))
		return why_not(why, "no failover to checkpoint %lu: %s", o->res.checkpoints,
			       err->text);
	if (!rc && !check_restored(o, why, m))
		return false;
	if (o->fault == FAULT_READ && !read_fault_told(o, why, rc, err, start))
		return false;
	if (rc && o->kind == XR_WORKER_AUTO && !(o->call == TRAP_FORK && o->nth > WORKERS))
		return why_not(why, "not gone on with threads: %s", err->text);
	if (o->fault != FAULT_READ && rc && (!o->sprung || err->host_failed == of_stream(o)))
		return why_not(why, "%s: %d, %s",
			       o->sprung ? "the wrong one is blamed" : "no fault", rc, err->text);
	if (!check_place(why, &counted, o->b, o->cp, start, err->stage == XR_STAGE_COPY && !o->pv))
		return false;
	return check_habits(why, m);
}

/* One that was joined, and the kernel's for a ring that was closed, may be listed for a moment
 * more. */
static bool threads_beyond(unsigned int most)
{
	const struct timespec moment = { 0, 1000000 };

	for (unsigned int i = 0; i < 5000; i++) {
		if (threads() <= most)
			return false;
		nanosleep(&moment, NULL);
	}
	return true;
}

static int feed(const struct once *o, struct feed *f)
{
	if (o->full)
		return feed_fill(f, builder_data(o->b), builder_size(o->b));
	return feed_open(f, o->source, builder_data(o->b), builder_size(o->b), o->nth);
}

bool once(struct once *o, const struct why *why)
{
	struct xr_model_settings set;
	struct xr_model *m = NULL;
	struct xr_error err = { .code = 0 };
	struct feed f;
	static unsigned int tasks;
	unsigned int fds;
	uint64_t before;
	bool ok = false;
	int rc;

	xr_model_settings_default(&set);
	set.no_huge = true;
	set.pv = o->pv != NULL;
	set.max_vcpu_id = o->pv != NULL;
	if (xr_model_create(&m, &set) || feed(o, &f)) {
		why_not(why, "no model, or no source");
		goto out;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what loses its parent becomes a child here */
	fds = entries("/proc/self/fd");
	tasks = tasks ? tasks : threads();
	before = o->fault == FAULT_HOST ? calls_of(m, o->call) : 0;
	set_fault(o, m, &f);
	rc = restore(o, m, f.fd, &err);
	o->sprung = trap_release();
	if (o->fault == FAULT_HOST)
		o->sprung = calls_of(m, o->call) - before >= o->nth;
	ok = fair(o, why, m, rc, &err, start_of(&f));
	if (ok && !rc && !o->cp && o->source == FEED_FILE &&
	    lseek(f.fd, 0, SEEK_CUR) != f.start + (off_t)o->b->end_offset)
		ok = why_not(why, "the file's offset is not behind END");
	if (ok && entries("/proc/self/fd") != fds)
		ok = why_not(why, "%u descriptors, not %u", entries("/proc/self/fd"), fds);
	if (ok && !TSAN && threads_beyond(tasks)) /* TSan starts one of its own */
		ok = why_not(why, "%u threads, not %u", threads(), tasks);
	feed_close(&f);
	if (ok && waitpid(-1, NULL, WNOHANG | __WALL) >= 0)
		ok = why_not(why, "a child is left");
out:
	xr_model_destroy(&m);
	return ok;
}
