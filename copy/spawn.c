/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting the worker program: the opener's side, and the silent child's. */
#include "copy/spawn.h"

#include "base/shared.h"
#include "copy/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *xr_spawn_program(void)
{
	const char *path = secure_getenv("XENRESTORE_WORKER");

	return path ? path : XR_WORKER_PROGRAM;
}

bool xr_spawn_possible(const struct xr_host *host)
{
	return host->ops->share && !access(xr_spawn_program(), X_OK);
}

static void add_kept(struct xr_spawn *s, int fd)
{
	unsigned int i = s->nkeep;

	if (fd < 0)
		return;
	for (; i && s->keep[i - 1] > fd; i--)
		s->keep[i] = s->keep[i - 1];
	s->keep[i] = fd;
	s->nkeep++;
}

/* A pipe is nothing for workers. */
static int if_regular(int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? fd : -1;
}

static void fill_ticket(struct xr_ticket *t, const struct xr_crew_config *cfg,
			const struct xr_nursery_fds *fds)
{
	memset(t, 0, sizeof(*t));
	snprintf(t->version, sizeof(t->version), "%s", xr_version());
	t->layout = XR_TICKET_LAYOUT;
	t->keep = cfg->keep;
	cfg->host->ops->share(cfg->host, &t->host);
	t->fds = *fds;
	t->arena = cfg->arena->fd;
	t->pool = cfg->pool ? cfg->pool->fd : -1;
	t->p2m = cfg->p2m ? xr_p2m_fd(cfg->p2m) : -1;
	t->digests = cfg->digests ? xr_digests_fd(cfg->digests) : -1;
	t->stream = if_regular(cfg->fd);
	for (unsigned int i = 0; i < XR_COPY_KEPT; i++)
		t->kept[i] = cfg->kept[i];
	t->sandbox = cfg->sandbox;
}

static int write_ticket(struct xr_spawn *s, const struct xr_ticket *t)
{
	int rc = 0;

	s->ticket = xr_shared_file("xr-ticket");
	if (s->ticket < 0)
		return -errno;
	if (pwrite(s->ticket, t, sizeof(*t), 0) != (ssize_t)sizeof(*t)) {
		rc = -EIO;
		close(s->ticket);
	}
	snprintf(s->number, sizeof(s->number), "%d", s->ticket);
	return rc;
}

int xr_spawn_prepare(struct xr_spawn *s, const struct xr_crew_config *cfg,
		     const struct xr_nursery_fds *fds)
{
	struct xr_ticket t;
	int rc;

	*s = (struct xr_spawn){ .arena = cfg->arena, .program = xr_spawn_program() };
	fill_ticket(&t, cfg, fds);
	rc = write_ticket(s, &t);
	if (rc)
		return rc;
	const int kept[XR_SPAWN_KEEPS] = { STDERR_FILENO, s->ticket, t.arena,	   t.pool,
					   t.p2m,	  t.digests, t.stream,	   fds->control,
					   fds->opener,	  fds->bell, t.host.fd[0], t.host.fd[1],
					   t.host.fd[2],  t.kept[0], t.kept[1] };

	for (unsigned int i = 0; i < XR_SPAWN_KEEPS; i++)
		add_kept(s, kept[i]);
	return 0;
}

void xr_spawn_done(struct xr_spawn *s)
{
	close(s->ticket);
}

/* From here on only what a child of a program with threads may do. */

static void shed_fds(const struct xr_spawn *s)
{
	unsigned int from = 0;

	for (unsigned int i = 0; i < s->nkeep; i++) {
		const unsigned int fd = (unsigned int)s->keep[i];

		if (fd > from)
			close_range(from, fd - 1, 0);
		fcntl(s->keep[i], F_SETFD, 0);
		from = fd + 1;
	}
	close_range(from, ~0u, 0);
}

static void note(const struct xr_spawn *s, int error)
{
	__atomic_store_n(&s->arena->spawn_errno, error, __ATOMIC_RELEASE);
}

void xr_spawn_run(const struct xr_spawn *s)
{
	char *const argv[] = { (char *)(uintptr_t) "xenrestore-worker",
			       (char *)(uintptr_t)s->number, NULL };
	siginfo_t si = { 0 };
	pid_t pid;
	int rc;

	xr_sandbox_signals();
	prctl(PR_SET_NAME, "xr-spawner");
	shed_fds(s);
	s->arena->spawner = getpid();
	/* A vfork and an exec: it takes no lock and nothing from the heap. */
	rc = posix_spawn(&pid, s->program, NULL, NULL, argv, environ);
	if (rc)
		note(s, rc);
	close_range(0, ~0u, 0);
	while (!rc && waitid(P_PID, (id_t)pid, &si, WEXITED) && errno == EINTR)
		;
	if (si.si_code == CLD_EXITED && si.si_status == XR_SPAWN_REFUSED &&
	    !__atomic_load_n(&s->arena->spawn_errno, __ATOMIC_ACQUIRE))
		note(s, EPROTO);
	_exit(0);
}
