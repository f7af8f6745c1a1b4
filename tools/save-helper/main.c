/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A drop-in for libxl-save-helper: libxl runs it when LIBXL_SAVE_HELPER names it. Restores go
 * through libxenrestore; saves, and everything on a Xen that the engine was not built for, go to
 * the stock helper by exec, before a byte of the stream is read.
 */
#include "cli/command.h"
#include "environment.h"
#include "place.h"
#include "progress/meter.h"
#include "protocol.h"
#include "stock.h"
#include "watch.h"
#include "xenrestore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenctrl.h>

/* Each word of progress wakes libxl, so not as often as the engine offers one. */
#define TELL_EVERY 0.5	       /* s */
#define TELL_OF_PIPE_EVERY 2.0 /* where it is a line in a log, not one that is overwritten */

/* By type of stream, what libxl answers to from Xen 4.14 on: static_data_done and restore_results;
 * checkpoint; suspend, postcopy and wait_checkpoint. */
static const unsigned long callbacks_of[] = {
	[XR_STREAM_PLAIN] = 0x300,
	[XR_STREAM_REMUS] = 0x320,
	[XR_STREAM_COLO] = 0x378,
};

struct job {
	int fd, send_back_fd;
	uint32_t domid, store_port, store_domid, console_port, console_domid;
	unsigned long callbacks, type;
};

struct running {
	struct xr_channel channel;
	struct xr_meter meter;
	double told; /* seconds after the start, of the last progress */
};

static int complain(const char *what)
{
	fprintf(stderr, "xenrestore-save-helper: %s\n", what);
	return 1;
}

static unsigned long number(const char *s, unsigned long max, bool *ok)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(s, &end, 10);
	*ok = *ok && !errno && end != s && !*end && *s != '-' && v <= max;
	return v;
}

/* "-1", or a number. */
static int number_or_none(const char *s, bool *ok)
{
	return strcmp(s, "-1") ? (int)number(s, INT32_MAX, ok) : -1;
}

/* argv as libxl lays it out; nothing may follow. */
static bool parse(struct job *j, int argc, char **argv)
{
	bool ok = argc == 11;

	if (!ok)
		return false;
	j->fd = (int)number(argv[2], INT32_MAX, &ok);
	j->send_back_fd = number_or_none(argv[3], &ok);
	j->domid = (uint32_t)number(argv[4], UINT32_MAX, &ok);
	j->store_port = (uint32_t)number(argv[5], UINT32_MAX, &ok);
	j->store_domid = (uint32_t)number(argv[6], UINT32_MAX, &ok);
	j->console_port = (uint32_t)number(argv[7], UINT32_MAX, &ok);
	j->console_domid = (uint32_t)number(argv[8], UINT32_MAX, &ok);
	j->callbacks = number(argv[9], ~0ul, &ok);
	j->type = number(argv[10], 2, &ok);
	return ok;
}

/*
 * Is this the Xen that the engine was built for? Domctls differ from one Xen to the next. Without
 * access to Xen there is nothing to harm, and the engine is the one to tell libxl.
 */
static bool is_our_xen(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	bool ours;

	if (!xch)
		return true;
	ours = xc_version(xch, XENVER_version, NULL) == XR_XEN_VERSION;
	xc_interface_close(xch);
	return ours;
}

static int static_data_done(unsigned int missing, void *opaque)
{
	return xr_channel_static_data_done(&((struct running *)opaque)->channel, missing);
}

static int checkpoint(void *opaque)
{
	return xr_channel_checkpoint(&((struct running *)opaque)->channel);
}

static int postcopy(void *opaque)
{
	return xr_channel_postcopy(&((struct running *)opaque)->channel);
}

static int wait_checkpoint(void *opaque)
{
	return xr_channel_wait_checkpoint(&((struct running *)opaque)->channel);
}

static int suspend(void *opaque)
{
	return xr_channel_suspend(&((struct running *)opaque)->channel);
}

static uint64_t gfn_or_zero(uint64_t gfn)
{
	return gfn == XR_NO_PFN ? 0 : gfn;
}

static void restore_results(uint64_t store_gfn, uint64_t console_gfn, void *opaque)
{
	xr_channel_restore_results(&((struct running *)opaque)->channel, gfn_or_zero(store_gfn),
				   gfn_or_zero(console_gfn));
}

/* libxl divides by the total, and shows a share of it: without one, there is only the log. */
static void progress(const struct xr_progress *p, void *opaque)
{
	struct running *run = opaque;
	char what[160];

	xr_meter_update(&run->meter, p);
	/* Before the first page there is no rate to judge by. */
	if (!p->pass ||
	    p->seconds - run->told < (run->meter.total ? TELL_EVERY : TELL_OF_PIPE_EVERY))
		return;
	run->told = p->seconds;
	xr_meter_words(&run->meter, what, sizeof(what));
	if (run->meter.total)
		xr_channel_progress(&run->channel, what, run->meter.done >> 12,
				    run->meter.total >> 12);
	else
		xtl_log(&run->channel.logger, XTL_DETAIL, -1, "xenrestore", "%s", what);
}

/* Whoever closed stderr would else find the next file that is opened, Xen's say, printed to. */
static bool have_stderr(void)
{
	return fcntl(STDERR_FILENO, F_GETFD) >= 0 || open("/dev/null", O_WRONLY) == STDERR_FILENO;
}

/*
 * stdout is the protocol. Libraries that print would destroy it, so the pipes move to descriptors
 * that nobody knows, and standard output becomes standard error.
 */
static int take_channel(struct xr_channel *c)
{
	const bool err = have_stderr();
	const int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
	const int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (!err || out < 0 || in < 0 || null < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
	    dup2(null, STDIN_FILENO) < 0)
		return complain("cannot set up the message channel");
	close(null);
	xr_channel_init(c, in, out);
	return 0;
}

/* The stock helper finds all as libxl has left it. */
static int hand_over(const struct xr_channel *c, char **argv)
{
	if (dup2(c->in, STDIN_FILENO) < 0 || dup2(c->out, STDOUT_FILENO) < 0)
		return complain("cannot hand on the message channel");
	return xr_exec_stock(argv);
}

static void set_callbacks(struct xr_callbacks *cb)
{
	cb->static_data_done = static_data_done;
	cb->progress = progress;
	cb->checkpoint = checkpoint;
	cb->restore_results = restore_results;
	cb->postcopy = postcopy;
	cb->wait_checkpoint = wait_checkpoint;
	cb->suspend = suspend;
}

static void settings(struct xr_settings *s, const struct job *j, struct running *run)
{
	xr_settings_default(s);
	s->fd = j->fd;
	s->layer = XR_LAYER_LIBXC;
	s->type = (enum xr_stream_type)j->type;
	s->send_back_fd = j->send_back_fd;
	s->host = XR_HOST_XEN;
	s->domid = j->domid;
	s->store_port = j->store_port;
	s->store_domid = j->store_domid;
	s->console_port = j->console_port;
	s->console_domid = j->console_domid;
	xr_environment_settings(s);
	set_callbacks(&s->callbacks);
	s->opaque = run;
	s->logger = &run->channel.logger;
}

static int errno_of(const struct xr_error *e)
{
	return e->code < 0 ? -e->code : EIO;
}

/* What has gone wrong, unless the engine has logged that, where, and what to do next. */
static void tell_error(struct running *run, const struct xr_error *e, bool logged)
{
	const char *next = xr_error_next_step(e);
	char where[XR_PLACE_TEXT];

	xr_error_place(e, where);
	xtl_log(&run->channel.logger, XTL_ERROR, errno_of(e), "xenrestore", "%s%sstage %s%s%s%s%s",
		logged ? "" : e->text, logged ? "" : "; ", xr_stage_name(e->stage), where,
		next ? " (" : "", next ?: "", next ? ")" : "");
}

static void tell_result(struct running *run, const struct xr_result *r)
{
	xtl_log(&run->channel.logger, XTL_INFO, -1, "xenrestore",
		"restored %" PRIu64 " pages in %.3f s: %" PRIu64 " x 1G, %" PRIu64 " x 2M, %" PRIu64
		" x 4K; %" PRIu64 " populate, %" PRIu64 " release, %" PRIu64 " map, %" PRIu64
		" unmap calls; %u workers",
		r->pages_populated, r->seconds, r->extents_1g, r->extents_2m, r->extents_4k,
		r->populate_calls, r->release_calls, r->map_calls, r->unmap_calls, r->workers);
}

static void cannot_write(const char *path, int rc, void *opaque)
{
	struct running *run = opaque;

	xtl_log(&run->channel.logger, XTL_WARN, -rc, "xenrestore", "cannot write %s", path);
}

/* libxl wants results and completion in any case, and exit status 0. */
static int restore(const struct job *j, struct running *run)
{
	struct xr_restore *r = NULL;
	struct xr_watch watch;
	struct xr_settings s;
	struct xr_result res = { 0 };
	struct xr_error err;
	struct xr_environment env;
	struct run_outcome told = { .set = &s, .source = "libxl's stream" };
	bool ran;
	int rc;

	settings(&s, j, run);
	xr_environment_files(&env, j->domid);
	if (s.type != XR_STREAM_PLAIN) /* what is replaced at each checkpoint has no receipt */
		env.files.path[RUN_RECEIPT] = NULL;
	run_files_open(&env.files, cannot_write, run);
	s.receipt = env.files.path[RUN_RECEIPT] != NULL;
	rc = xr_open(&r, &s, &err);
	ran = !rc;
	if (ran) {
		xr_watch_start(&watch, run->channel.in, r);
		rc = xr_run(r, &res, &err);
		xr_watch_stop(&watch);
	}
	told.restore = r;
	told.res = ran ? &res : NULL;
	told.err = rc ? &err : NULL;
	told.exit_code = rc ? xr_exit_of(&err) : XR_EXIT_OK;
	/* First of all: who finds libxl gone ends there. */
	run_files_write(&env.files, &told, cannot_write, run);
	run_files_close(&env.files);
	if (rc)
		tell_error(run, &err, ran);
	else
		tell_result(run, &res);
	xr_close(&r);
	restore_results(rc ? 0 : res.store_gfn, rc ? 0 : res.console_gfn, run);
	xr_channel_complete(&run->channel, rc ? -1 : 0, rc ? errno_of(&err) : 0);
	return 0;
}

/* Libxl asks for an end by SIGTERM; it may have left it blocked. */
static void heed_sigterm(void)
{
	sigset_t term;

	signal(SIGTERM, SIG_DFL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
}

int main(int argc, char **argv)
{
	static struct running run;
	const bool saves = argc >= 2 && !strcmp(argv[1], "--save-domain");
	struct job j;

	if (!saves && (argc < 2 || strcmp(argv[1], "--restore-domain") != 0))
		return complain("this is run by libxl, which LIBXL_SAVE_HELPER tells to: "
				"--restore-domain or --save-domain");
	if (!saves && !parse(&j, argc, argv))
		return complain("not called as libxl from Xen 4.14 on calls its save helper");
	if (!saves)
		heed_sigterm();
	if (take_channel(&run.channel))
		return 1;
	if (saves || !is_our_xen()) {
		if (!saves)
			xr_environment_unheeded();
		return hand_over(&run.channel, argv);
	}
	if (j.callbacks != callbacks_of[j.type])
		return complain("libxl offers other callbacks than libxl from Xen 4.14 on does for "
				"a stream of this type");
	return restore(&j, &run);
}
