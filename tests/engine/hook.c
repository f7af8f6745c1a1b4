/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hook.h"

#include "internal.h"

static struct hook *hook;
static const struct xr_host_ops *real;

static void called(bool changes)
{
	if (hook->at && hook->calls >= hook->at)
		hook->after += changes;
	if (++hook->calls == hook->at)
		hook->then(hook->arg);
}

static int info(struct xr_host *h, struct xr_dominfo *out)
{
	called(false);
	return real->info(h, out);
}

static long populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns,
		     uint64_t *mfns)
{
	called(true);
	return real->populate(h, order, n, gfns, mfns);
}

static long release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns)
{
	called(true);
	return real->release(h, order, n, gfns);
}

static int set_cpu_policy(struct xr_host *h, const void *leaves, uint32_t nr_leaves,
			  const void *msrs, uint32_t nr_msrs, struct xr_policy_fault *fault)
{
	called(true);
	return real->set_cpu_policy(h, leaves, nr_leaves, msrs, nr_msrs, fault);
}

static int set_tsc(struct xr_host *h, uint32_t mode, uint64_t nsec, uint32_t khz,
		   uint32_t incarnation)
{
	called(true);
	return real->set_tsc(h, mode, nsec, khz, incarnation);
}

static int set_param(struct xr_host *h, uint32_t index, uint64_t value)
{
	called(true);
	return real->set_param(h, index, value);
}

static int set_hvm_context(struct xr_host *h, const void *context, uint32_t size)
{
	called(true);
	return real->set_hvm_context(h, context, size);
}

static int seed_grants(struct xr_host *h, bool hvm, uint64_t console_gfn, uint64_t store_gfn,
		       uint32_t console_domid, uint32_t store_domid)
{
	called(true);
	return real->seed_grants(h, hvm, console_gfn, store_gfn, console_domid, store_domid);
}

void hook_install(struct hook *k, struct xr_restore *r)
{
	static struct xr_host_ops ops;

	hook = k;
	real = r->host->ops;
	ops = *real;
	ops.info = info;
	ops.populate = populate;
	ops.release = release;
	ops.set_cpu_policy = set_cpu_policy;
	ops.set_tsc = set_tsc;
	ops.set_param = set_param;
	ops.set_hvm_context = set_hvm_context;
	ops.seed_grants = seed_grants;
	r->host->ops = &ops;
}
