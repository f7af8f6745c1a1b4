/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void xr_notify_open(struct xr_notify *n)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	const size_t length = path ? strlen(path) : 0;

	n->fd = -1;
	if (!length || length > sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, length);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* not in the file system */
	unsetenv("NOTIFY_SOCKET");
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd >= 0 && connect(n->fd, (struct sockaddr *)&to,
				  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)))
		xr_notify_close(n);
}

void xr_notify(struct xr_notify *n, const char *fmt, ...)
{
	char text[512];
	va_list args;
	ssize_t sent;

	if (n->fd < 0)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sent = write(n->fd, text, strlen(text));
	(void)sent; /* a manager that does not listen is not waited for */
}

void xr_notify_close(struct xr_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
