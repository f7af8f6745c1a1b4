/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "outfile/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Later keepers hold our end of this one's socket, too: it is a word that ends it, not the end. */
enum { KEEP = 'k', DROP = 'd' };

static int replace_file(const struct xr_outfile *o, int from)
{
	ssize_t got;
	char word;

	do {
		got = read(from, &word, 1);
	} while (got < 0 && errno == EINTR);
	if (got != 1 || word != KEEP)
		return -ECANCELED;
	return renameat(o->dir, o->temporary, o->dir, o->name) ? -errno : 0;
}

__attribute__((noreturn)) static void keeper(const struct xr_outfile *o, int from)
{
	int rc;

	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGCHLD ? SIG_DFL : SIG_IGN);
	prctl(PR_SET_NAME, "xr-outfile");
	rc = replace_file(o, from);
	if (rc)
		unlinkat(o->dir, o->temporary, 0);
	_exit(-rc);
}

static int start_keeper(struct xr_outfile *o)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	o->keeper = fork();
	if (!o->keeper) {
		close(pair[0]);
		keeper(o, pair[1]);
	}
	close(pair[1]);
	o->to = pair[0];
	return o->keeper < 0 ? -errno : 0;
}

/* Returns the keeper's word on how it went. */
static int end_keeper(struct xr_outfile *o, char word)
{
	siginfo_t si = { 0 };
	int rc;

	if (send(o->to, &word, 1, MSG_NOSIGNAL) != 1)
		return -errno;
	close(o->to);
	o->to = -1;
	do {
		rc = waitid(P_PID, (id_t)o->keeper, &si, WEXITED) ? -errno : 0;
	} while (rc == -EINTR);
	o->keeper = -1;
	if (rc)
		return rc;
	return si.si_code == CLD_EXITED ? -si.si_status : -EIO;
}

/* A device or a pipe: it must not be replaced. */
static bool is_special(const struct xr_outfile *o)
{
	struct stat st;

	return !fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW) && !S_ISREG(st.st_mode);
}

static int open_special(struct xr_outfile *o, const char *path)
{
	o->f = fopen(path, "we");
	return o->f ? 0 : -errno;
}

/* What is there by that name is of a process that had our number, or somebody's trap. */
static int open_temporary(struct xr_outfile *o)
{
	struct stat st;
	int fd;

	unlinkat(o->dir, o->temporary, 0);
	fd = openat(o->dir, o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0644);
	if (fd < 0)
		return -errno;
	if (!fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW))
		fchmod(fd, st.st_mode & 07777); /* who may read it stays as it was */
	o->f = fdopen(fd, "w");
	if (o->f)
		return 0;
	close(fd);
	unlinkat(o->dir, o->temporary, 0);
	return -ENOMEM;
}

/* What a link leads to is replaced, not the link, and stays until then. */
static const char *follow(const char *path, char target[PATH_MAX])
{
	struct stat st;

	if (!path || lstat(path, &st) || !S_ISLNK(st.st_mode))
		return path;
	return realpath(path, target) ? target : NULL;
}

int xr_outfile_open(struct xr_outfile *o, const char *to)
{
	static unsigned int serial;
	char target[PATH_MAX];
	const char *path = follow(to, target);
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *name = slash ? slash + 1 : path;
	int rc;

	*o = XR_OUTFILE_NONE;
	if (!path)
		return to ? -errno : 0;
	if (!*name || strlen(name) >= sizeof(o->name))
		return *name ? -ENAMETOOLONG : -EISDIR;
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->temporary, sizeof(o->temporary), ".%s.%d.%u.new", name, getpid(), serial++);
	o->dir = open_folder(path, slash);
	rc = o->dir < 0 ? -errno : 0;
	if (!rc && is_special(o))
		return open_special(o, path);
	if (!rc)
		rc = open_temporary(o);
	if (!rc) {
		rc = start_keeper(o);
		if (rc)
			unlinkat(o->dir, o->temporary, 0);
	}
	if (rc)
		xr_outfile_close(o);
	return rc;
}

bool xr_outfile_same(const struct xr_outfile *a, const struct xr_outfile *b)
{
	struct stat s, t;

	return a->keeper >= 0 && b->keeper >= 0 && !strcmp(a->name, b->name) &&
	       !fstat(a->dir, &s) && !fstat(b->dir, &t) && s.st_dev == t.st_dev &&
	       s.st_ino == t.st_ino;
}

int xr_outfile_keep(struct xr_outfile *o)
{
	int rc;

	if (!o->f)
		return 0;
	rc = fflush(o->f) ? -errno : ferror(o->f) ? -EIO : 0;
	return rc || o->keeper < 0 ? rc : end_keeper(o, KEEP);
}

void xr_outfile_close(struct xr_outfile *o)
{
	if (o->f)
		fclose(o->f);
	if (o->keeper >= 0)
		end_keeper(o, DROP);
	if (o->to >= 0)
		close(o->to);
	if (o->dir >= 0)
		close(o->dir);
	*o = XR_OUTFILE_NONE;
}
