/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/show.h"

#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_EVERY 5.0	  /* s, in a log */
#define STATUS_EVERY 1.0  /* s, for the service manager */
#define LAST_WORD_MS 1000 /* that the end may wait */
#define COLUMNS 100u	  /* where the terminal does not say */

const char *const xr_show_words[] = {
	[XR_SHOW_AUTO] = "auto", [XR_SHOW_BAR] = "bar",	  [XR_SHOW_LINES] = "lines",
	[XR_SHOW_JSON] = "json", [XR_SHOW_NONE] = "none", NULL,
};

static void put(struct xr_show *s, const char *text, int wait_ms)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&p, 1, wait_ms) != 1 || !(p.revents & POLLOUT))
		return;
	n = write(s->fd, text, strlen(text));
	(void)n; /* who does not listen is not told */
}

static void put_json(struct xr_show *s, json_t *j, int wait_ms)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) >= 0)
		put(s, line, wait_ms);
	free(line);
	free(text);
	json_decref(j);
}

static unsigned int width_of(int fd)
{
	struct winsize w;

	return !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col - 1u : COLUMNS;
}

int xr_show_open(struct xr_show *s, enum xr_show_how how, int fd, bool quiet)
{
	*s = (struct xr_show){ .how = how, .fd = -1, .notify.fd = -1 };
	if (how == XR_SHOW_AUTO)
		s->how = quiet ? XR_SHOW_NONE : isatty(fd) ? XR_SHOW_BAR : XR_SHOW_LINES;
	if (s->how != XR_SHOW_NONE) {
		s->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (s->fd < 0)
			return -errno;
	}
	xr_notify_open(&s->notify);
	return 0;
}

void xr_show_start(struct xr_show *s)
{
	if (s->how == XR_SHOW_JSON)
		put_json(s, json_pack("{s:s}", "event", "start"), 0);
	xr_notify(&s->notify, "READY=1\nSTATUS=restoring");
}

static json_t *number_or_null(bool known, double value)
{
	return known ? json_real(value) : json_null();
}

static void show_json(struct xr_show *s, const struct xr_progress *p)
{
	const struct xr_meter *m = &s->meter;

	put_json(s,
		 json_pack("{s:s,s:I,s:I,s:o,s:I,s:o,s:f,s:f,s:o,s:o,s:s?}", "event", "progress",
			   "pass", (json_int_t)p->pass, "bytes", (json_int_t)p->bytes_done,
			   "bytes_total",
			   p->bytes_total ? json_integer((json_int_t)p->bytes_total) : json_null(),
			   "pages", (json_int_t)p->pages_done, "pages_total",
			   p->pages_total ? json_integer((json_int_t)p->pages_total) : json_null(),
			   "seconds", p->seconds, "bytes_per_second", m->rate, "seconds_left",
			   number_or_null(m->left >= 0, m->left), "share",
			   number_or_null(m->total != 0, xr_meter_share(m)), "limited_by",
			   *m->limit ? m->limit : NULL),
		 0);
}

static void show_text(struct xr_show *s)
{
	char text[256], line[300];

	if (s->how == XR_SHOW_BAR) {
		xr_meter_line(&s->meter, width_of(s->fd), text, sizeof(text));
		snprintf(line, sizeof(line), "\r%s\033[K", text);
	} else {
		xr_meter_words(&s->meter, text, sizeof(text));
		snprintf(line, sizeof(line), "%s\n", text);
	}
	put(s, line, 0);
}

/* Has a border between two stretches of so many seconds been passed? */
static bool is_due(double before, double now, double every)
{
	return (unsigned long)(now / every) > (unsigned long)(before / every);
}

void xr_show_progress(struct xr_show *s, const struct xr_progress *p)
{
	const double before = s->meter.seconds;
	char text[256];

	xr_meter_update(&s->meter, p);
	if (s->how == XR_SHOW_JSON)
		show_json(s, p);
	else if (s->how == XR_SHOW_BAR ||
		 (s->how == XR_SHOW_LINES && is_due(before, p->seconds, LINE_EVERY)))
		show_text(s);
	if (s->notify.fd >= 0 && is_due(before, p->seconds, STATUS_EVERY)) {
		xr_meter_words(&s->meter, text, sizeof(text));
		xr_notify(&s->notify, "STATUS=%s", text);
	}
}

static json_t *count_or_null(uint64_t value, uint64_t none)
{
	return value == none ? json_null() : json_integer((json_int_t)value);
}

static json_t *end_json(int exit_code, const struct xr_result *res, const struct xr_error *err)
{
	if (!err)
		return json_pack("{s:s,s:i,s:I,s:I,s:f}", "event", "done", "exit_code", exit_code,
				 "bytes", (json_int_t)res->bytes, "pages",
				 (json_int_t)res->pages_populated, "seconds", res->seconds);
	return json_pack("{s:s,s:i,s:s,s:i,s:s,s:o,s:o,s:o,s:s?}", "event", "failed", "exit_code",
			 exit_code, "stage", xr_stage_name(err->stage), "errno", -err->code,
			 "error", err->text, "offset", count_or_null(err->offset, XR_NO_OFFSET),
			 "record", count_or_null(err->record, XR_NO_RECORD), "pfn",
			 count_or_null(err->pfn, XR_NO_PFN), "next_step", xr_error_next_step(err));
}

void xr_show_end(struct xr_show *s, int exit_code, const struct xr_result *res,
		 const struct xr_error *err)
{
	if (s->how == XR_SHOW_JSON)
		put_json(s, end_json(exit_code, res, err), LAST_WORD_MS);
	if (s->how == XR_SHOW_BAR)
		put(s, "\r\033[K", 0);
	if (err)
		xr_notify(&s->notify, "STOPPING=1\nERRNO=%d\nSTATUS=failed: %s", -err->code,
			  err->text);
	else
		xr_notify(&s->notify, "STOPPING=1\nSTATUS=restored %llu pages in %.1f s",
			  (unsigned long long)res->pages_populated, res->seconds);
}

void xr_show_close(struct xr_show *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	xr_notify_close(&s->notify);
}
