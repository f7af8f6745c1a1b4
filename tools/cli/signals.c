/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signals.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#define PATIENCE_NS 1000000000u

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
#define NSIGNALS (sizeof(signals) / sizeof(signals[0]))

static struct sigaction before[NSIGNALS];
static struct xr_restore *volatile running;
static volatile uint64_t first; /* ns; 0: none came */

static void on_signal(int sig)
{
	const int saved = errno;

	if (first && xr_now() - first > PATIENCE_NS) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	if (!first)
		first = xr_now();
	if (running)
		xr_cancel(running);
	errno = saved;
}

void xr_signals_catch(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	/* One at a time: the handler has a state. */
	for (size_t i = 0; i < NSIGNALS; i++)
		sigaddset(&sa.sa_mask, signals[i]);
	for (size_t i = 0; i < NSIGNALS; i++) {
		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN) /* as nohup leaves it */
			sigaction(signals[i], &sa, NULL);
	}
}

bool xr_signals_came(void)
{
	return first;
}

void xr_signals_cancel(struct xr_restore *r)
{
	running = r;
	if (r && first)
		xr_cancel(r);
}

void xr_signals_release(void)
{
	running = NULL;
	for (size_t i = 0; i < NSIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
}
