/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal, a log, a supervisor and a service manager get to see. */
#include "progress/show.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct xr_result done = { .pages_populated = 77, .seconds = 1.5, .bytes = 4096 };
static const struct xr_error failed = { .code = -ENODATA,
					.stage = XR_STAGE_STREAM,
					.text = "too \"early\"",
					.offset = 4096,
					.record = 7,
					.type = XR_NO_TYPE,
					.pfn = XR_NO_PFN };

static struct xr_progress after(double seconds)
{
	return (struct xr_progress){ .seconds = seconds,
				     .bytes_done = (uint64_t)(seconds * (1u << 20)),
				     .bytes_total = 1u << 30,
				     .pass = 1,
				     .limit = XR_STAGE_POPULATE };
}

/* What stands in a pipe now. */
static const char *take(int fd)
{
	static char text[65536];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void pipe_of(int p[2])
{
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
}

Test(show, off_a_terminal_there_are_lines_now_and_then)
{
	struct xr_show s;
	unsigned int lines = 0;
	int p[2];

	pipe_of(p);
	cr_assert_eq(xr_show_open(&s, XR_SHOW_AUTO, p[1], false), 0);
	cr_expect_eq(s.how, XR_SHOW_LINES);
	xr_show_start(&s);
	for (unsigned int i = 1; i <= 520; i++) {
		struct xr_progress pr = after(i * 0.1);

		xr_show_progress(&s, &pr);
	}
	xr_show_end(&s, 0, &done, NULL);
	xr_show_close(&s);
	for (const char *t = take(p[0]); *t; t++) {
		cr_expect_neq(*t, '\r');
		lines += *t == '\n';
	}
	cr_expect_eq(lines, 10);
}

Test(show, quiet_is_quiet_unless_asked_otherwise)
{
	static const enum xr_show_how hows[] = { XR_SHOW_AUTO, XR_SHOW_NONE, XR_SHOW_BAR };

	for (unsigned int i = 0; i < 3; i++) {
		struct xr_progress pr = after(60);
		struct xr_show s;
		int p[2];

		pipe_of(p);
		cr_assert_eq(xr_show_open(&s, hows[i], p[1], true), 0);
		xr_show_start(&s);
		xr_show_progress(&s, &pr);
		xr_show_end(&s, 0, &done, NULL);
		xr_show_close(&s);
		cr_expect_eq(*take(p[0]) != '\0', i == 2);
		close(p[0]);
		close(p[1]);
	}
}

Test(show, a_bar_is_written_over_and_wiped)
{
	struct xr_progress pr = after(0.1);
	struct xr_show s;
	const char *text;
	int p[2];

	pipe_of(p);
	cr_assert_eq(xr_show_open(&s, XR_SHOW_BAR, p[1], false), 0);
	xr_show_progress(&s, &pr);
	text = take(p[0]);
	cr_expect_eq(*text, '\r');
	cr_expect_null(strchr(text, '\n'));
	xr_show_end(&s, 0, &done, NULL);
	cr_expect_str_eq(take(p[0]), "\r\033[K");
	xr_show_close(&s);
}

static json_t *line_of(int fd, const char *event)
{
	const char *text = take(fd);
	json_t *j = json_loads(text, 0, NULL);

	cr_assert_not_null(j, "%s", text);
	cr_assert_eq(text[strlen(text) - 1], '\n');
	cr_assert_str_eq(json_string_value(json_object_get(j, "event")), event);
	return j;
}

Test(show, a_supervisor_gets_an_object_a_line)
{
	struct xr_progress pr = after(2);
	struct xr_show s;
	json_t *j;
	int p[2];

	pipe_of(p);
	cr_assert_eq(xr_show_open(&s, XR_SHOW_JSON, p[1], true), 0);
	xr_show_start(&s);
	json_decref(line_of(p[0], "start"));
	xr_show_progress(&s, &pr);
	j = line_of(p[0], "progress");
	cr_expect_eq(json_integer_value(json_object_get(j, "bytes")), 2 << 20);
	cr_expect_eq(json_integer_value(json_object_get(j, "bytes_total")), 1 << 30);
	cr_expect(json_is_null(json_object_get(j, "pages_total")));
	cr_expect_float_eq(json_real_value(json_object_get(j, "bytes_per_second")), 1 << 20, 10);
	cr_expect_float_eq(json_real_value(json_object_get(j, "seconds_left")), 1022, 0.1);
	cr_expect_str_eq(json_string_value(json_object_get(j, "limited_by")), "populate");
	json_decref(j);
	pr.bytes_total = 0;
	xr_show_progress(&s, &pr);
	j = line_of(p[0], "progress");
	cr_expect(json_is_null(json_object_get(j, "seconds_left")));
	cr_expect(json_is_null(json_object_get(j, "share")));
	json_decref(j);
	xr_show_end(&s, 0, &done, NULL);
	j = line_of(p[0], "done");
	cr_expect_eq(json_integer_value(json_object_get(j, "pages")), 77);
	json_decref(j);
	xr_show_end(&s, 1, NULL, &failed);
	j = line_of(p[0], "failed");
	cr_expect_eq(json_integer_value(json_object_get(j, "exit_code")), 1);
	cr_expect_str_eq(json_string_value(json_object_get(j, "error")), failed.text);
	cr_expect_eq(json_integer_value(json_object_get(j, "offset")), 4096);
	cr_expect_eq(json_integer_value(json_object_get(j, "record")), 7);
	cr_expect(json_is_null(json_object_get(j, "pfn")));
	cr_expect_str_eq(json_string_value(json_object_get(j, "next_step")),
			 "copy or save it anew; a sender may have died");
	json_decref(j);
	xr_show_close(&s);
}

/* Nobody reads: the restore goes on. And it goes on where the reader is gone. */
Test(show, a_supervisor_cannot_hold_up_a_restore, .timeout = 60)
{
	struct xr_progress pr = after(1);
	struct xr_show s;
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(xr_show_open(&s, XR_SHOW_JSON, p[1], true), 0);
	for (unsigned int i = 0; i < 2000; i++)
		xr_show_progress(&s, &pr);
	close(p[0]);
	xr_show_progress(&s, &pr);
	xr_show_end(&s, 0, &done, NULL);
	xr_show_close(&s);
}

Test(show, a_descriptor_that_is_not_open_is_refused)
{
	struct xr_show s;

	cr_expect_eq(xr_show_open(&s, XR_SHOW_JSON, 987, true), -EBADF);
	xr_show_close(&s);
}

static int manager(bool abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	size_t n;

	snprintf(a.sun_path, sizeof(a.sun_path), "%sxr-notify-%d", abstract ? "@" : "/tmp/",
		 getpid());
	setenv("NOTIFY_SOCKET", a.sun_path, 1);
	n = offsetof(struct sockaddr_un, sun_path) + strlen(a.sun_path);
	if (abstract)
		a.sun_path[0] = '\0';
	else
		unlink(a.sun_path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, (socklen_t)n), 0);
	return fd;
}

static void notify_through(bool abstract)
{
	struct xr_progress pr = after(1.5);
	char path[108];
	struct xr_show s;
	int fd = manager(abstract);

	snprintf(path, sizeof(path), "%s", getenv("NOTIFY_SOCKET"));
	cr_assert_eq(xr_show_open(&s, XR_SHOW_NONE, 2, true), 0);
	cr_expect_null(getenv("NOTIFY_SOCKET"), "a child must not speak for us");
	xr_show_start(&s);
	cr_expect_str_eq(take(fd), "READY=1\nSTATUS=restoring");
	xr_show_progress(&s, &pr);
	cr_expect_eq(strncmp(take(fd), "STATUS=pass 1  0.00 of 1.00 GiB", 31), 0);
	pr.seconds = 1.6;
	xr_show_progress(&s, &pr);
	cr_expect_str_eq(take(fd), "", "once a second");
	xr_show_end(&s, 0, &done, NULL);
	cr_expect_str_eq(take(fd), "STOPPING=1\nSTATUS=restored 77 pages in 1.5 s");
	xr_show_end(&s, 1, NULL, &failed);
	cr_expect_str_eq(take(fd), "STOPPING=1\nERRNO=61\nSTATUS=failed: too \"early\"");
	xr_show_close(&s);
	close(fd);
	if (!abstract)
		unlink(path);
}

Test(notify, a_service_manager_hears_of_it)
{
	notify_through(false);
	notify_through(true);
}

Test(notify, without_a_manager_nothing_is_sent)
{
	static const char *const paths[] = { "", "relative", "/nowhere/at/all" };

	for (unsigned int i = 0; i < 3; i++) {
		struct xr_notify n;

		setenv("NOTIFY_SOCKET", paths[i], 1);
		xr_notify_open(&n);
		cr_expect_eq(n.fd, -1, "%s", paths[i]);
		xr_notify(&n, "READY=1");
		xr_notify_close(&n);
	}
}
