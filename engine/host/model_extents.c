/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Populate and decrease of the model, with Xen's habits. The pages are made and given back outside
 * the lock, so that mapping goes on beside.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <string.h>

#define BATCH_PAGES ((uint64_t)1 << 14) /* changed at most under one hold of the lock */
#define RUNS 256u

static uint64_t batch_extents(unsigned int order, size_t left)
{
	uint64_t most = BATCH_PAGES >> order;

	if (!most)
		most = 1;
	return left < most ? left : most;
}

static bool gfn_in_range(const struct xr_model *m, uint64_t gfn, unsigned int order)
{
	uint64_t size = (uint64_t)1 << order;

	return gfn <= m->s->set.max_gfn && size - 1 <= m->s->set.max_gfn - gfn;
}

static uint64_t room_locked(struct xr_model *m, unsigned int order)
{
	uint64_t tot = model_tot_locked(m), max = m->s->set.max_pages;

	return tot < max ? (max - tot) >> order : 0;
}

/* Assign up to n extents to the domain, one run of frames for all. Returns how many. */
static uint64_t assign_locked(struct xr_model *m, unsigned int order, uint64_t n, uint64_t *mfn)
{
	struct model_state *s = m->s;
	unsigned int file = order >= XR_ORDER_2M;
	uint64_t size = (uint64_t)1 << order;
	uint64_t first = (s->next_mfn[file] + size - 1) & ~(size - 1);

	if (room_locked(m, order) < n)
		model_reap_locked(m);
	if (room_locked(m, order) < n)
		n = room_locked(m, order);
	if (first + (n << order) > (s->set.pv ? PV_FRAMES : MFN_LIMIT))
		return 0;
	s->next_mfn[file] = first + (n << order);
	s->owned += n << order;
	if (model_tot_locked(m) > s->stats.peak_pages)
		s->stats.peak_pages = model_tot_locked(m);
	*mfn = file ? first | MFN_HUGE : first;
	return n;
}

/* Enter the extents into the p2m. The one that fails stays owned, at no gfn, as in Xen. */
static uint64_t enter_locked(struct xr_model *m, unsigned int order, uint64_t n,
			     const uint64_t *gfns, uint64_t mfn, uint64_t *mfns)
{
	uint64_t done = 0;

	while (done < n && gfn_in_range(m, gfns[done], order) &&
	       !model_p2m_set_locked(m, gfns[done], mfn + (done << order), order)) {
		uint64_t last = gfns[done] + ((uint64_t)1 << order) - 1;

		if (m->s->set.pv) {
			model_frames_enter_locked(m, gfns[done], mfn + (done << order), order);
			mfns[done] = model_shown(mfn + (done << order));
		}
		done++;
		if (m->s->highest == NO_FRAME || m->s->highest < last)
			m->s->highest = last;
	}
	m->s->stats.extents_populated[order] += done;
	return done;
}

/* Returns extents done; fewer than n: the end of the call. */
static uint64_t populate_batch(struct xr_model *m, unsigned int order, uint64_t n,
			       const uint64_t *gfns, uint64_t *mfns)
{
	uint64_t mfn, got, made, done = 0;

	model_lock(m);
	got = assign_locked(m, order, n, &mfn);
	model_unlock(m);
	if (!got)
		return 0;
	made = model_pages_make(m, mfn, got << order) ? 0 : got;
	model_lock(m);
	if (made)
		done = enter_locked(m, order, made, gfns, mfn, mfns);
	/* given back: what was not tried */
	if (!made)
		m->s->owned -= got << order;
	else if (done + 1 < got)
		m->s->owned -= (got - done - 1) << order;
	model_unlock(m);
	if (made && done + 1 < got)
		model_pages_free(m, mfn + ((done + 1) << order), (got - done - 1) << order);
	return done;
}

/* What a fault leaves of a call; true if it fails altogether, with *rc. */
static bool begin(struct xr_model *m, enum xr_model_call call, unsigned int order, size_t *n,
		  long *rc)
{
	int arg;
	bool fault;

	model_lock(m);
	fault = model_begin_locked(m, call, order, &arg);
	if (call == XR_CALL_POPULATE && (order > m->s->set.max_order || order >= m->s->fail_order))
		*n = 0;
	model_unlock(m);
	if (!fault)
		return false;
	*rc = arg;
	if (arg >= 0 && (size_t)arg < *n)
		*n = (size_t)arg;
	return arg < 0;
}

long model_populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns,
		    uint64_t *mfns)
{
	struct xr_model *m = model_of(h);
	size_t done = 0;
	long rc;

	if (begin(m, XR_CALL_POPULATE, order, &n, &rc))
		return rc;
	if (!mfns && m->s->set.pv)
		return -EFAULT;
	while (done < n) {
		uint64_t batch = batch_extents(order, n - done);
		uint64_t got =
			populate_batch(m, order, batch, gfns + done, mfns ? mfns + done : NULL);

		done += got;
		if (got < batch)
			break;
	}
	return (long)done;
}

/* Frames taken out under the lock; given back after it if they are few enough. */
struct freed {
	struct model_run run[RUNS];
	bool touched[RUNS];
	unsigned int n;
	uint64_t dirty;
	bool reaped;
};

static void give_back(struct xr_model *m, struct freed *f)
{
	for (unsigned int i = 0; i < f->n; i++) {
		if (f->touched[i])
			f->dirty += model_pages_dirty(m, f->run[i].mfn, f->run[i].count);
		model_pages_free(m, f->run[i].mfn, f->run[i].count);
	}
	f->n = 0;
}

static void free_run(struct xr_model *m, struct freed *f, uint64_t mfn, uint64_t count,
		     bool touched)
{
	unsigned int last = f->n - 1;

	if (f->n && f->run[last].mfn + f->run[last].count == mfn && f->touched[last] == touched) {
		f->run[last].count += count;
		return;
	}
	if (f->n == RUNS)
		give_back(m, f);
	f->run[f->n] = (struct model_run){ mfn, count };
	f->touched[f->n++] = touched;
}

/* The frame has left the p2m: free it, or leave it to those who map it. */
static void release_frame_locked(struct xr_model *m, struct freed *f, uint64_t mfn)
{
	uint32_t *ref = model_ref(m, mfn);

	if ((*ref & REF_COUNT) && !f->reaped) {
		model_reap_locked(m);
		f->reaped = true;
	}
	if (*ref & REF_COUNT) {
		*ref |= REF_RELEASED;
		m->s->pinned++;
		m->s->stats.released_mapped++;
		return;
	}
	free_run(m, f, mfn, 1, *ref & REF_TOUCHED);
}

/* Take out one entry, of at most `pages` pages. Returns its pages; 0: there is none. */
static uint64_t take_out_locked(struct xr_model *m, struct freed *f, uint64_t gfn, uint64_t pages)
{
	uint64_t mfn, xens, got = 0;

	if (m->s->set.pv)
		gfn = model_pfn_locked(m, gfn);
	if (gfn != NO_FRAME)
		got = model_p2m_del_locked(m, gfn, pages, &mfn);
	if (!got) {
		m->s->stats.released_empty++;
		return 0;
	}
	if (m->s->set.pv)
		model_frames_leave_locked(m, mfn, got);
	xens = model_xens_leave_locked(m, gfn, got);
	m->s->stats.released_xens += xens;
	m->s->owned -= got - xens;
	m->s->stats.pages_released += got;
	if (m->s->set.without_memory)
		return got;
	for (uint64_t i = 0; i < got; i++)
		release_frame_locked(m, f, mfn + i);
	return got;
}

/* From page *at of extent *done on. False: met an empty gfn. */
static bool release_some(struct xr_model *m, struct freed *f, unsigned int order, size_t n,
			 const uint64_t *gfns, size_t *done, uint64_t *at)
{
	uint64_t size = (uint64_t)1 << order, taken = 0, got = 1;

	model_lock(m);
	while (*done < n && taken < BATCH_PAGES) {
		got = take_out_locked(m, f, gfns[*done] + *at, size - *at);
		if (!got)
			break;
		taken += got;
		*at += got;
		if (*at == size) {
			*at = 0;
			++*done;
		}
	}
	model_unlock(m);
	give_back(m, f);
	return got;
}

long model_release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns)
{
	struct xr_model *m = model_of(h);
	struct freed f = { .n = 0 };
	size_t done = 0;
	uint64_t at = 0;
	long rc;

	if (begin(m, XR_CALL_RELEASE, order, &n, &rc))
		return rc;
	if (order > XR_ORDER_1G)
		return 0;
	while (done < n && release_some(m, &f, order, n, gfns, &done, &at))
		;
	if (f.dirty) {
		model_lock(m);
		m->s->stats.released_dirty += f.dirty;
		model_unlock(m);
	}
	return (long)done;
}
