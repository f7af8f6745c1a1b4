/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/crew.h"

#include <signal.h>
#include <stdio.h>

static void *thread_main(void *p)
{
	const struct xr_thread_arg *arg = p;
	char name[24];

	snprintf(name, sizeof(name), "xr-copy/%u", arg->lane);
	pthread_setname_np(pthread_self(), name);
	xr_worker_run(arg->cfg, arg->lane, NULL);
	return NULL;
}

int xr_threads_start(struct xr_threads *t, const struct xr_crew_config *cfg, struct xr_error *err)
{
	sigset_t all, before;
	int rc = 0;

	t->n = 0;
	/* Signals are for the caller's own threads; a fault stays the faulting thread's. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = 0; !rc && i < cfg->arena->nlanes; i++) {
		t->arg[i] = (struct xr_thread_arg){ cfg, i };
		rc = pthread_create(&t->id[i], NULL, thread_main, &t->arg[i]);
		t->n += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		return 0;
	xr_fail_host(err, -rc, XR_STAGE_SETUP, NULL, XR_NO_PFN,
		     "cannot start copy worker thread %u of %u (error %d)", t->n,
		     cfg->arena->nlanes, rc);
	xr_threads_stop(t, cfg->arena);
	return -rc;
}

void xr_threads_stop(struct xr_threads *t, struct xr_arena *arena)
{
	xr_arena_stop(arena);
	for (; t->n; t->n--)
		pthread_join(t->id[t->n - 1], NULL);
}
