/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The width of a PV guest, and the state of its vcpus, judged as Xen does. */
#include "host/model_impl.h"

#include <errno.h>
#include <string.h>

#define GDT_ENTRIES_MAX 7168u
#define GDT_PER_FRAME 512u
#define XSAVE_HEADER 16u
#define XSAVE_LEAST 576u /* the legacy area and the header of the extended one */

/* Where vcpu_guest_context has what is checked. */
struct layout {
	unsigned int width, gdt_frames, gdt_ents, ctrlreg;
};

static const struct layout layouts[] = { { 8, 4832, 4960, 4984 }, { 4, 2640, 2704, 2716 } };

static int begin(struct xr_model *m, enum xr_model_call call)
{
	int rc = model_enter(m, call, NULL);

	return rc || m->s->set.pv ? rc : -EINVAL;
}

int model_get_width(struct xr_host *h, unsigned int *width)
{
	struct xr_model *m = model_of(h);
	int rc = model_enter(m, XR_CALL_WIDTH, NULL);

	*width = m->s->width;
	model_unlock(m);
	return rc;
}

int model_set_width(struct xr_host *h, unsigned int width)
{
	struct xr_model *m = model_of(h);
	int rc = begin(m, XR_CALL_WIDTH);

	if (!rc)
		model_log_locked(m, "width:%u", width);
	if (!rc && model_tot_locked(m))
		rc = -EACCES;
	else if (!rc && (width != 4 || m->s->width != 8) && width != m->s->width)
		rc = -EINVAL;
	if (!rc)
		m->s->width = width;
	model_unlock(m);
	return rc;
}

unsigned int xr_model_width(struct xr_model *m)
{
	return m->s->width;
}

/* A word of the guest's width. */
static uint64_t word(const struct layout *l, const unsigned char *ctx, unsigned int at,
		     unsigned int i)
{
	uint64_t v = 0;

	memcpy(&v, ctx + at + i * l->width, l->width);
	return v;
}

static uint64_t cr3_frame(const struct layout *l, uint64_t cr3)
{
	if (l->width == 8)
		return cr3 >> 12;
	return cr3 >> 12 | (cr3 & 0xfff) << 20;
}

static int load_basic(struct xr_model *m, const unsigned char *ctx, uint32_t size)
{
	const struct layout *l = &layouts[m->s->width == 4];
	uint64_t ents, user;
	int rc;

	if (size != XR_VCPU_BASIC_BYTES)
		return -EFAULT;
	ents = word(l, ctx, l->gdt_ents, 0);
	if (ents > GDT_ENTRIES_MAX)
		return -EINVAL;
	rc = model_type_get_locked(m, cr3_frame(l, word(l, ctx, l->ctrlreg, 3)),
				   l->width == 4 ? TYPE_L3 : TYPE_L4);
	user = word(l, ctx, l->ctrlreg, 1);
	if (!rc && l->width == 8 && user)
		rc = user & 0xfff ? -EINVAL : model_type_get_locked(m, user >> 12, TYPE_L4);
	for (unsigned int i = 0; !rc && i < (ents + GDT_PER_FRAME - 1) / GDT_PER_FRAME; i++)
		rc = model_type_get_locked(m, word(l, ctx, l->gdt_frames, i), TYPE_SEGDESC);
	return rc;
}

static int check_extended(uint32_t vcpu, const unsigned char *blob, uint32_t size)
{
	uint32_t head[2];

	if (size < sizeof(head))
		return -EINVAL;
	memcpy(head, blob, sizeof(head));
	return head[0] != vcpu || head[1] != size ? -EINVAL : 0;
}

static int check_xsave(const unsigned char *blob, uint32_t size)
{
	uint64_t xcr0[2];

	if (size < XSAVE_HEADER)
		return -EINVAL;
	memcpy(xcr0, blob, sizeof(xcr0));
	if (size == XSAVE_HEADER)
		return 0;
	return !(xcr0[0] & 1) || xcr0[0] & ~xcr0[1] || size < XSAVE_HEADER + XSAVE_LEAST ? -EINVAL
											 : 0;
}

static int check_msrs(const unsigned char *blob, uint32_t size)
{
	for (uint32_t i = 0; i < size; i += 16) {
		uint32_t reserved;

		memcpy(&reserved, blob + i + 4, sizeof(reserved));
		if (reserved)
			return -EINVAL;
	}
	return size % 16 ? -EINVAL : 0;
}

int model_set_vcpu(struct xr_host *h, uint32_t vcpu, enum xr_vcpu_state state, const void *blob,
		   uint32_t size)
{
	static const char *const names[] = { "basic", "extended", "xsave", "msrs" };
	struct xr_model *m = model_of(h);
	struct model_vcpu *v = &m->s->vcpu[vcpu % PV_VCPUS];
	int rc = begin(m, XR_CALL_VCPU);

	if (!rc)
		model_log_locked(m, "vcpu:%u:%s", vcpu, names[state]);
	if (!rc && vcpu > m->s->set.max_vcpu_id)
		rc = -EINVAL;
	if (!rc && (vcpu >= PV_VCPUS || size > sizeof(v->blob[0])))
		rc = -E2BIG;
	if (!rc && state == XR_VCPU_BASIC)
		rc = load_basic(m, blob, size);
	else if (!rc && state == XR_VCPU_EXTENDED)
		rc = check_extended(vcpu, blob, size);
	else if (!rc)
		rc = state == XR_VCPU_XSAVE ? check_xsave(blob, size) : check_msrs(blob, size);
	if (!rc) {
		memcpy(v->blob[state], blob, size);
		m->s->vcpu_size[vcpu][state] = size;
	}
	model_unlock(m);
	return rc;
}

int xr_model_vcpu(struct xr_model *m, uint32_t vcpu, enum xr_vcpu_state state, void *out,
		  size_t size)
{
	uint32_t has;

	if (vcpu >= PV_VCPUS || !m->s->vcpu_size[vcpu][state])
		return -ENOENT;
	has = m->s->vcpu_size[vcpu][state];
	memcpy(out, m->s->vcpu[vcpu].blob[state], size < has ? size : has);
	return (int)has;
}
