/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domctl and sysctl, decoded and put to the model. */
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>

#include <xen/domctl.h>
#include <xen/sysctl.h>

static int fill_info(struct world *w, struct xen_domctl_getdomaininfo *out)
{
	struct xr_dominfo info;
	int rc = w->host->ops->info(w->host, &info);

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	out->domain = (domid_t)w->domid;
	out->flags = XEN_DOMINF_paused | (info.hvm ? XEN_DOMINF_hvm_guest | XEN_DOMINF_hap : 0);
	out->tot_pages = info.tot_pages;
	out->max_pages = info.max_pages;
	out->shared_info_frame = info.shared_info_gfn;
	out->nr_online_vcpus = 1;
	out->max_vcpu_id = info.max_vcpu_id;
	out->gpaddr_bits = 48;
	return 0;
}

/* Xen answers for the first domain from this id on. */
static int get_info(struct world *w, struct xen_domctl *d)
{
	if (d->domain > w->domid)
		return -ESRCH;
	d->domain = (domid_t)w->domid;
	return fill_info(w, &d->u.getdomaininfo);
}

static int set_policy(struct world *w, struct xen_domctl_cpu_policy *p)
{
	struct xr_policy_fault fault = { ~0u, ~0u, ~0u };
	int rc = w->host->ops->set_cpu_policy(w->host, p->leaves.p, p->nr_leaves, p->msrs.p,
					      p->nr_msrs, &fault);

	p->err_leaf = fault.leaf;
	p->err_subleaf = fault.subleaf;
	p->err_msr = fault.msr;
	return rc;
}

static int get_address_size(struct world *w, uint32_t *bits)
{
	unsigned int width;
	int rc = w->host->ops->get_width(w->host, &width);

	*bits = width * 8;
	return rc;
}

static int set_vcpu(struct world *w, uint32_t vcpu, enum xr_vcpu_state state, const void *blob,
		    uint64_t size)
{
	return w->host->ops->set_vcpu(w->host, vcpu, state, blob, (uint32_t)size);
}

/* Reading and clearing the log of what the guest wrote is all there is. */
static int shadow(struct world *w, struct xen_domctl_shadow_op *op)
{
	const uint64_t words = (op->pages + 63) / 64;
	uint64_t *bits;
	int rc;

	if (op->op != XEN_DOMCTL_SHADOW_OP_CLEAN)
		return -EINVAL;
	bits = calloc(words + 1, sizeof(*bits));
	rc = bits ? w->host->ops->take_dirty(w->host, op->pages, bits) : -ENOMEM;
	if (!rc)
		memcpy(op->dirty_bitmap.p, bits, (op->pages + 7) / 8);
	free(bits);
	return rc;
}

/* Types that page tables give are not told. */
static int get_types(struct world *w, const struct xen_domctl_getpageframeinfo3 *op)
{
	uint64_t gfns[XR_RAM_MAX];
	bool ram[XR_RAM_MAX];
	int rc;

	if (op->num > XR_RAM_MAX)
		return -E2BIG;
	memcpy(gfns, op->array.p, op->num * sizeof(gfns[0]));
	rc = w->host->ops->has_ram(w->host, op->num, gfns, ram);
	for (size_t i = 0; !rc && i < op->num; i++)
		op->array.p[i] = ram[i] ? XEN_DOMCTL_PFINFO_NOTAB : XEN_DOMCTL_PFINFO_XTAB;
	return rc;
}

static int answer(struct world *w, struct xen_domctl *d)
{
	const struct xr_host_ops *ops = w->host->ops;

	switch (d->cmd) {
	case XEN_DOMCTL_set_cpu_policy:
		return set_policy(w, &d->u.cpu_policy);
	case XEN_DOMCTL_settscinfo:
		return ops->set_tsc(w->host, d->u.tsc_info.tsc_mode, d->u.tsc_info.elapsed_nsec,
				    d->u.tsc_info.gtsc_khz, d->u.tsc_info.incarnation);
	case XEN_DOMCTL_sethvmcontext:
		return ops->set_hvm_context(w->host, d->u.hvmcontext.buffer.p,
					    d->u.hvmcontext.size);
	case XEN_DOMCTL_get_address_size:
		return get_address_size(w, &d->u.address_size.size);
	case XEN_DOMCTL_set_address_size:
		return ops->set_width(w->host, d->u.address_size.size / 8);
	case XEN_DOMCTL_setvcpucontext:
		return set_vcpu(w, d->u.vcpucontext.vcpu, XR_VCPU_BASIC, d->u.vcpucontext.ctxt.p,
				XR_VCPU_BASIC_BYTES);
	case XEN_DOMCTL_set_ext_vcpucontext:
		return set_vcpu(w, d->u.ext_vcpucontext.vcpu, XR_VCPU_EXTENDED,
				&d->u.ext_vcpucontext, d->u.ext_vcpucontext.size);
	case XEN_DOMCTL_setvcpuextstate:
		return set_vcpu(w, d->u.vcpuextstate.vcpu, XR_VCPU_XSAVE,
				d->u.vcpuextstate.buffer.p, d->u.vcpuextstate.size);
	case XEN_DOMCTL_getpageframeinfo3:
		return get_types(w, &d->u.getpageframeinfo3);
	case XEN_DOMCTL_shadow_op:
		return shadow(w, &d->u.shadow_op);
	case XEN_DOMCTL_set_vcpu_msrs:
		return set_vcpu(w, d->u.vcpu_msrs.vcpu, XR_VCPU_MSRS, d->u.vcpu_msrs.msrs.p,
				d->u.vcpu_msrs.msr_count * sizeof(xen_domctl_vcpu_msr_t));
	default:
		world_refuse(w, "domctl", d->cmd);
		return -ENOSYS;
	}
}

int domctl(struct world *w, void *arg)
{
	struct xen_domctl *d = arg;

	if (d->interface_version != XEN_DOMCTL_INTERFACE_VERSION)
		return world_fail(EACCES);
	if (d->cmd == XEN_DOMCTL_getdomaininfo)
		return world_result(get_info(w, d));
	if (d->domain != w->domid)
		return world_fail(ESRCH);
	return world_result(answer(w, d));
}

int sysctl_op(struct world *w, void *arg)
{
	struct xen_sysctl *s = arg;
	struct xen_sysctl_getdomaininfolist *l = &s->u.getdomaininfolist;
	int rc = 0;

	if (s->interface_version != XEN_SYSCTL_INTERFACE_VERSION)
		return world_fail(EACCES);
	if (s->cmd != XEN_SYSCTL_getdomaininfolist)
		return world_refuse(w, "sysctl", s->cmd);
	l->num_domains = l->max_domains && l->first_domain <= w->domid;
	if (l->num_domains)
		rc = fill_info(w, l->buffer.p);
	return world_result(rc);
}
