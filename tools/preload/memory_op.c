/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory_op, hvm_op, xen_version and mmuext_op, decoded and put to the model. */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>

#include <xen/hvm/hvm_op.h>

/* Pages of machine-to-phys table behind one frame number of XENMEM_machphys_mfn_list. */
#define M2P_CHUNK_ENTRIES ((uint64_t)1 << 18)

/* Never an error code: a call that can't be made did no extents. */
static long populate(struct world *w, const struct xen_memory_reservation *r)
{
	uint64_t *list = (uint64_t *)r->extent_start.p;
	uint64_t *pfns;
	long done;

	if (r->domid != w->domid)
		return 0;
	if (!w->pv) {
		done = w->host->ops->populate(w->host, r->extent_order, r->nr_extents, list, NULL);
		return done < 0 ? 0 : done;
	}
	pfns = malloc(r->nr_extents * sizeof(*pfns));
	if (!pfns)
		return 0;
	memcpy(pfns, list, r->nr_extents * sizeof(*pfns));
	done = w->host->ops->populate(w->host, r->extent_order, r->nr_extents, pfns, list);
	for (long i = 0; i < done; i++)
		world_note_frames(pfns[i], list[i], (uint64_t)1 << r->extent_order);
	free(pfns);
	return done < 0 ? 0 : done;
}

static long release(struct world *w, const struct xen_memory_reservation *r)
{
	long done;

	if (r->domid != w->domid)
		return 0;
	done = w->host->ops->release(w->host, r->extent_order, r->nr_extents,
				     (const uint64_t *)r->extent_start.p);
	return done < 0 ? 0 : done;
}

static long domain_figure(struct world *w, unsigned int cmd, const domid_t *domid)
{
	struct xr_model_stats st;
	uint64_t highest;

	if (*domid != w->domid)
		return world_fail(ESRCH);
	if (cmd == XENMEM_maximum_gpfn) {
		highest = xr_model_highest(w->model);
		return highest == ~(uint64_t)0 ? 0 : (long)highest;
	}
	xr_model_stats(w->model, &st);
	return (long)(cmd == XENMEM_current_reservation ? st.tot_pages : st.max_pages);
}

/* The model numbers a PV guest's frames from 6 GiB on, with gaps that are no larger than them. */
static uint64_t machine_end(struct world *w)
{
	struct xr_model_stats st;

	xr_model_stats(w->model, &st);
	return WORLD_MFNS_FROM + 2 * st.max_pages + 4 * M2P_CHUNK_ENTRIES;
}

/* Frame numbers of chunks of the table: fmem.c makes the pages when they are mapped. */
static long machphys_list(struct world *w, struct xen_machphys_mfn_list *list)
{
	uint64_t chunks = machine_end(w) / M2P_CHUNK_ENTRIES + 1;
	xen_pfn_t *out = list->extent_start.p;
	uint32_t n = 0;

	for (; n < list->max_extents && n < chunks; n++)
		out[n] = (xen_pfn_t)n * (M2P_CHUNK_ENTRIES * sizeof(uint64_t) / XR_PAGE_SIZE);
	list->nr_extents = n;
	return 0;
}

long memory_op(struct world *w, unsigned int cmd, void *arg)
{
	switch (cmd) {
	case XENMEM_populate_physmap:
		return populate(w, arg);
	case XENMEM_decrease_reservation:
		return release(w, arg);
	case XENMEM_maximum_gpfn:
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		return domain_figure(w, cmd, arg);
	case XENMEM_maximum_ram_page:
		return (long)machine_end(w);
	case XENMEM_machphys_mfn_list:
		return machphys_list(w, arg);
	default:
		return world_refuse(w, "memory_op", cmd);
	}
}

int hvm_op(struct world *w, unsigned int cmd, void *arg)
{
	struct xen_hvm_param *p = arg;

	if (cmd != HVMOP_set_param && cmd != HVMOP_get_param)
		return world_refuse(w, "hvm_op", cmd);
	if (p->domid != w->domid)
		return world_fail(ESRCH);
	if (cmd == HVMOP_set_param)
		return world_result(w->host->ops->set_param(w->host, p->index, p->value));
	p->value = xr_model_param(w->model, p->index);
	if (p->value == ~(uint64_t)0)
		p->value = 0;
	return 0;
}

int version_op(struct world *w, unsigned int cmd, void *arg)
{
	switch (cmd) {
	case XENVER_version:
		return (int)(4 << 16 | w->xen_minor);
	case XENVER_extraversion:
		memcpy(arg, ".model", sizeof(".model"));
		return 0;
	case XENVER_capabilities:
		snprintf(arg, XEN_CAPABILITIES_INFO_LEN, "xen-3.0-x86_64 hvm-3.0-x86_64 ");
		return 0;
	case XENVER_pagesize:
		return XR_PAGE_SIZE;
	case XENVER_get_features:
		((struct xen_feature_info *)arg)->submap = 0;
		return 0;
	default:
		return world_refuse(w, "xen_version", cmd);
	}
}

/* Pinning page tables of a PV guest. */
int mmuext_op(struct world *w, const void *ops, unsigned int n, unsigned int *done)
{
	const struct mmuext_op *op = ops;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < n && !rc; i++) {
		struct xr_pin pin = { op[i].cmd - MMUEXT_PIN_L1_TABLE + 1, op[i].arg1.mfn };

		if (!w->pv || op[i].cmd > MMUEXT_PIN_L4_TABLE)
			rc = world_refuse(w, "mmuext_op", op[i].cmd);
		else
			rc = world_result(w->host->ops->pin(w->host, 1, &pin));
	}
	if (done)
		*done = rc ? i - 1 : i;
	return rc;
}
