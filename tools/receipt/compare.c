/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore, or the memory of a domain, differs by from a receipt. */
#include "receipt/receipt.h"

#include "base/digests.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64u

void receipt_differs(struct receipt_difference *d, uint64_t first)
{
	struct receipt_range *last = d->n ? &d->range[d->n - 1] : NULL;

	d->regions++;
	if (last && last->last + 1 == first) {
		last->last = first + XR_REGION_PAGES - 1;
		return;
	}
	if (!d->range || d->n == d->room) {
		const size_t room = d->room ? 2 * d->room : 64;
		struct receipt_range *more = realloc(d->range, room * sizeof(*more));

		d->full |= !more;
		if (!more)
			return;
		d->range = more;
		d->room = room;
	}
	d->range[d->n++] = (struct receipt_range){ first, first + XR_REGION_PAGES - 1 };
}

void receipt_difference_free(struct receipt_difference *d)
{
	free(d->range);
	memset(d, 0, sizeof(*d));
}

static bool same(const struct xr_region *a, const struct xr_region *b)
{
	return a->digest == b->digest && !memcmp(a->written, b->written, sizeof(a->written)) &&
	       !memcmp(a->own, b->own, sizeof(a->own));
}

void receipt_compare_restore(const struct receipt *want, const struct xr_restore *r,
			     const struct xr_result *res, struct receipt_difference *d)
{
	const struct receipt_stream *s = &want->stream;
	struct xr_region got;
	bool more = !xr_next_region(r, 0, &got);
	size_t i = 0;

	while (more || i < want->n) {
		const struct xr_region *w = i < want->n ? &want->region[i] : NULL;
		const bool mine = more && (!w || got.first <= w->first);
		const bool its = w && (!more || w->first <= got.first);

		if (!mine || !its || !same(&got, w))
			receipt_differs(d, its ? w->first : got.first);
		if (mine)
			more = !xr_next_region(r, got.first + XR_REGION_PAGES, &got);
		i += its;
	}
	d->control = res->control_digest != s->control || res->records != s->records ||
		     res->bytes != s->bytes || res->pv != s->pv;
}

/* Threads take regions in turn. */
struct job {
	const struct receipt *want;
	struct xr_host *host;
	size_t next;
	int rc;	   /* of the first that failed */
	bool *bad; /* by region */
};

static void note(struct job *j, int rc)
{
	int none = 0;

	if (rc)
		__atomic_compare_exchange_n(&j->rc, &none, rc, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

static size_t listed(const struct xr_region *r, uint64_t *pfns)
{
	size_t n = 0;

	for (unsigned int i = 0; i < XR_REGION_PAGES; i++)
		if (r->written[i / 64] >> (i % 64) & 1)
			pfns[n++] = r->first + i;
	return n;
}

static int digest_pages(struct xr_mapper *m, const uint64_t *pfns, size_t n, uint64_t *entry)
{
	int status[XR_REGION_PAGES];
	char *at = n ? m->ops->map(m, n, pfns, status) : NULL;

	if (!at)
		return n ? -errno : 0;
	for (size_t i = 0; i < n; i++)
		if (!status[i])
			entry[pfns[i] % XR_REGION_PAGES] =
				xr_digest_page(pfns[i], at + i * XR_PAGE_SIZE);
	return m->ops->unmap(m, at, n);
}

static int compare(struct xr_mapper *m, const struct xr_region *r, bool *bad)
{
	uint64_t pfns[XR_REGION_PAGES], entry[XR_REGION_PAGES] = { 0 };
	const int rc = digest_pages(m, pfns, listed(r, pfns), entry);

	for (unsigned int i = 0; i < XR_REGION_PAGES; i++)
		if (r->own[i / 64] >> (i % 64) & 1)
			entry[i] = XR_DIGEST_OWN;
	*bad = xr_digest_region(entry) != r->digest;
	return rc;
}

static void *work(void *arg)
{
	struct job *j = arg;
	struct xr_mapper *m;
	int rc = j->host->ops->mapper_open(j->host, &m);
	size_t i;

	note(j, rc);
	if (rc)
		return NULL;
	m->read_only = true;
	while ((i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->want->n &&
	       !__atomic_load_n(&j->rc, __ATOMIC_RELAXED))
		note(j, compare(m, &j->want->region[i], &j->bad[i]));
	j->host->ops->mapper_close(m);
	return NULL;
}

static void run(struct job *j, unsigned int threads)
{
	pthread_t id[THREADS_MAX];
	unsigned int n = 0;

	while (n + 1 < threads && n < THREADS_MAX && !pthread_create(&id[n], NULL, work, j))
		n++;
	work(j);
	while (n)
		pthread_join(id[--n], NULL);
}

int receipt_compare_domain(const struct receipt *want, struct xr_host *host, unsigned int threads,
			   struct receipt_difference *d)
{
	struct job j = { .want = want, .host = host };

	j.bad = calloc(want->n ? want->n : 1, sizeof(*j.bad));
	if (!j.bad)
		return -ENOMEM;
	run(&j, threads);
	for (size_t i = 0; !j.rc && i < want->n; i++)
		if (j.bad[i])
			receipt_differs(d, want->region[i].first);
	free(j.bad);
	return j.rc;
}
