/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/files.h"

#include "cli/command.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int xr_source_open(const struct xr_command *c, const char *path, int *fd)
{
	struct stat st;

	*fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (*fd >= 0 && !fstat(*fd, &st) && S_ISDIR(st.st_mode)) {
		xr_source_close(*fd);
		return xr_usage(c, "%s is a directory, not a stream", path);
	}
	if (*fd >= 0)
		return XR_EXIT_OK;
	if (errno != EINTR || !xr_signals_came())
		return xr_usage(c, "cannot open %s: %s", path, strerror(errno));
	fprintf(stderr, "xenrestore %s: cancelled\n", c->name);
	return XR_EXIT_CANCELLED;
}

void xr_source_close(int fd)
{
	if (fd > STDIN_FILENO)
		close(fd);
}

int xr_printed(const struct xr_command *c, const char *what, int failed)
{
	if (!fflush(stdout) && !failed)
		return XR_EXIT_OK;
	fprintf(stderr, "xenrestore %s: cannot write %s: %s\n", c->name, what, strerror(errno));
	return XR_EXIT_HOST;
}
