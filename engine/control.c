/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control records that mean the same for every kind of guest: static data, TSC, verify. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLICY_MAX (1u << 20) /* bytes */

void xr_guest_free(struct xr_restore *r)
{
	struct xr_guest *g = &r->guest;

	xr_pv_free(r);
	free(g->leaves);
	free(g->msrs);
	free(g->context);
	memset(g, 0, sizeof(*g));
}

/* The latest copy of a record counts: keep this one for later. */
static int stash(struct xr_item *it, void **body, uint32_t *length)
{
	free(*body);
	*body = it->body;
	*length = it->length;
	it->body = NULL;
	return 0;
}

/* Policies are a few KiB; they wait for each other, beside whatever else does. */
static int stash_policy(struct xr_item *it, void **body, uint32_t *length, struct xr_error *err)
{
	if (it->length > POLICY_MAX)
		return xr_fail(err, -EOPNOTSUPP, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			       "a CPU policy of %u bytes: more than %u are not accepted",
			       it->length, POLICY_MAX);
	return stash(it, body, length);
}

static void drop_policies(struct xr_guest *g)
{
	free(g->leaves);
	free(g->msrs);
	g->leaves = g->msrs = NULL;
	g->leaves_len = g->msrs_len = 0;
}

static int set_policy(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_guest *g = &r->guest;
	struct xr_policy_fault f = { ~0u, ~0u, ~0u };
	int rc;

	r->other_calls++;
	rc = r->host->ops->set_cpu_policy(
		r->host, g->leaves, g->leaves_len / (uint32_t)sizeof(struct xr_wire_cpuid), g->msrs,
		g->msrs_len / (uint32_t)sizeof(struct xr_wire_msr), &f);
	if (!rc)
		return 0;
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			    "Xen refuses the guest's CPU policy: %s (leaf %#x, subleaf %#x, MSR "
			    "%#x); this host may lack a feature of the saving one",
			    strerror(-rc), f.leaf, f.subleaf, f.msr);
}

static int static_data_end(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_guest *g = &r->guest;
	const struct xr_callbacks *cb = &r->set.callbacks;
	const unsigned int missing = (g->leaves ? 0u : 1u) | (g->msrs ? 0u : 2u);
	int rc = 0;

	g->static_done = true;
	if (g->leaves || g->msrs)
		rc = set_policy(r, it, err);
	drop_policies(g);
	if (rc || !cb->static_data_done)
		return rc;
	rc = cb->static_data_done(missing, r->set.opaque);
	if (!rc)
		return 0;
	return xr_fail_host(err, -EIO, XR_STAGE_ENGINE, &it->where, XR_NO_PFN,
			    "the toolstack refuses the guest's static data (callback returned %d)",
			    rc);
}

int xr_refused(struct xr_error *err, int rc, const struct xr_where *where, const char *what)
{
	if (rc == -EINVAL && where)
		return xr_fail(err, -EBADMSG, XR_STAGE_ENGINE, where, XR_NO_PFN,
			       "Xen refuses %s: the stream holds none that is valid", what);
	return xr_fail_host(err, rc, XR_STAGE_ENGINE, where, XR_NO_PFN, "Xen refuses %s: %s", what,
			    strerror(-rc));
}

static int set_tsc(struct xr_restore *r, const struct xr_item *it, struct xr_error *err)
{
	struct xr_wire_tsc t;
	char what[64];
	int rc;

	memcpy(&t, it->body, sizeof(t));
	r->other_calls++;
	rc = r->host->ops->set_tsc(r->host, t.mode, t.nsec, t.khz, t.incarnation);
	if (!rc)
		return 0;
	snprintf(what, sizeof(what), "the guest's TSC mode %u at %u kHz", t.mode, t.khz);
	return xr_refused(err, rc, &it->where, what);
}

int xr_control_common(struct xr_restore *r, struct xr_item *it, struct xr_error *err)
{
	switch (it->where.type) {
	case XR_REC_CPUID_POLICY:
		return stash_policy(it, &r->guest.leaves, &r->guest.leaves_len, err);
	case XR_REC_MSR_POLICY:
		return stash_policy(it, &r->guest.msrs, &r->guest.msrs_len, err);
	case XR_REC_STATIC_DATA_END:
		return static_data_end(r, it, err);
	case XR_REC_TSC_INFO:
		return set_tsc(r, it, err);
	case XR_REC_HVM_CONTEXT:
		r->guest.context_at = it->where;
		return stash(it, &r->guest.context, &r->guest.context_len);
	case XR_REC_VERIFY:
		/* Only a copy that is finished can be compared with. */
		r->verify = true;
		return xr_copy_drain(r->copy, err);
	default:
		return -ENOENT;
	}
}
