/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handle on the model, and the calls that set the state of the guest, judged as Xen does. */
#include "host/model_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HVM_SAVE_HEADER 1u
#define HVM_SAVE_END 0u
#define HVM_SAVE_MAGIC 0x54381286u
#define LEAF_BYTES 24u
#define MSR_BYTES 16u

struct host_model {
	struct xr_host base;
	struct xr_model *m;
};

struct save_record {
	uint16_t type;
	uint16_t instance;
	uint32_t length;
};

struct xr_model *model_of(struct xr_host *h)
{
	return ((struct host_model *)h)->m;
}

/* FNV-1a */
uint64_t xr_model_hash(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t h = 0xcbf29ce484222325;

	while (n--)
		h = (h ^ *p++) * 0x100000001b3;
	return h;
}

void xr_model_given(struct xr_model *m, struct xr_model_given *out)
{
	model_lock(m);
	*out = m->s->given;
	model_unlock(m);
}

int model_enter(struct xr_model *m, enum xr_model_call call, const char *name)
{
	int rc = 0;

	model_lock(m);
	if (model_begin_locked(m, call, 0, &rc))
		return rc;
	if (name)
		model_log_locked(m, "%s", name);
	return 0;
}

static int info(struct xr_host *h, struct xr_dominfo *out)
{
	struct xr_model *m = model_of(h);
	int rc = model_enter(m, XR_CALL_INFO, NULL);

	if (rc)
		goto out;
	model_reap_locked(m);
	*out = (struct xr_dominfo){
		.domid = MODEL_DOMID,
		.hvm = !m->s->set.pv,
		.paused = true,
		.max_vcpu_id = m->s->set.max_vcpu_id,
		.tot_pages = model_tot_locked(m),
		.max_pages = m->s->set.max_pages,
		.shared_info_gfn = m->s->set.pv ? model_shown(0) : 0,
	};
out:
	model_unlock(m);
	return rc;
}

static int set_cpu_policy(struct xr_host *h, const void *leaves, uint32_t nr_leaves,
			  const void *msrs, uint32_t nr_msrs, struct xr_policy_fault *fault)
{
	struct xr_model *m = model_of(h);
	struct xr_model_given *g = &m->s->given;
	int rc = model_enter(m, XR_CALL_CPU_POLICY, "policy");

	*fault = (struct xr_policy_fault){ ~0u, ~0u, ~0u };
	if (!rc && ((nr_leaves && !leaves) || (nr_msrs && !msrs)))
		rc = -EFAULT;
	if (!rc) {
		g->leaves = nr_leaves;
		g->leaves_hash = xr_model_hash(leaves, (size_t)nr_leaves * LEAF_BYTES);
		g->msrs = nr_msrs;
		g->msrs_hash = xr_model_hash(msrs, (size_t)nr_msrs * MSR_BYTES);
	}
	model_unlock(m);
	return rc;
}

static int set_tsc(struct xr_host *h, uint32_t mode, uint64_t nsec, uint32_t khz,
		   uint32_t incarnation)
{
	struct xr_model *m = model_of(h);
	struct xr_model_given *g = &m->s->given;
	int rc = model_enter(m, XR_CALL_TSC, "tsc");

	if (!rc) {
		g->tsc_mode = mode;
		g->tsc_nsec = nsec;
		g->tsc_khz = khz;
		g->tsc_incarnation = incarnation;
	}
	model_unlock(m);
	return rc;
}

/* Indices whose value, once not zero, is there to stay. */
static bool param_is_set_once(uint32_t index)
{
	switch (index) {
	case 5:	 /* IOREQ_PFN */
	case 6:	 /* BUFIOREQ_PFN */
	case 9:	 /* VIRIDIAN */
	case 32: /* IOREQ_SERVER_PFN */
	case 33: /* NR_IOREQ_SERVER_PAGES */
	case 35: /* ALTP2M */
	case 38: /* MCA_CAP */
		return true;
	default:
		return false;
	}
}

static int set_param_locked(struct xr_model *m, uint32_t index, uint64_t value)
{
	struct model_state *s = m->s;

	if (s->set.pv || !xr_hvm_param_is_settable(index))
		return -EINVAL;
	if (param_is_set_once(index) && s->param[index] && s->param[index] != value)
		return -EEXIST;
	s->param[index] = value;
	s->param_set[index] = true;
	return 0;
}

static int set_param(struct xr_host *h, uint32_t index, uint64_t value)
{
	struct xr_model *m = model_of(h);
	int rc = model_enter(m, XR_CALL_PARAM, NULL);

	if (!rc) {
		model_log_locked(m, "param:%u", index);
		rc = set_param_locked(m, index, value);
	}
	model_unlock(m);
	return rc;
}

/* A chain of records from a header to an end; Xen does not look behind the end. */
static bool context_is_sound(const unsigned char *p, uint32_t size)
{
	struct save_record rec = { 0 };
	uint32_t magic, at = 0;

	while (size - at >= sizeof(rec)) {
		bool first = at == 0;

		memcpy(&rec, p + at, sizeof(rec));
		at += (uint32_t)sizeof(rec);
		if (rec.length > size - at || first != (rec.type == HVM_SAVE_HEADER))
			return false;
		if (rec.type == HVM_SAVE_END)
			return rec.length == 0;
		if (first) {
			if (rec.length < sizeof(magic))
				return false;
			memcpy(&magic, p + at, sizeof(magic));
			if (magic != HVM_SAVE_MAGIC)
				return false;
		}
		at += rec.length;
	}
	return false;
}

static int set_hvm_context(struct xr_host *h, const void *context, uint32_t size)
{
	struct xr_model *m = model_of(h);
	int rc = model_enter(m, XR_CALL_CONTEXT, "context");

	if (!rc && (m->s->set.pv || !context_is_sound(context, size)))
		rc = -EINVAL;
	if (!rc) {
		m->s->given.context_bytes = size;
		m->s->given.context_hash = xr_model_hash(context, size);
	}
	model_unlock(m);
	return rc;
}

static int seed_grants(struct xr_host *h, bool hvm, uint64_t console_gfn, uint64_t store_gfn,
		       uint32_t console_domid, uint32_t store_domid)
{
	struct xr_model *m = model_of(h);
	struct xr_model_given *g = &m->s->given;
	int rc = model_enter(m, XR_CALL_GRANTS, "grants");

	if (!rc && hvm == m->s->set.pv)
		rc = -EINVAL;
	if (!rc) {
		g->console_gfn = console_gfn;
		g->store_gfn = store_gfn;
		g->console_domid = console_domid;
		g->store_domid = store_domid;
	}
	model_unlock(m);
	return rc;
}

static int nr_gfns(struct xr_host *h, uint64_t *n)
{
	struct xr_model *m = model_of(h);
	const int rc = model_enter(m, XR_CALL_DIRTY, NULL);

	*n = m->s->highest == NO_FRAME ? 0 : m->s->highest + 1;
	model_unlock(m);
	return rc;
}

static int take_dirty(struct xr_host *h, uint64_t n, uint64_t *bits)
{
	struct xr_model *m = model_of(h);
	const int rc = model_enter(m, XR_CALL_DIRTY, "dirty");

	for (uint32_t i = 0; !rc && i < m->s->ndirty; i++) {
		const uint64_t gfn = m->s->dirty[i];

		if (gfn < n)
			bits[gfn / 64] |= (uint64_t)1 << gfn % 64;
	}
	if (!rc)
		m->s->ndirty = 0;
	model_unlock(m);
	return rc;
}

int xr_model_dirty(struct xr_model *m, uint64_t gfn, const void *page)
{
	int rc = xr_model_poke(m, gfn, page);

	if (rc)
		return rc;
	model_lock(m);
	if (m->s->ndirty == MODEL_DIRTY)
		rc = -ENOSPC;
	else
		m->s->dirty[m->s->ndirty++] = gfn;
	model_unlock(m);
	return rc;
}

static bool is_xens(const struct xr_model *m, uint64_t gfn)
{
	for (uint32_t i = 0; i < m->s->nxens; i++)
		if (m->s->xens[i] == gfn)
			return true;
	return false;
}

uint64_t model_xens_leave_locked(struct xr_model *m, uint64_t gfn, uint64_t n)
{
	const uint32_t before = m->s->nxens;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < before; i++)
		if (m->s->xens[i] - gfn >= n)
			m->s->xens[kept++] = m->s->xens[i];
	m->s->nxens = kept;
	return before - kept;
}

int xr_model_put_xens(struct xr_model *m, uint64_t gfn)
{
	int order, rc = 0;

	model_lock(m);
	if (model_p2m_get_locked(m, gfn, &order) == NO_FRAME)
		rc = -ENOENT;
	else if (m->s->nxens == MODEL_XENS)
		rc = -ENOSPC;
	if (!rc && !is_xens(m, gfn)) {
		m->s->xens[m->s->nxens++] = gfn;
		m->s->owned--;
	}
	model_unlock(m);
	return rc;
}

static int has_ram(struct xr_host *h, size_t n, const uint64_t *gfns, bool *ram)
{
	struct xr_model *m = model_of(h);
	int order, rc = model_enter(m, XR_CALL_RAM, NULL);

	if (!rc && (m->s->set.pv || n > XR_RAM_MAX))
		rc = -EINVAL;
	for (size_t i = 0; !rc && i < n; i++)
		ram[i] = model_p2m_get_locked(m, gfns[i], &order) != NO_FRAME &&
			 !is_xens(m, gfns[i]);
	model_unlock(m);
	return rc;
}

static void share(struct xr_host *h, struct xr_host_share *out)
{
	const struct xr_model *m = model_of(h);

	*out = (struct xr_host_share){ .model = true,
				       .domid = MODEL_DOMID,
				       .fd = { m->state_fd, m->file[0], m->file[1] } };
}

static void close_host(struct xr_host *h)
{
	free(h);
}

static const struct xr_host_ops ops = {
	.name = "model",
	.info = info,
	.populate = model_populate,
	.release = model_release,
	.set_cpu_policy = set_cpu_policy,
	.set_tsc = set_tsc,
	.set_param = set_param,
	.set_hvm_context = set_hvm_context,
	.seed_grants = seed_grants,
	.get_width = model_get_width,
	.set_width = model_set_width,
	.set_vcpu = model_set_vcpu,
	.pin = model_pin,
	.nr_gfns = nr_gfns,
	.take_dirty = take_dirty,
	.has_ram = has_ram,
	.share = share,
	.mapper_open = model_mapper_open,
	.mapper_close = model_mapper_close,
	.map = model_map,
	.unmap = model_unmap,
	.close = close_host,
};

int xr_host_model_open(struct xr_host **out, struct xr_model *m)
{
	struct host_model *h = malloc(sizeof(*h));

	*out = NULL;
	if (!h)
		return -ENOMEM;
	*h = (struct host_model){ { &ops }, m };
	*out = &h->base;
	return 0;
}

/* The model lasts as long as the process. */
int xr_host_attach(struct xr_host **out, const struct xr_host_share *s)
{
	struct xr_model *m;
	int rc;

	*out = NULL;
	if (!s->model)
		return xr_host_xen_attach(out, s->domid);
	rc = model_attach(&m, s->fd[0], &s->fd[1]);
	if (!rc)
		rc = xr_host_model_open(out, m);
	return rc;
}
