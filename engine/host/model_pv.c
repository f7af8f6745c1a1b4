/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames of a PV domain: how they are numbered outside, whose they are, and their types, judged as
 * Xen does when it validates page tables.
 *
 * Outside, the machine looks like one with all memory behind 6 GiB, frames of the two backing files
 * lying in it by turns, 1 GiB each: so no mfn is its pfn, and cr3 of a 32-bit guest needs its high
 * bits. Frame 0 of the file without huge pages is the shared info, which Xen takes from below 4
 * GiB.
 */
#include "host/model_impl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_FROM 0x180000u
#define SHOWN_SHARED_INFO 0x7a5a5u
#define TURN_SHIFT 18
#define TURN_PAGES ((uint64_t)1 << TURN_SHIFT)

#define PTES 512u
#define PTE_PRESENT 1u
#define PTE_WRITABLE 2u
#define PTE_LARGE 0x80u
#define PTE_FRAME(e) ((e) >> 12 & 0xffffffffffull)

/* Xen's own part of the address space: it fills these itself. */
#define XEN_L4_FIRST 256u
#define XEN_L4_LAST 271u

uint64_t model_shown(uint64_t mfn)
{
	const uint64_t i = mfn_index(mfn), turn = (i >> TURN_SHIFT) * 2 + !!(mfn & MFN_HUGE);

	if (!mfn)
		return SHOWN_SHARED_INFO;
	return SHOWN_FROM + (turn << TURN_SHIFT) + i % TURN_PAGES;
}

/* NO_FRAME: no frame that was ever made. */
static uint64_t hidden_locked(const struct xr_model *m, uint64_t shown)
{
	const uint64_t at = shown - SHOWN_FROM, turn = at >> TURN_SHIFT;
	const uint64_t i = (turn / 2 << TURN_SHIFT) + at % TURN_PAGES;

	if (shown == SHOWN_SHARED_INFO)
		return 0;
	if (shown <= SHOWN_FROM || i >= m->s->next_mfn[turn % 2])
		return NO_FRAME;
	return turn % 2 ? i | MFN_HUGE : i;
}

static struct model_frame *frame_of(struct xr_model *m, uint64_t mfn)
{
	return &m->frame[!!(mfn & MFN_HUGE)][mfn_index(mfn)];
}

void model_frames_enter_locked(struct xr_model *m, uint64_t gfn, uint64_t mfn, unsigned int order)
{
	for (uint64_t i = 0; i < (uint64_t)1 << order; i++)
		*frame_of(m, mfn + i) = (struct model_frame){ .gfn = gfn + i + 1 };
}

void model_frames_leave_locked(struct xr_model *m, uint64_t mfn, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		*frame_of(m, mfn + i) = (struct model_frame){ 0 };
}

uint64_t model_pfn_locked(struct xr_model *m, uint64_t shown)
{
	const uint64_t mfn = hidden_locked(m, shown);

	return mfn == NO_FRAME ? NO_FRAME : frame_of(m, mfn)->gfn - 1;
}

uint64_t model_lookup_locked(struct xr_model *m, uint64_t gfn, int *order)
{
	uint64_t mfn;
	int unused;

	if (!m->s->set.pv)
		return model_p2m_get_locked(m, gfn, order ? order : &unused);
	mfn = hidden_locked(m, gfn);
	if (mfn == NO_FRAME || (mfn && !frame_of(m, mfn)->gfn))
		return NO_FRAME;
	return mfn;
}

bool model_writable_locked(struct xr_model *m, uint64_t mfn)
{
	const struct model_frame *f;

	if (!m->s->set.pv)
		return true;
	f = frame_of(m, mfn);
	return !f->count || f->type == TYPE_WRITABLE;
}

void model_pv_reset_locked(struct xr_model *m)
{
	m->s->width = 8;
	m->s->next_mfn[0] = m->s->set.pv;
	memset(m->s->vcpu_size, 0, sizeof(m->s->vcpu_size));
}

static bool mapped_outside(struct xr_model *m, uint64_t mfn)
{
	if (!m->refs[0])
		return false;
	if (*model_ref(m, mfn) & REF_COUNT)
		model_reap_locked(m);
	return *model_ref(m, mfn) & REF_COUNT;
}

static int entry_locked(struct xr_model *m, enum model_type level, uint64_t e)
{
	if (level > TYPE_L1)
		return e & PTE_LARGE ? -EINVAL : model_type_get_locked(m, PTE_FRAME(e), level - 1);
	if (e & PTE_WRITABLE)
		return model_type_get_locked(m, PTE_FRAME(e), TYPE_WRITABLE);
	return model_lookup_locked(m, PTE_FRAME(e), NULL) == NO_FRAME ? -EINVAL : 0;
}

static int validate_locked(struct xr_model *m, uint64_t mfn, enum model_type level)
{
	const unsigned int n = level == TYPE_L3 && m->s->width == 4 ? 4 : PTES;
	uint64_t e[PTES];
	int rc = 0;

	if (pread(mfn_file(m, mfn), e, sizeof(e), (off_t)(mfn_index(mfn) << XR_PAGE_SHIFT)) !=
	    (ssize_t)sizeof(e))
		return -EIO;
	for (unsigned int i = 0; !rc && i < n; i++) {
		if (!(e[i] & PTE_PRESENT) ||
		    (level == TYPE_L4 && i >= XEN_L4_FIRST && i <= XEN_L4_LAST))
			continue;
		rc = entry_locked(m, level, e[i]);
	}
	return rc;
}

int model_type_get_locked(struct xr_model *m, uint64_t shown, enum model_type type)
{
	const uint64_t mfn = model_lookup_locked(m, shown, NULL);
	struct model_frame *f;
	bool fresh;
	int rc = 0;

	if (mfn == NO_FRAME || (!mfn && type != TYPE_WRITABLE) || m->s->set.without_memory)
		return -EINVAL;
	f = frame_of(m, mfn);
	if (f->count && f->type != type)
		return -EINVAL;
	if (type != TYPE_WRITABLE && mapped_outside(m, mfn))
		return -EINVAL;
	fresh = !f->count;
	f->type = type;
	f->count++;
	if (fresh && type <= TYPE_L4)
		rc = validate_locked(m, mfn, type);
	if (rc)
		f->count--;
	return rc;
}

static int pin_locked(struct xr_model *m, const struct xr_pin *p)
{
	const uint64_t mfn = model_lookup_locked(m, p->gfn, NULL);
	int rc;

	if (p->level < TYPE_L1 || p->level > (m->s->width == 4 ? TYPE_L3 : TYPE_L4) ||
	    mfn == NO_FRAME || frame_of(m, mfn)->pinned)
		return -EINVAL;
	rc = model_type_get_locked(m, p->gfn, p->level);
	if (!rc)
		frame_of(m, mfn)->pinned = 1;
	m->s->stats.pinned += !rc;
	return rc;
}

int model_pin(struct xr_host *h, size_t n, const struct xr_pin *pins)
{
	struct xr_model *m = model_of(h);
	int rc = model_enter(m, XR_CALL_PIN, NULL);

	if (!rc && !m->s->set.pv)
		rc = -EINVAL;
	if (!rc)
		model_log_locked(m, "pin:%zu", n);
	for (size_t i = 0; !rc && i < n; i++)
		rc = pin_locked(m, &pins[i]);
	model_unlock(m);
	return rc;
}

uint64_t xr_model_mfn(struct xr_model *m, uint64_t pfn)
{
	uint64_t mfn;
	int order;

	model_lock(m);
	mfn = model_p2m_get_locked(m, pfn, &order);
	model_unlock(m);
	return mfn == NO_FRAME || !m->s->set.pv ? mfn : model_shown(mfn);
}

uint64_t xr_model_pfn(struct xr_model *m, uint64_t mfn)
{
	uint64_t pfn;

	model_lock(m);
	pfn = model_pfn_locked(m, mfn);
	model_unlock(m);
	return pfn;
}

unsigned int xr_model_table(struct xr_model *m, uint64_t pfn, bool *pinned)
{
	struct model_frame f = { 0 };
	uint64_t mfn;
	int order;

	model_lock(m);
	mfn = model_p2m_get_locked(m, pfn, &order);
	if (m->s->set.pv && mfn != NO_FRAME)
		f = *frame_of(m, mfn);
	model_unlock(m);
	if (pinned)
		*pinned = f.pinned;
	return f.count && f.type <= TYPE_L4 ? f.type : 0;
}

int xr_model_shared_info(struct xr_model *m, void *page)
{
	if (!m->s->set.pv || m->s->set.without_memory)
		return -ENOENT;
	return pread(m->file[0], page, XR_PAGE_SIZE, 0) == XR_PAGE_SIZE ? 0 : -EIO;
}
