/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct guest_mapper {
	struct xr_mapper m;
	struct guest *g;
};

static void nap(void)
{
	const struct timespec ms = { 0, 1000000 };

	nanosleep(&ms, NULL);
}

static void unlock(struct guest_state *s)
{
	__atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

/* A zombie has no memory any more: it only waits for a parent that may take its time. */
static bool exists(pid_t pid)
{
	char path[32], state = 'Z';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	fclose(f);
	return state != 'Z' && state != 'X';
}

/* Holds the taker's thread id: who was killed while it held it holds it no more. */
static void lock(struct guest_state *s)
{
	const uint32_t me = (uint32_t)gettid();
	uint32_t holder = 0;

	while (!__atomic_compare_exchange_n(&s->lock, &holder, me, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		if (!holder || exists((pid_t)holder)) {
			holder = 0;
			nap();
		}
	}
}

static void note_pid(struct guest_state *s, pid_t pid)
{
	for (uint32_t i = 0; i < s->npids; i++) {
		if (s->pids[i] == pid)
			return;
	}
	s->pids[s->npids++ % GUEST_PIDS] = pid;
}

static int mapper_open(struct xr_host *h, struct xr_mapper **out)
{
	struct guest *g = (struct guest *)h;
	struct guest_mapper *m;

	lock(g->state);
	note_pid(g->state, getpid());
	note_pid(g->state, getppid());
	unlock(g->state);
	if (__atomic_load_n(&g->state->opens_fail, __ATOMIC_ACQUIRE))
		return -EACCES;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->m.ops = h->ops;
	m->g = g;
	*out = &m->m;
	return 0;
}

static void mapper_close(struct xr_mapper *m)
{
	free(m);
}

static void *map_frames(struct guest *g, size_t n, const uint64_t *gfns)
{
	unsigned char *at = mmap(NULL, n * XR_PAGE_SIZE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t run;

	if (at == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < n; i += run) {
		for (run = 1; i + run < n && gfns[i + run] == gfns[i] + run;)
			run++;
		if (gfns[i] + run > g->frames ||
		    mmap(at + i * XR_PAGE_SIZE, run * XR_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, g->fd,
			 (off_t)(gfns[i] * XR_PAGE_SIZE)) == MAP_FAILED) {
			munmap(at, n * XR_PAGE_SIZE);
			errno = EINVAL;
			return NULL;
		}
	}
	return at;
}

static unsigned int free_mapping(struct guest_state *s)
{
	unsigned int i = 0;

	while (i < s->nmappings && s->mapping[i].pid)
		i++;
	if (i == s->nmappings && i < GUEST_MAPPINGS)
		s->nmappings++;
	/* Those of the dead only when there are no others: it takes a while to see who is. */
	for (i %= GUEST_MAPPINGS; s->mapping[i].pid && exists(s->mapping[i].pid); i++)
		if (i == GUEST_MAPPINGS - 1)
			abort();
	return i;
}

static void note_mapping(struct guest_state *s, void *addr, size_t n, const uint64_t *gfns)
{
	unsigned int i;

	lock(s);
	i = free_mapping(s);
	s->mapping[i] = (struct guest_mapping){ getpid(), addr, (uint32_t)n };
	for (size_t k = 0; k < n; k++)
		s->gfn[i][k] = (uint32_t)gfns[k];
	unlock(s);
}

static bool meet_fault(struct guest_state *s, size_t n, int *err)
{
	uint64_t call = __atomic_add_fetch(&s->map_calls, 1, __ATOMIC_ACQ_REL);

	if (call != __atomic_load_n(&s->fault_at, __ATOMIC_ACQUIRE))
		return false;
	if (s->fault == GUEST_RAISE)
		kill(getpid(), s->fault_arg);
	if (s->fault == GUEST_FAIL_PAGE && (size_t)s->fault_arg < n)
		err[s->fault_arg] = -EINVAL;
	return s->fault == GUEST_FAIL_CALL;
}

/* As an address space is that may hold only so many mappings. */
static bool is_full(struct guest_state *s)
{
	const uint32_t most = __atomic_load_n(&s->most_mappings, __ATOMIC_ACQUIRE);
	uint32_t mine = 0;

	if (!most)
		return false;
	lock(s);
	for (unsigned int i = 0; i < s->nmappings; i++)
		mine += s->mapping[i].pid == getpid();
	unlock(s);
	return mine >= most;
}

static void *map(struct xr_mapper *m, size_t n, const uint64_t *gfns, int *err)
{
	struct guest *g = ((struct guest_mapper *)m)->g;
	void *addr;

	memset(err, 0, n * sizeof(*err));
	if (__atomic_load_n(&g->state->stalled, __ATOMIC_ACQUIRE)) {
		__atomic_add_fetch(&g->state->stalls, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&g->state->stalled, __ATOMIC_ACQUIRE))
			nap();
	}
	if (meet_fault(g->state, n, err)) {
		errno = EIO;
		return NULL;
	}
	if (is_full(g->state)) {
		errno = ENOMEM;
		return NULL;
	}
	addr = map_frames(g, n, gfns);
	if (addr)
		note_mapping(g->state, addr, n, gfns);
	return addr;
}

static int unmap(struct xr_mapper *m, void *addr, size_t n)
{
	struct guest_state *s = ((struct guest_mapper *)m)->g->state;
	bool found = false;

	if (__atomic_load_n(&s->unmaps_fail, __ATOMIC_ACQUIRE))
		return -EIO;
	lock(s);
	for (unsigned int i = 0; !found && i < s->nmappings; i++) {
		struct guest_mapping *g = &s->mapping[i];

		found = g->pid == getpid() && g->addr == addr && g->n == n;
		if (found)
			g->pid = 0;
	}
	unlock(s);
	if (!found)
		abort(); /* unmapped twice, or in part */
	return munmap(addr, n * XR_PAGE_SIZE) ? -errno : 0;
}

static const struct xr_host_ops ops = {
	.name = "copy test",
	.mapper_open = mapper_open,
	.mapper_close = mapper_close,
	.map = map,
	.unmap = unmap,
};

struct guest *guest_new(size_t frames)
{
	struct guest *g = calloc(1, sizeof(*g));

	g->host.ops = &ops;
	g->frames = frames;
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	if (g->fd < 0 || ftruncate(g->fd, (off_t)(frames * XR_PAGE_SIZE)))
		abort();
	g->memory = mmap(NULL, frames * XR_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	g->state = mmap(NULL, sizeof(*g->state), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->memory == MAP_FAILED || g->state == MAP_FAILED)
		abort();
	return g;
}

void guest_free(struct guest *g)
{
	munmap(g->memory, g->frames * XR_PAGE_SIZE);
	munmap(g->state, sizeof(*g->state));
	close(g->fd);
	free(g);
}

void guest_fail_map(struct guest *g, uint64_t nth, enum guest_fault fault, int arg)
{
	struct guest_state *s = g->state;

	s->fault = fault;
	s->fault_arg = arg;
	__atomic_store_n(&s->fault_at, __atomic_load_n(&s->map_calls, __ATOMIC_ACQUIRE) + nth,
			 __ATOMIC_RELEASE);
}

static bool holds(const struct guest_state *s, unsigned int mapping, int64_t gfn)
{
	for (uint32_t i = 0; i < s->mapping[mapping].n; i++) {
		if (gfn < 0 || s->gfn[mapping][i] == gfn)
			return true;
	}
	return false;
}

unsigned int guest_mapped(struct guest *g, int64_t gfn)
{
	unsigned int live = 0;

	lock(g->state);
	for (unsigned int i = 0; i < g->state->nmappings; i++) {
		pid_t pid = g->state->mapping[i].pid;

		live += pid && holds(g->state, i, gfn) && (pid == getpid() || exists(pid));
	}
	unlock(g->state);
	return live;
}

unsigned int guest_processes(struct guest *g)
{
	unsigned int live = 0;

	for (uint32_t i = 0; i < g->state->npids && i < GUEST_PIDS; i++)
		live += g->state->pids[i] != getpid() && g->state->pids[i] != getppid() &&
			exists(g->state->pids[i]);
	return live;
}
