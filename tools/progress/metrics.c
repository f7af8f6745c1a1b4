/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END "# EOF\n"
#define TEXT_MAX (64u << 10)

static int open_folder(const char *path, const char *slash)
{
	const size_t n = slash ? (size_t)(slash - path) : 0;
	char folder[4096];

	if (!slash)
		return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n >= sizeof(folder))
		return errno = ENAMETOOLONG, -1;
	memcpy(folder, path, n);
	snprintf(folder + n, sizeof(folder) - n, "%s", n ? "" : "/");
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int write_all(int fd, const char *text, size_t n)
{
	while (n) {
		const ssize_t put = write(fd, text, n);

		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0) {
			text += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

/* Everything, or nothing: what ends early is not to replace the file of the restore before. */
static int replace_file(const struct xr_metrics *m, int from)
{
	char text[TEXT_MAX];
	size_t n = 0;
	ssize_t got;
	int rc;

	while ((got = read(from, text + n, sizeof(text) - n)) > 0 || (got < 0 && errno == EINTR))
		n += got > 0 ? (size_t)got : 0;
	if (n < strlen(END) || memcmp(text + n - strlen(END), END, strlen(END)) != 0)
		return -ECANCELED;
	rc = write_all(m->fd, text, n);
	if (!rc && (fsync(m->fd) || renameat(m->dir, m->temporary, m->dir, m->name)))
		rc = -errno;
	return rc;
}

/* Files are renamed by a process that has not met the stream: the program may not, by then. */
__attribute__((noreturn)) static void writer(const struct xr_metrics *m, int from)
{
	int rc;

	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGCHLD ? SIG_DFL : SIG_IGN);
	prctl(PR_SET_NAME, "xr-metrics");
	rc = replace_file(m, from);
	if (rc)
		unlinkat(m->dir, m->temporary, 0);
	_exit(-rc);
}

static int start_writer(struct xr_metrics *m)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	m->writer = fork();
	if (!m->writer) {
		close(pair[0]);
		writer(m, pair[1]);
	}
	close(pair[1]);
	m->to = pair[0];
	return m->writer < 0 ? -errno : 0;
}

/* The writer's word on how it went: it reads to the end of what it is sent. */
static int end_writer(struct xr_metrics *m)
{
	siginfo_t si = { 0 };
	int rc;

	close(m->to);
	m->to = -1;
	do {
		rc = waitid(P_PID, (id_t)m->writer, &si, WEXITED) ? -errno : 0;
	} while (rc == -EINTR);
	m->writer = -1;
	if (rc)
		return rc;
	return si.si_code == CLD_EXITED ? -si.si_status : -EIO;
}

int xr_metrics_open(struct xr_metrics *m, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *name = slash ? slash + 1 : path;
	int rc;

	*m = XR_METRICS_NONE;
	if (!path)
		return 0;
	if (!*name || strlen(name) >= sizeof(m->name))
		return *name ? -ENAMETOOLONG : -EISDIR;
	snprintf(m->name, sizeof(m->name), "%s", name);
	/* The collector reads *.prom only. */
	snprintf(m->temporary, sizeof(m->temporary), ".%s.%d.new", name, getpid());
	m->dir = open_folder(path, slash);
	if (m->dir >= 0)
		m->fd = openat(m->dir, m->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			       0644);
	rc = m->fd < 0 ? -errno : start_writer(m);
	if (rc)
		xr_metrics_close(m);
	return rc;
}

static void family(FILE *f, const char *name, const char *help)
{
	fprintf(f, "# TYPE xenrestore_%s gauge\n# HELP xenrestore_%s %s\n", name, name, help);
}

static void one(FILE *f, const char *name, const char *help, double value)
{
	family(f, name, help);
	fprintf(f, "xenrestore_%s %.17g\n", name, value);
}

static void by(FILE *f, const char *name, const char *label, const char *word, uint64_t value)
{
	fprintf(f, "xenrestore_%s{%s=\"%s\"} %llu\n", name, label, word, (unsigned long long)value);
}

static void stage(FILE *f, const char *name, const struct xr_stage_times *t)
{
	const struct {
		const char *state;
		uint64_t ns;
	} all[] = { { "busy", t->busy }, { "starved", t->starved }, { "blocked", t->blocked } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(f, "xenrestore_stage_seconds{stage=\"%s\",state=\"%s\"} %.9f\n", name,
			all[i].state, (double)all[i].ns / 1e9);
}

static void figures(FILE *f, const struct xr_result *r)
{
	one(f, "duration_seconds", "Time that the restore took.", r->seconds);
	one(f, "stream_bytes", "Bytes of the libxc stream.", (double)r->bytes);
	one(f, "stream_passes", "Passes over the memory of the guest.", r->passes);
	one(f, "workers", "Copy workers.", r->workers);
	one(f, "indexed", "1 if the restore was planned from an index of a file.", r->indexed);
	family(f, "pages", "Pages of 4 KiB.");
	by(f, "pages", "kind", "populated", r->pages_populated);
	by(f, "pages", "kind", "received", r->pages_received);
	by(f, "pages", "kind", "written", r->pages_written);
	by(f, "pages", "kind", "released", r->pages_released);
	family(f, "extents", "What the guest lies in.");
	by(f, "extents", "size", "1G", r->extents_1g);
	by(f, "extents", "size", "2M", r->extents_2m);
	by(f, "extents", "size", "4K", r->extents_4k);
	family(f, "host_calls", "Calls to Xen, or to its model.");
	by(f, "host_calls", "call", "populate", r->populate_calls);
	by(f, "host_calls", "call", "release", r->release_calls);
	by(f, "host_calls", "call", "map", r->map_calls);
	by(f, "host_calls", "call", "unmap", r->unmap_calls);
	by(f, "host_calls", "call", "other", r->other_calls);
	family(f, "stage_seconds", "Time of each stage; of copy the sum over the workers.");
	stage(f, "stream", &r->stream);
	stage(f, "populate", &r->populate);
	stage(f, "copy", &r->copy);
}

static void tell(FILE *f, const struct xr_settings *set, const struct xr_result *res, int exit_code)
{
	one(f, "success", "1 if the guest is complete.", exit_code == 0);
	one(f, "exit_code", "As the program exits: see xenrestore(1).", exit_code);
	one(f, "end_timestamp_seconds", "When the restore ended, since the epoch.",
	    (double)time(NULL));
	if (set->host == XR_HOST_XEN)
		one(f, "domid", "The domain.", set->domid);
	if (res)
		figures(f, res);
	fputs(END, f);
}

static int send_all(int to, const char *text, size_t n)
{
	while (n) {
		const ssize_t put = send(to, text, n, MSG_NOSIGNAL);

		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0) {
			text += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

int xr_metrics_write(struct xr_metrics *m, const struct xr_settings *set,
		     const struct xr_result *res, int exit_code)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f;
	int rc;

	if (m->writer < 0)
		return 0;
	f = open_memstream(&text, &n);
	if (!f)
		return -errno;
	tell(f, set, res, exit_code);
	rc = fclose(f) ? -errno : send_all(m->to, text, n);
	free(text);
	return rc ? rc : end_writer(m);
}

void xr_metrics_close(struct xr_metrics *m)
{
	if (m->writer >= 0)
		end_writer(m);
	if (m->to >= 0)
		close(m->to);
	if (m->fd >= 0)
		close(m->fd);
	if (m->dir >= 0)
		close(m->dir);
	*m = XR_METRICS_NONE;
}
