/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/mapping.h"

#include "base/delay.h"
#include "base/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Threads share one address space, so this budget; a cancel waits for all of it to be unmapped. */
const struct xr_keep xr_keep_threads = { XR_UNMAP_AT_BUDGET, 2048 };
const struct xr_keep xr_keep_processes = { XR_UNMAP_AT_EXIT, 65536 };

static int map_failed(const struct xr_copy_slot *s, size_t i, int code, struct xr_error *err)
{
	if (!code)
		code = -EIO;
	errno = -code;
	return xr_fail_host(err, code, XR_STAGE_COPY, &s->where, s->pfns[i],
			    "cannot map pfn 0x%llx (frame %zu of %u in one call): %m",
			    (unsigned long long)s->pfns[i], i, s->n);
}

static int unmap(struct xr_mappings *m, const struct xr_kept *k, struct xr_error *err)
{
	const uint64_t span = XR_SPAN_BEGIN(unmap, k->n);
	int rc;

	xr_delay();
	rc = m->mapper->ops->unmap(m->mapper, k->addr, k->n);
	xr_delay();
	XR_SPAN_END(unmap, span, k->n, rc);
	xr_count(&m->stats->unmap_calls, 1);
	if (!rc)
		return 0;
	errno = -rc;
	return xr_fail_host(err, rc, XR_STAGE_COPY, &k->where, k->lowest,
			    "cannot unmap %zu frames from pfn 0x%llx on: %m", k->n,
			    (unsigned long long)k->lowest);
}

static int unmap_oldest(struct xr_mappings *m, struct xr_error *err)
{
	struct xr_kept *k = &m->kept[m->oldest];
	int rc = unmap(m, k, err);

	if (rc)
		return rc;
	m->pages_kept -= k->n;
	m->oldest = (m->oldest + 1) % XR_KEPT_MAX;
	m->nkept--;
	return 0;
}

static int unmap_expected(struct xr_mappings *m, unsigned int i, struct xr_error *err)
{
	const int rc = unmap(m, &m->expected[i].kept, err);

	if (rc)
		return rc;
	m->pages_expected -= m->expected[i].kept.n;
	m->expected[i] = m->expected[--m->nexpected];
	return 0;
}

/* An address space holds a limited number of mappings. */
static bool give_way(struct xr_mappings *m)
{
	if (m->nexpected)
		return !unmap_expected(m, m->nexpected - 1, NULL);
	return m->nkept && !unmap_oldest(m, NULL);
}

/* As Xen knows them. */
static const uint64_t *names_of(const struct xr_mappings *m, const struct xr_copy_slot *s,
				uint64_t *mfns)
{
	if (!m->p2m)
		return s->pfns;
	for (size_t i = 0; i < s->n; i++)
		mfns[i] = xr_p2m_mfn(m->p2m, s->pfns[i]);
	return mfns;
}

static void *map_window(struct xr_mappings *m, const struct xr_copy_slot *s, int *status)
{
	uint64_t mfns[XR_WINDOW], span;
	const uint64_t *names = names_of(m, s, mfns);
	void *addr;

	do {
		span = XR_SPAN_BEGIN(map, s->n);
		addr = m->mapper->ops->map(m->mapper, s->n, names, status);
		XR_SPAN_END(map, span, s->n, addr != NULL);
		xr_count(&m->stats->map_calls, 1);
	} while (!addr && errno == ENOMEM && give_way(m));
	return addr;
}

/* The mapping becomes that of the window. */
static bool take_expected(struct xr_mappings *m, const struct xr_copy_slot *s)
{
	for (unsigned int i = 0; i < m->nexpected; i++) {
		const struct xr_expected *e = &m->expected[i];

		if (e->kept.n != s->n || memcmp(e->pfns, s->pfns, s->n * sizeof(s->pfns[0])) != 0)
			continue;
		m->now = e->kept;
		m->now.where = s->where;
		m->pages_expected -= s->n;
		m->expected[i] = m->expected[--m->nexpected];
		return true;
	}
	return false;
}

/* What unmapping costs at a cancel stays within what threads keep; a process just ends. */
static bool may_expect(const struct xr_mappings *m, size_t n)
{
	const uint64_t most =
		m->keep.when == XR_UNMAP_AT_EXIT ? XR_EXPECTED_MAX * XR_WINDOW : m->keep.pages;

	return m->keep.when != XR_UNMAP_AT_CLOSE && m->nexpected < XR_EXPECTED_MAX &&
	       m->pages_expected + n <= most;
}

int xr_mappings_expect(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err)
{
	struct xr_error unheeded;
	struct xr_expected *e;
	int rc;

	if (!m->expected)
		m->expected = calloc(XR_EXPECTED_MAX, sizeof(*m->expected));
	if (!m->expected || !may_expect(m, s->n))
		return 0;
	xr_error_clear(&unheeded);
	rc = xr_mappings_open(m, s, &unheeded);
	if (rc && m->now.addr)
		rc = unmap(m, &m->now, err);
	else if (rc)
		rc = 0;
	if (rc)
		return rc;
	if (!m->now.addr || unheeded.code) {
		m->now.addr = NULL;
		return 0;
	}
	e = &m->expected[m->nexpected++];
	e->kept = m->now;
	memcpy(e->pfns, s->pfns, s->n * sizeof(s->pfns[0]));
	m->pages_expected += s->n;
	m->now.addr = NULL;
	return 0;
}

int xr_mappings_open(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err)
{
	int status[XR_WINDOW];
	struct xr_kept *now = &m->now;

	if (take_expected(m, s))
		return 0;
	xr_delay();
	now->addr = map_window(m, s, status);
	xr_delay();
	if (!now->addr)
		return map_failed(s, 0, -errno, err);
	xr_count(&m->stats->pages_mapped, s->n);
	now->n = s->n;
	now->where = s->where;
	now->lowest = now->highest = s->pfns[0];
	for (size_t i = 0; i < s->n; i++) {
		if (status[i])
			return map_failed(s, i, status[i], err);
		if (s->pfns[i] < now->lowest)
			now->lowest = s->pfns[i];
		if (s->pfns[i] > now->highest)
			now->highest = s->pfns[i];
	}
	return 0;
}

static bool over_budget(const struct xr_mappings *m)
{
	return m->pages_kept > m->keep.pages || m->nkept == XR_KEPT_MAX;
}

static void keep_window(struct xr_mappings *m)
{
	m->kept[(m->oldest + m->nkept) % XR_KEPT_MAX] = m->now;
	m->nkept++;
	m->pages_kept += m->now.n;
	m->now.addr = NULL;
}

int xr_mappings_close(struct xr_mappings *m, struct xr_error *err)
{
	int rc;

	if (m->keep.when == XR_UNMAP_AT_CLOSE) {
		rc = unmap(m, &m->now, err);
		if (!rc)
			m->now.addr = NULL;
		return rc;
	}
	keep_window(m);
	if (m->keep.when == XR_UNMAP_AT_EXIT)
		return over_budget(m);
	while (over_budget(m)) {
		rc = unmap_oldest(m, err);
		if (rc)
			return rc;
	}
	return 0;
}

static bool may_hold(const struct xr_kept *k, const struct xr_copy_slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->pfns[i] >= k->lowest && s->pfns[i] <= k->highest)
			return true;
	}
	return false;
}

int xr_mappings_retire(struct xr_mappings *m, const struct xr_copy_slot *s, struct xr_error *err)
{
	unsigned int stay = 0;
	int rc = 0;

	for (unsigned int i = 0; i < m->nkept; i++) {
		struct xr_kept *k = &m->kept[(m->oldest + i) % XR_KEPT_MAX];

		if (!rc && may_hold(k, s)) {
			rc = unmap(m, k, err);
			if (!rc) {
				m->pages_kept -= k->n;
				continue;
			}
		}
		m->kept[(m->oldest + stay++) % XR_KEPT_MAX] = *k;
	}
	m->nkept = stay;
	for (unsigned int i = m->nexpected; !rc && i-- > 0;)
		if (may_hold(&m->expected[i].kept, s))
			rc = unmap_expected(m, i, err);
	return rc;
}

int xr_mappings_idle(struct xr_mappings *m, struct xr_error *err)
{
	int rc;

	if (m->keep.when != XR_UNMAP_AT_BUDGET || !m->nkept)
		return 0;
	rc = unmap_oldest(m, err);
	return rc ? rc : 1;
}

int xr_mappings_drop(struct xr_mappings *m, struct xr_error *err)
{
	int rc = 0;

	if (m->keep.when == XR_UNMAP_AT_EXIT)
		return m->nkept || m->nexpected;
	while (!rc && m->nexpected)
		rc = unmap_expected(m, m->nexpected - 1, err);
	while (!rc && m->nkept)
		rc = unmap_oldest(m, err);
	return rc;
}

void xr_mappings_free(struct xr_mappings *m)
{
	if (m->now.addr)
		unmap(m, &m->now, NULL);
	m->now.addr = NULL;
	for (; m->nkept; m->nkept--, m->oldest = (m->oldest + 1) % XR_KEPT_MAX)
		unmap(m, &m->kept[m->oldest], NULL);
	m->pages_kept = 0;
	while (m->nexpected)
		unmap(m, &m->expected[--m->nexpected].kept, NULL);
	free(m->expected);
	m->expected = NULL;
}
