/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model's life: making, sharing and attaching its state, its lock, faults to inject, and what
 * tests and tools read out of it.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_TABLES ((uint64_t)1 << 24)
#define PAGE_UP(x) (((x) + XR_PAGE_SIZE - 1) & ~(size_t)(XR_PAGE_SIZE - 1))

void xr_model_settings_default(struct xr_model_settings *s)
{
	const char *fill = secure_getenv("XR_MODEL_FILL");

	*s = (struct xr_model_settings){
		.max_pages = (uint64_t)1 << 32,
		.max_order = XR_ORDER_1G,
		.fill = fill ? strtoull(fill, NULL, 0) : 0,
	};
}

/* Where the parts of the state lie, one behind the other; returns the size of all. */
static size_t place(struct xr_model *m, uintptr_t base, bool with_refs, uint64_t nr_tables)
{
	size_t at = PAGE_UP(sizeof(struct model_state));

	m->s = (struct model_state *)base;
	m->region = (uint64_t *)(base + at);
	at += REGIONS * sizeof(*m->region);
	m->table = (uint64_t(*)[REGION_PAGES])(base + at);
	at += nr_tables * sizeof(*m->table);
	m->node = (struct model_node *)(base + at);
	at += PAGE_UP(MODEL_NODES * sizeof(*m->node));
	for (int i = 0; i < 2; i++) {
		m->refs[i] = with_refs ? (uint32_t *)(base + at) : NULL;
		at += with_refs ? MFN_LIMIT * sizeof(uint32_t) : 0;
	}
	for (int i = 0; i < 2; i++) {
		m->frame[i] = (struct model_frame *)(base + at);
		at += PV_FRAMES * sizeof(*m->frame[i]);
	}
	return at;
}

/* Enough for any domain within the limits that has no more than one page in each region. */
static uint64_t tables_for(const struct xr_model_settings *set)
{
	uint64_t n = set->max_gfn / REGION_PAGES + 1;

	if (n > set->max_pages + 1)
		n = set->max_pages + 1;
	return 2 + (n < MAX_TABLES ? n : MAX_TABLES);
}

static int map_state(struct xr_model *m, bool with_refs, uint64_t nr_tables)
{
	struct xr_model layout;
	char *base;

	m->bytes = place(&layout, 0, with_refs, nr_tables);
	base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->state_fd,
		    0);
	if (base == MAP_FAILED)
		return -errno;
	/* hundreds of gigabytes, of which next to nothing is there */
	madvise(base, m->bytes, MADV_DONTDUMP);
	place(m, (uintptr_t)base, with_refs, nr_tables);
	return 0;
}

static int init_lock(struct xr_model *m)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc)
		return -rc;
	rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (!rc)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (!rc)
		rc = pthread_mutex_init(&m->s->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -rc;
}

static int complete(struct xr_model_settings *set)
{
	if (!set->max_gfn)
		set->max_gfn = ((uint64_t)1 << GFN_BITS) - 1;
	if (set->follow && !set->max_vcpu_id)
		set->max_vcpu_id = PV_VCPUS - 1;
	if (set->max_gfn >> GFN_BITS || set->max_order > XR_ORDER_1G)
		return -EINVAL;
	return 0;
}

/* Of zeroed state. */
static void begin_life(struct xr_model *m, const struct xr_model_settings *set)
{
	/* Mapped. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	m->s->set = *set;
	m->s->owned = m->s->stats.peak_pages = set->start_pages;
	m->s->highest = NO_FRAME;
	m->s->fail_order = 255;
	model_pv_reset_locked(m);
}

static int init_state(struct xr_model *m, const struct xr_model_settings *set)
{
	uint64_t nr_tables = tables_for(set);
	struct xr_model layout;
	int rc;

	m->state_fd = memfd_create("xr-model", MFD_CLOEXEC);
	if (m->state_fd < 0)
		return -errno;
	if (ftruncate(m->state_fd, (off_t)place(&layout, 0, !set->without_memory, nr_tables)) < 0)
		return -errno;
	rc = map_state(m, !set->without_memory, nr_tables);
	if (rc)
		return rc;
	begin_life(m, set);
	m->s->nr_tables = (uint32_t)nr_tables;
	rc = init_lock(m);
	if (!rc && !set->without_memory)
		rc = model_files_open(m);
	m->s->magic = MODEL_MAGIC;
	return rc;
}

static struct xr_model *new_model(void)
{
	struct xr_model *m = calloc(1, sizeof(*m));

	if (m)
		m->state_fd = m->file[0] = m->file[1] = -1;
	return m;
}

int xr_model_create(struct xr_model **out, const struct xr_model_settings *s)
{
	struct xr_model_settings set = *s;
	struct xr_model *m = NULL;
	int rc = complete(&set);

	*out = NULL;
	if (rc)
		return rc;
	m = new_model();
	if (!m)
		return -ENOMEM;
	rc = init_state(m, &set);
	if (rc)
		xr_model_destroy(&m);
	*out = m;
	return rc;
}

void xr_model_destroy(struct xr_model **m)
{
	struct xr_model *gone = *m;

	*m = NULL;
	if (!gone)
		return;
	if (gone->s)
		munmap(gone->s, gone->bytes);
	for (int i = 0; i < 2; i++) {
		if (gone->file[i] >= 0)
			close(gone->file[i]);
	}
	if (gone->state_fd >= 0)
		close(gone->state_fd);
	free(gone);
}

static void forget_frames(struct xr_model *m)
{
	for (unsigned int f = 0; f < 2; f++) {
		const uint64_t n = m->s->next_mfn[f];

		if (n && m->refs[f])
			memset(m->refs[f], 0, n * sizeof(*m->refs[f]));
		if (m->s->set.pv)
			memset(m->frame[f], 0, n * sizeof(*m->frame[f]));
		if (n)
			model_pages_free(m, f ? MFN_HUGE : 0, n);
		m->s->next_mfn[f] = 0;
	}
}

int xr_model_reset(struct xr_model *m, const struct xr_model_settings *s)
{
	struct xr_model_settings set = *s;
	struct model_state *st = m->s;
	int rc = complete(&set);

	if (rc)
		return rc;
	model_lock(m);
	set.without_memory = st->set.without_memory;
	set.no_huge = st->set.no_huge;
	model_p2m_clear_locked(m);
	forget_frames(m); /* by the old settings */
	memset(&st->stats, 0, sizeof(st->stats));
	memset(st->fault, 0, sizeof(st->fault));
	memset(st->param, 0, sizeof(st->param));
	memset(st->param_set, 0, sizeof(st->param_set));
	st->given = (struct xr_model_given){ 0 };
	st->pinned = 0;
	st->ndirty = 0;
	st->log_len = 0;
	st->log[0] = 0;
	begin_life(m, &set);
	model_unlock(m);
	return 0;
}

void xr_model_follow(struct xr_model *m, bool pv)
{
	struct model_state *s = m->s;

	model_lock(m);
	if (s->set.follow && s->set.pv != pv && s->highest == NO_FRAME) {
		forget_frames(m);
		s->set.pv = pv;
		model_pv_reset_locked(m);
	}
	model_unlock(m);
}

static int keep_over_exec(int fd)
{
	int flags = fd < 0 ? 0 : fcntl(fd, F_GETFD);

	if (fd < 0)
		return 0;
	return flags < 0 || fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) < 0 ? -errno : 0;
}

int xr_model_share(struct xr_model *m)
{
	int rc = keep_over_exec(m->state_fd);

	for (int i = 0; i < 2 && !rc; i++)
		rc = keep_over_exec(m->file[i]);
	return rc ? rc : m->state_fd;
}

/* Inherited, and still the same file? */
static int attach_file(const struct model_file *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_dev != file->dev || st.st_ino != file->ino) {
		errno = EBADF;
		return -1;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int attach_state(struct xr_model *m, int fd, const int *files)
{
	struct model_state *s;
	struct stat st;
	int rc;

	m->state_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (m->state_fd < 0 || fstat(m->state_fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(*s))
		return -EINVAL;
	s = mmap(NULL, sizeof(*s), PROT_READ, MAP_SHARED, m->state_fd, 0);
	if (s == MAP_FAILED)
		return -errno;
	if (s->magic != MODEL_MAGIC)
		rc = -EINVAL;
	else
		rc = map_state(m, !s->set.without_memory, s->nr_tables);
	munmap(s, sizeof(*s));
	/* Mapped. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	for (int i = 0; i < 2 && !rc && !m->s->set.without_memory; i++) {
		m->file[i] = attach_file(&m->s->file[i], files ? files[i] : m->s->file[i].fd);
		if (m->file[i] < 0)
			rc = -errno;
	}
	return rc;
}

int model_attach(struct xr_model **out, int fd, const int *files)
{
	struct xr_model *m = new_model();
	int rc;

	*out = NULL;
	if (!m)
		return -ENOMEM;
	rc = attach_state(m, fd, files);
	if (rc)
		xr_model_destroy(&m);
	*out = m;
	return rc;
}

int xr_model_attach(struct xr_model **out, int fd)
{
	return model_attach(out, fd, NULL);
}

void model_lock(struct xr_model *m)
{
	if (pthread_mutex_lock(&m->s->lock) != EOWNERDEAD)
		return;
	model_refs_rebuild_locked(m);
	pthread_mutex_consistent(&m->s->lock);
}

void model_unlock(struct xr_model *m)
{
	pthread_mutex_unlock(&m->s->lock);
}

bool model_begin_locked(struct xr_model *m, enum xr_model_call call, unsigned int order, int *arg)
{
	bool fails = false;

	m->s->stats.calls[call]++;
	for (unsigned int i = 0; i < MODEL_FAULTS; i++) {
		struct model_fault *f = &m->s->fault[i];

		if (!f->nth || f->call != call || (f->order >= 0 && f->order != (int)order))
			continue;
		if (--f->nth || fails)
			continue;
		*arg = f->arg;
		fails = true;
	}
	return fails;
}

void model_log_locked(struct xr_model *m, const char *fmt, ...)
{
	struct model_state *s = m->s;
	size_t room = sizeof(s->log) - s->log_len;
	char entry[64];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(entry, sizeof(entry), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n + 2 > room)
		return;
	if (s->log_len)
		s->log[s->log_len++] = ' ';
	memcpy(s->log + s->log_len, entry, (size_t)n + 1);
	s->log_len += (uint32_t)n;
}

uint64_t model_tot_locked(const struct xr_model *m)
{
	return m->s->owned + m->s->pinned;
}

bool xr_model_has_huge_pages(const struct xr_model *m)
{
	return m->s->huge;
}

void xr_model_fail(struct xr_model *m, enum xr_model_call call, uint64_t nth, int order, int arg)
{
	model_lock(m);
	for (unsigned int i = 0; i < MODEL_FAULTS; i++) {
		if (m->s->fault[i].nth)
			continue;
		m->s->fault[i] = (struct model_fault){ nth, call, order, arg };
		break;
	}
	model_unlock(m);
}

void xr_model_fail_orders_from(struct xr_model *m, unsigned int order)
{
	model_lock(m);
	m->s->fail_order = order;
	model_unlock(m);
}

void xr_model_stats(struct xr_model *m, struct xr_model_stats *out)
{
	model_lock(m);
	model_reap_locked(m);
	*out = m->s->stats;
	out->tot_pages = model_tot_locked(m);
	out->max_pages = m->s->set.max_pages;
	model_unlock(m);
}

int xr_model_order(struct xr_model *m, uint64_t gfn)
{
	int order;

	model_lock(m);
	model_p2m_get_locked(m, gfn, &order);
	model_unlock(m);
	return order;
}

uint64_t xr_model_next(struct xr_model *m, uint64_t from)
{
	uint64_t gfn;

	model_lock(m);
	gfn = model_p2m_next_locked(m, from);
	model_unlock(m);
	return gfn;
}

uint64_t xr_model_highest(struct xr_model *m)
{
	uint64_t gfn;

	model_lock(m);
	gfn = m->s->highest;
	model_unlock(m);
	return gfn;
}

uint64_t xr_model_param(struct xr_model *m, uint32_t index)
{
	uint64_t value = ~(uint64_t)0;

	model_lock(m);
	if (index < XR_HVM_PARAMS && m->s->param_set[index])
		value = m->s->param[index];
	model_unlock(m);
	return value;
}

const char *xr_model_log(struct xr_model *m)
{
	return m->s->log;
}
