/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FDS_WITHOUT_PROC 65536 /* to try where /proc does not list them */

static bool is_kept(int fd, const int *keep, size_t n)
{
	struct stat st;

	if (fd == STDERR_FILENO)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (keep[i] == fd)
			return true;
	}
	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

static void close_unless_kept(int fd, const int *keep, size_t n)
{
	if (!is_kept(fd, keep, n))
		close(fd);
}

static void close_all_possible(const int *keep, size_t n)
{
	struct rlimit lim = { FDS_WITHOUT_PROC, FDS_WITHOUT_PROC };

	getrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur > FDS_WITHOUT_PROC)
		lim.rlim_cur = FDS_WITHOUT_PROC;
	for (int fd = 0; fd < (int)lim.rlim_cur; fd++)
		close_unless_kept(fd, keep, n);
}

static void null_to(int fd)
{
	int null;

	if (fcntl(fd, F_GETFD) >= 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && null != fd) {
		dup2(null, fd);
		close(null);
	}
}

void xr_sandbox_fds(const int *keep, size_t n)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	if (!dir) {
		close_all_possible(keep, n);
	} else {
		while ((e = readdir(dir))) {
			char *end;
			int fd = (int)strtol(e->d_name, &end, 10);

			if (end != e->d_name && fd != dirfd(dir))
				close_unless_kept(fd, keep, n);
		}
		closedir(dir);
	}
	null_to(STDIN_FILENO);
	null_to(STDOUT_FILENO);
}

void xr_sandbox_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, ign = { .sa_handler = SIG_IGN };
	sigset_t none;

	/* What ends a whole group of processes is for the opener to decide on; SIGKILL remains. */
	for (int s = 1; s <= SIGRTMAX; s++)
		sigaction(s,
			  s == SIGINT || s == SIGPIPE || s == SIGHUP || s == SIGQUIT || s == SIGTERM
				  ? &ign
				  : &dfl,
			  NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void xr_sandbox_process(const char *name)
{
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
