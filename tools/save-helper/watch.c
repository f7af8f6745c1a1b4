/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *watch(void *arg)
{
	struct xr_watch *w = arg;
	struct pollfd p[2] = { { .fd = w->fd }, { .fd = w->stop, .events = POLLIN } };

	while (poll(p, 2, -1) < 0)
		;
	if (p[0].revents)
		xr_cancel(w->restore);
	return NULL;
}

void xr_watch_start(struct xr_watch *w, int fd, struct xr_restore *r)
{
	w->restore = r;
	w->fd = fd;
	w->running = false;
	w->stop = eventfd(0, EFD_CLOEXEC);
	if (w->stop >= 0)
		w->running = !pthread_create(&w->thread, NULL, watch, w);
}

void xr_watch_stop(struct xr_watch *w)
{
	if (w->running) {
		eventfd_write(w->stop, 1);
		pthread_join(w->thread, NULL);
	}
	if (w->stop >= 0)
		close(w->stop);
}
