/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mappings of the guest in this process, and the munmap() that ends them. */
#include "world.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct mapping {
	struct mapping *next;
	struct world *w;
	struct xr_mapper *mapper;
	char *addr;
	size_t pages;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;
static atomic_size_t count; /* of mappings: none, and munmap() has nothing to look for */
static atomic_int owner;    /* pid: a child starts without mappings, also one made by clone() */
static _Thread_local bool inside; /* the model at work: its munmap() is the kernel's */

void mappings_lock(void)
{
	int pid = getpid();

	if (atomic_load(&owner) != pid) {
		pthread_mutex_init(&lock, NULL);
		mappings = NULL;
		atomic_store(&count, 0);
		atomic_store(&owner, pid);
	}
	pthread_mutex_lock(&lock);
	inside = true;
}

void mappings_unlock(void)
{
	inside = false;
	pthread_mutex_unlock(&lock);
}

int mappings_note(struct world *w, struct xr_mapper *mapper, void *addr, size_t n)
{
	struct mapping *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct mapping){ mappings, w, mapper, addr, n };
	mappings = m;
	atomic_fetch_add(&count, 1);
	return 0;
}

static void remove_at(struct mapping **link)
{
	struct mapping *m = *link;

	*link = m->next;
	free(m);
	atomic_fetch_sub(&count, 1);
}

void mappings_forget(const struct xr_mapper *mapper)
{
	struct mapping **link = &mappings;

	while (*link) {
		if ((*link)->mapper == mapper)
			remove_at(link);
		else
			link = &(*link)->next;
	}
}

/* The mapping that has any of these bytes. */
static struct mapping **find(const char *addr, size_t bytes)
{
	struct mapping **link = &mappings;

	while (*link && (addr >= (*link)->addr + (*link)->pages * XR_PAGE_SIZE ||
			 addr + bytes <= (*link)->addr))
		link = &(*link)->next;
	return *link ? link : NULL;
}

/* True if it was the guest's, with the result. Only whole mappings can be ended here. */
static bool unmap_guest(void *addr, size_t bytes, int *rc)
{
	struct mapping **link, *m;

	mappings_lock();
	link = find(addr, bytes);
	m = link ? *link : NULL;
	if (m && m->addr == addr && m->pages == (bytes + XR_PAGE_SIZE - 1) / XR_PAGE_SIZE) {
		*rc = m->w->host->ops->unmap(m->mapper, addr, m->pages);
		if (!*rc)
			remove_at(link);
	} else if (m) {
		*rc = -EINVAL;
	}
	mappings_unlock();
	return m;
}

EXPORT int munmap(void *addr, size_t bytes)
{
	int rc;

	if (!inside && atomic_load(&count) && unmap_guest(addr, bytes, &rc))
		return world_result(rc);
	return (int)syscall(SYS_munmap, addr, bytes);
}
