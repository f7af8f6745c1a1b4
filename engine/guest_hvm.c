/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HVM and PVH guests: parameters, the pages they name, and completion. */
#include "host/hvm_params.h"
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/hvm/params.h>

#define RINGS 64u /* pages cleared at a time; a sound stream names four */

static int set_param(struct xr_restore *r, const struct xr_where *where, uint32_t index,
		     uint64_t value, struct xr_error *err)
{
	char what[64];
	int rc = xr_pulse(r, err);

	if (rc)
		return rc;
	r->other_calls++;
	rc = r->host->ops->set_param(r->host, index, value);
	if (!rc)
		return 0;
	snprintf(what, sizeof(what), "HVM parameter %u = %#llx", index, (unsigned long long)value);
	return xr_refused(err, rc, where, what);
}

static bool names_a_ring(const struct xr_wire_param *p)
{
	return p->index == HVM_PARAM_CONSOLE_PFN || p->index == HVM_PARAM_STORE_PFN ||
	       p->index == HVM_PARAM_IOREQ_PFN || p->index == HVM_PARAM_BUFIOREQ_PFN;
}

/* The rings in these pages belong to the old host's backends. What was to be written there has been
 * written before. */
static int clear_pages(struct xr_restore *r, const struct xr_where *where, uint64_t *pfns, size_t n,
		       struct xr_error *err)
{
	size_t sound = 0, backed = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (pfns[i] < XR_PFN_LIMIT)
			pfns[sound++] = pfns[i];
	rc = xr_physmap_follow(r->pm, where, pfns, sound, err);
	if (!rc && r->index) /* without contents they may not be backed yet */
		rc = xr_physmap_ensure(r->pm, where, pfns, sound, err);
	for (size_t i = 0; !rc && i < sound; i++)
		if (xr_physmap_has(r->pm, pfns[i]))
			pfns[backed++] = pfns[i];
	if (!rc)
		rc = xr_copy_retire(r->copy, where, pfns, backed, true, err);
	for (size_t i = 0; !rc && i < backed; i++)
		xr_receipt_own(r, pfns[i]);
	return rc;
}

static int apply_param(struct xr_restore *r, const struct xr_where *where,
		       const struct xr_wire_param *p, struct xr_error *err)
{
	if (p->index > UINT32_MAX)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, where, XR_NO_PFN,
			       "HVM parameter %#llx: there are none above 32 bits",
			       (unsigned long long)p->index);
	switch (p->index) {
	case XR_HVM_PARAM_PAE_ENABLED:
		return 0;
	case HVM_PARAM_CONSOLE_PFN:
		r->guest.console_gfn = p->value;
		break;
	case HVM_PARAM_STORE_PFN:
		r->guest.store_gfn = p->value;
		break;
	default:
		break;
	}
	return set_param(r, where, (uint32_t)p->index, p->value, err);
}

static struct xr_wire_param param_at(const struct xr_item *it, uint32_t i)
{
	struct xr_wire_param p;

	memcpy(&p, (char *)it->body + sizeof(struct xr_wire_params) + i * sizeof(p), sizeof(p));
	return p;
}

static int params(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	uint64_t ring[RINGS];
	struct xr_wire_params head;
	size_t n = 0;
	int rc = 0;

	memcpy(&head, it->body, sizeof(head));
	for (uint32_t i = 0; !rc && i < head.count; i++) {
		const struct xr_wire_param p = param_at(it, i);

		if (names_a_ring(&p))
			ring[n++] = p.value;
		if (n == RINGS || i + 1 == head.count) {
			rc = clear_pages(r, &it->where, ring, n, err);
			n = 0;
		}
	}
	for (uint32_t i = 0; !rc && i < head.count; i++) {
		const struct xr_wire_param p = param_at(it, i);

		rc = apply_param(r, &it->where, &p, err);
	}
	return rc;
}

static int hvm_control(struct xr_restore *r, struct xr_item *it, struct xr_error *err)
{
	if (it->where.type == XR_REC_HVM_PARAMS)
		return params(r, it, err);
	return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
		       "a record of type %#x has no place in an HVM stream", it->where.type);
}

static int load_context(struct xr_restore *r, struct xr_error *err)
{
	struct xr_guest *g = &r->guest;
	char what[64];
	int rc;

	rc = xr_pulse(r, err);
	if (rc)
		return rc;
	if (!g->context)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, &r->at, XR_NO_PFN,
			       "the stream has no HVM_CONTEXT record: the guest's CPUs and devices "
			       "are missing");
	r->other_calls++;
	rc = r->host->ops->set_hvm_context(r->host, g->context, g->context_len);
	if (!rc)
		return 0;
	snprintf(what, sizeof(what), "the HVM context (%u bytes)", g->context_len);
	return xr_refused(err, rc, &g->context_at, what);
}

static int seed_grants(struct xr_restore *r, struct xr_error *err)
{
	int rc;

	r->other_calls++;
	rc = r->host->ops->seed_grants(r->host, true, r->guest.console_gfn, r->guest.store_gfn,
				       r->set.console_domid, r->set.store_domid);
	if (!rc)
		return 0;
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, NULL, XR_NO_PFN,
			    "cannot seed the guest's grant table: %s", strerror(-rc));
}

/* The order is Xen's own restorer's: the context needs all parameters, grants come last. */
static int hvm_complete(struct xr_restore *r, struct xr_error *err)
{
	int rc;

	rc = set_param(r, NULL, HVM_PARAM_STORE_EVTCHN, r->set.store_port, err);
	if (!rc)
		rc = set_param(r, NULL, HVM_PARAM_CONSOLE_EVTCHN, r->set.console_port, err);
	if (!rc)
		rc = load_context(r, err);
	if (!rc)
		rc = xr_pulse(r, err);
	return rc ? rc : seed_grants(r, err);
}

const struct xr_guest_ops xr_guest_hvm = { .control = hvm_control, .complete = hvm_complete };
