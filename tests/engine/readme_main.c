/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the sample in README on a real stream: zstd on one end of a pipe, the sample on the other. */
#include <stdio.h>
#include <unistd.h>
#include <xenrestore.h>

int restore_guest(int fd, uint32_t domid, enum xr_host_kind host);

int main(int argc, char **argv)
{
	int fd[2];

	if (argc != 2 || pipe(fd))
		return 1;
	if (fork() == 0) {
		dup2(fd[1], STDOUT_FILENO);
		execlp("zstd", "zstd", "-dcq", argv[1], (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	return restore_guest(fd[0], 0, XR_HOST_MODEL) != 0;
}
