/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapping frames of the model, and the references that mappings hold.
 *
 * Like a foreign mapping of Xen's, one here has all its page table entries when the call returns,
 * and only small ones: where a run covers whole huge pages, its address is kept out of phase with
 * them. What is mapped by whom is recorded in the shared state, so that the references of a process
 * that died go with it.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP_MANY ((size_t)1 << 20)

struct mapper {
	struct xr_mapper base;
	struct xr_model *m;
	unsigned int slot;
	pid_t pid;
};

/* /proc/<pid>/stat: when the process started. False if it is gone; a zombie is gone, its memory
 * went before it became one. */
static bool process_started(pid_t pid, uint64_t *started)
{
	char path[40], buf[1024], state;
	unsigned long long start;
	long threads;
	char *p;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f) {
		*started = 0; /* no /proc, or a sandbox: nothing can be opened */
		return kill(pid, 0) == 0 || errno == EPERM;
	}
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	p = strrchr(buf, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1,
			 " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld "
			 "%*d %llu",
			 &state, &threads, &start) != 3)
		return false;
	*started = start;
	return !((state == 'Z' || state == 'X') && threads <= 1);
}

static bool owner_gone(const struct model_mapper_slot *slot)
{
	uint64_t started;

	if (slot->owner == getpid())
		return false;
	if (!process_started(slot->owner, &started))
		return true;
	return started && slot->started && started != slot->started;
}

static uint32_t take_node(struct xr_model *m)
{
	struct model_state *s = m->s;
	uint32_t i = s->free_node;

	if (i)
		/* Mapped. */
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		s->free_node = m->node[i].next;
	else if (s->nodes_used + 1 < MODEL_NODES)
		i = ++s->nodes_used;
	if (i)
		/* Mapped. */
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		m->node[i] = (struct model_node){ 0 };
	return i;
}

static void give_node(struct xr_model *m, uint32_t i)
{
	m->node[i].next = m->s->free_node;
	m->s->free_node = i;
}

static void drop_ref(struct xr_model *m, uint64_t mfn)
{
	uint32_t *ref = model_ref(m, mfn);

	(*ref)--;
	m->s->stats.live_mappings--;
	if ((*ref & REF_COUNT) || !(*ref & REF_RELEASED))
		return;
	*ref = 0;
	m->s->pinned--;
	model_pages_free(m, mfn, 1);
}

static void drop_runs(struct xr_model *m, uint32_t run)
{
	while (run) {
		struct model_node *n = &m->node[run];
		uint32_t next = n->next;

		for (uint32_t i = 0; i < n->count; i++)
			drop_ref(m, n->base + i);
		give_node(m, run);
		run = next;
	}
}

static void drop_mapping(struct xr_model *m, uint32_t i)
{
	drop_runs(m, m->node[i].first);
	give_node(m, i);
}

static void publish(uint32_t *link, uint32_t value)
{
	__atomic_store_n(link, value, __ATOMIC_RELEASE);
}

static void drop_slot(struct xr_model *m, struct model_mapper_slot *slot)
{
	while (slot->mappings) {
		uint32_t i = slot->mappings;

		publish(&slot->mappings, m->node[i].next);
		drop_mapping(m, i);
	}
	slot->owner = 0;
}

void model_reap_locked(struct xr_model *m)
{
	for (unsigned int i = 0; i < MODEL_MAPPERS; i++) {
		struct model_mapper_slot *slot = &m->s->mapper[i];

		if (slot->owner && owner_gone(slot))
			drop_slot(m, slot);
	}
}

static void count_refs(struct xr_model *m, uint32_t run)
{
	for (; run; run = m->node[run].next) {
		const struct model_node *n = &m->node[run];

		for (uint32_t i = 0; i < n->count; i++)
			++*model_ref(m, n->base + i);
		m->s->stats.live_mappings += n->count;
	}
}

/* Frames that are released and now have no mapping left over from a half-done change. */
static void settle_released(struct xr_model *m, unsigned int file)
{
	for (uint64_t i = 0; i < m->s->next_mfn[file]; i++) {
		uint32_t *ref = &m->refs[file][i];

		if (!(*ref & REF_RELEASED))
			continue;
		if (*ref & REF_COUNT) {
			m->s->pinned++;
			continue;
		}
		*ref = 0;
		model_pages_free(m, file ? i | MFN_HUGE : i, 1);
	}
}

void model_refs_rebuild_locked(struct xr_model *m)
{
	struct model_state *s = m->s;

	if (s->set.without_memory)
		return;
	s->free_node = 0; /* may be torn: forget it, there are plenty */
	s->stats.live_mappings = 0;
	s->pinned = 0;
	for (unsigned int f = 0; f < 2; f++) {
		for (uint64_t i = 0; i < s->next_mfn[f]; i++) {
			if (m->refs[f][i] & REF_COUNT)
				m->refs[f][i] &= ~REF_COUNT;
		}
	}
	for (unsigned int i = 0; i < MODEL_MAPPERS; i++) {
		uint32_t map = s->mapper[i].owner ? s->mapper[i].mappings : 0;

		for (; map; map = m->node[map].next)
			count_refs(m, m->node[map].first);
	}
	settle_released(m, 0);
	settle_released(m, 1);
}

static struct model_mapper_slot *find_slot(struct xr_model *m)
{
	for (int again = 0; again < 2; again++) {
		for (unsigned int i = 0; i < MODEL_MAPPERS; i++) {
			if (!m->s->mapper[i].owner)
				return &m->s->mapper[i];
		}
		model_reap_locked(m);
	}
	return NULL;
}

int model_mapper_open(struct xr_host *h, struct xr_mapper **out)
{
	struct xr_model *m = model_of(h);
	struct model_mapper_slot *slot;
	struct mapper *mapper;
	uint64_t started;
	int rc = 0;

	*out = NULL;
	mapper = malloc(sizeof(*mapper));
	if (!mapper)
		return -ENOMEM;
	*mapper = (struct mapper){ { .ops = h->ops }, m, 0, getpid() };
	process_started(mapper->pid, &started);
	model_lock(m);
	if (model_begin_locked(m, XR_CALL_MAPPER, 0, &rc))
		goto out;
	slot = find_slot(m);
	if (!slot) {
		rc = -EMFILE;
		goto out;
	}
	*slot = (struct model_mapper_slot){ mapper->pid, started, 0 };
	mapper->slot = (unsigned int)(slot - m->s->mapper);
out:
	model_unlock(m);
	if (rc)
		free(mapper);
	else
		*out = &mapper->base;
	return rc;
}

/* Reserved beside the n pages of a mapping: room to choose a phase. */
static size_t slack(size_t n)
{
	return n / REGION_PAGES + 1;
}

static void unmap_node(const struct model_node *n)
{
	if (n->base)
		munmap((void *)(uintptr_t)(n->base - (uint64_t)n->shift * XR_PAGE_SIZE),
		       (n->count + slack(n->count)) * XR_PAGE_SIZE);
}

void model_mapper_close(struct xr_mapper *mapper)
{
	struct mapper *mp = (struct mapper *)mapper;
	struct model_mapper_slot *slot;
	struct xr_model *m;

	if (!mp)
		return;
	m = mp->m;
	slot = &m->s->mapper[mp->slot];
	model_lock(m);
	if (mp->pid == getpid()) {
		/* A real one leaves them to the process: they are to be seen here. */
		for (uint32_t i = slot->mappings; i; i = m->node[i].next) {
			m->s->stats.left_mapped += m->node[i].count;
			unmap_node(&m->node[i]);
		}
		drop_slot(m, slot);
	}
	model_reap_locked(m);
	model_unlock(m);
	free(mp);
}

/* Add the frame to the mapping's runs; *tail is its last run. */
static int add_frame(struct xr_model *m, uint32_t map, uint32_t *tail, uint64_t mfn, bool follows)
{
	struct model_node *run = *tail ? &m->node[*tail] : NULL;
	uint32_t i;

	if (!run || !follows || run->base + run->count != mfn) {
		i = take_node(m);
		if (!i)
			return -ENOMEM;
		m->node[i].base = mfn;
		if (run)
			run->next = i;
		else
			m->node[map].first = i;
		*tail = i;
		run = &m->node[i];
	}
	run->count++;
	++*model_ref(m, mfn);
	*model_ref(m, mfn) |= REF_TOUCHED;
	m->s->stats.live_mappings++;
	return 0;
}

/* Look the frames up, take a reference on each and link the record of them. 0: no room. */
static uint32_t take_frames(struct mapper *mp, size_t n, const uint64_t *gfns, int *err, int bad)
{
	struct xr_model *m = mp->m;
	struct model_mapper_slot *slot = &m->s->mapper[mp->slot];
	uint32_t map = take_node(m), tail = 0;

	if (!map)
		return 0;
	m->node[map].count = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		uint64_t mfn = model_lookup_locked(m, gfns[i], NULL);

		err[i] = mfn == NO_FRAME || bad == (int)i || !model_writable_locked(m, mfn)
				 ? -EINVAL
				 : 0;
		if (err[i])
			continue;
		if (add_frame(m, map, &tail, mfn, i && !err[i - 1])) {
			drop_mapping(m, map);
			return 0;
		}
		m->s->stats.pages_mapped++;
	}
	m->node[map].next = slot->mappings;
	publish(&slot->mappings, map);
	return map;
}

/* Would some run of whole huge pages lie in phase with them at this address? */
static bool in_phase(struct xr_model *m, uint32_t map, const int *err, uintptr_t addr)
{
	uint64_t page = addr / XR_PAGE_SIZE;
	uint32_t run = m->node[map].first;

	for (size_t i = 0; i < m->node[map].count;) {
		const struct model_node *r = &m->node[run];

		if (err[i]) {
			i++;
			continue;
		}
		if (r->count >= REGION_PAGES && (r->base - page - i) % REGION_PAGES == 0)
			return true;
		i += r->count;
		run = r->next;
	}
	return false;
}

/* Pages to go into the reservation so that no run is in phase: each run of 512 pages or more spoils
 * one of slack(n) choices, so one is left. */
static uint32_t choose_shift(struct xr_model *m, uint32_t map, const int *err, uintptr_t base)
{
	uint32_t shift = 0;

	while (in_phase(m, map, err, base + (uintptr_t)shift * XR_PAGE_SIZE))
		shift++;
	return shift;
}

static int map_runs(struct xr_model *m, uint32_t map, const int *err, char *addr)
{
	uint32_t run = m->node[map].first;

	for (size_t i = 0; i < m->node[map].count;) {
		const struct model_node *r = &m->node[run];
		size_t len = (size_t)r->count * XR_PAGE_SIZE;
		char *at = addr + i * XR_PAGE_SIZE;

		if (err[i]) {
			i++;
			continue;
		}
		if (mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 mfn_file(m, r->base), (off_t)(mfn_index(r->base) << XR_PAGE_SHIFT)) != at)
			return -errno;
		i += r->count;
		run = r->next;
	}
	return 0;
}

/* Before Linux 5.14: an atomic that changes nothing makes the entry and races with no writer. */
static void touch(unsigned char *page)
{
	__atomic_fetch_or(page, 0, __ATOMIC_RELAXED);
}

static int establish(const int *err, size_t n, char *addr)
{
	for (size_t i = 0; i < n;) {
		size_t from = i;

		while (i < n && !err[i])
			i++;
		if (i > from && madvise(addr + from * XR_PAGE_SIZE, (i - from) * XR_PAGE_SIZE,
					MADV_POPULATE_WRITE) < 0) {
			if (errno != EINVAL)
				return -errno;
			for (size_t k = from; k < i; k++)
				touch((unsigned char *)addr + k * XR_PAGE_SIZE);
		}
		while (i < n && err[i])
			i++;
	}
	return 0;
}

static void *map_node(struct xr_model *m, uint32_t map, const int *err)
{
	struct model_node *node = &m->node[map];
	size_t n = node->count;
	size_t bytes = (n + slack(n)) * XR_PAGE_SIZE;
	char *base =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t shift;
	char *addr;
	int rc;

	if (base == MAP_FAILED)
		return NULL;
	shift = choose_shift(m, map, err, (uintptr_t)base);
	addr = base + (size_t)shift * XR_PAGE_SIZE;
	rc = map_runs(m, map, err, addr);
	if (!rc)
		rc = establish(err, n, addr);
	/* as a foreign mapping, it stays out of children */
	if (!rc && madvise(base, bytes, MADV_DONTFORK) < 0)
		rc = -errno;
	if (rc) {
		munmap(base, bytes);
		errno = -rc;
		return NULL;
	}
	node->shift = shift;
	node->base = (uintptr_t)addr;
	return addr;
}

/* The link that leads to the mapping at this address; NULL if there is none. */
static uint32_t *find_mapping(struct mapper *mp, const void *addr)
{
	struct xr_model *m = mp->m;
	uint32_t *link = &m->s->mapper[mp->slot].mappings;

	while (*link && m->node[*link].base != (uintptr_t)addr)
		link = &m->node[*link].next;
	return *link ? link : NULL;
}

static void forget(struct mapper *mp, uint32_t map)
{
	uint32_t *link = &mp->m->s->mapper[mp->slot].mappings;

	while (*link != map)
		link = &mp->m->node[*link].next;
	publish(link, mp->m->node[map].next);
	drop_mapping(mp->m, map);
}

/* Without memory a mapping is scratch: what is written there is nobody's. */
static void *map_scratch(struct xr_model *m, size_t n, const uint64_t *gfns, int *err)
{
	void *addr = mmap(NULL, n * XR_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int order;

	if (addr == MAP_FAILED)
		return NULL;
	model_lock(m);
	for (size_t i = 0; i < n; i++)
		err[i] = model_p2m_get_locked(m, gfns[i], &order) == NO_FRAME ? -EINVAL : 0;
	model_unlock(m);
	return addr;
}

static void *map_frames(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err,
			size_t most)
{
	struct mapper *mp = (struct mapper *)mapper;
	struct xr_model *m = mp->m;
	uint32_t map = 0;
	int bad = -1, rc = 0;
	void *addr;

	if (mp->pid != getpid()) {
		errno = EBADF; /* no handle survives fork */
		return NULL;
	}
	model_lock(m);
	if (model_begin_locked(m, XR_CALL_MAP, 0, &bad) && bad < 0)
		rc = bad;
	else if (!n || n > most)
		rc = -EINVAL;
	else if (!m->s->set.without_memory && !(map = take_frames(mp, n, gfns, err, bad)))
		rc = -ENOMEM;
	model_unlock(m);
	if (rc) {
		errno = -rc;
		return NULL;
	}
	if (m->s->set.without_memory)
		return map_scratch(m, n, gfns, err);
	addr = map_node(m, map, err);
	if (!addr) {
		rc = errno;
		model_lock(m);
		forget(mp, map);
		model_unlock(m);
		errno = rc;
	}
	return addr;
}

void *model_map(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err)
{
	return map_frames(mapper, n, gfns, err, XR_MAP_MAX);
}

void *xr_model_map_many(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err)
{
	return map_frames(mapper, n, gfns, err, MAP_MANY);
}

int model_unmap(struct xr_mapper *mapper, void *addr, size_t n)
{
	struct mapper *mp = (struct mapper *)mapper;
	struct xr_model *m = mp->m;
	uint32_t *link, map;
	int rc = 0;

	if (mp->pid != getpid())
		return -EBADF;
	model_lock(m);
	link = find_mapping(mp, addr);
	map = link ? *link : 0;
	if (!model_begin_locked(m, XR_CALL_UNMAP, 0, &rc) && !m->s->set.without_memory &&
	    (!map || m->node[map].count != n))
		rc = -EINVAL;
	model_unlock(m);
	if (rc)
		return rc;
	if (!map)
		return munmap(addr, n * XR_PAGE_SIZE) ? -errno : 0;
	unmap_node(&m->node[map]);
	model_lock(m);
	forget(mp, map);
	model_unlock(m);
	return 0;
}
