/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real host: calls of libxenctrl, libxenguest and libxenforeignmemory, public but for the one
 * below. One xc_interface per handle, since libxenctrl keeps its last error there; one foreign
 * memory handle per mapper, opened where it is used.
 */
#include "host/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>

/* gfns per memory_op, in a buffer that Xen can read and that is allocated once. */
#define BATCH 2048u
#define PINS 256u /* in one call */

/* libxenctrl exports this for libxenguest, whose saver asks it of every page, but no header names
 * it. In each element a gfn goes in and its type, as in PAGE_DATA, in bits 28 to 31, comes out. */
int xc_get_pfn_type_batch(xc_interface *xch, uint32_t dom, unsigned int num, xen_pfn_t *arr);

struct xen_host {
	struct xr_host host;
	struct xentoollog_logger *logger;
	xc_interface *xch;
	uint32_t domid;
	xc_hypercall_buffer_t extents_buffer;
	xen_pfn_t *extents;
};

struct xen_mapper {
	struct xr_mapper mapper;
	xenforeignmemory_handle *fmem;
	uint32_t domid;
};

/* libxenctrl writes to stderr where it is given no logger. */
static void mute_message(struct xentoollog_logger *l, xentoollog_level level, int errnoval,
			 const char *context, const char *format, va_list al)
{
	(void)l, (void)level, (void)errnoval, (void)context, (void)format, (void)al;
}

static void mute_progress(struct xentoollog_logger *l, const char *context, const char *doing,
			  int percent, unsigned long done, unsigned long total)
{
	(void)l, (void)context, (void)doing, (void)percent, (void)done, (void)total;
}

static void mute_destroy(struct xentoollog_logger *l)
{
	(void)l;
}

static struct xentoollog_logger mute = { mute_message, mute_progress, mute_destroy };

static struct xen_host *of(struct xr_host *h)
{
	return (struct xen_host *)h;
}

static int result(int rc)
{
	return rc < 0 ? (errno ? -errno : -EIO) : 0;
}

static int xen_info(struct xr_host *h, struct xr_dominfo *info)
{
	xc_domaininfo_t di;
	int n;

	n = xc_domain_getinfolist(of(h)->xch, of(h)->domid, 1, &di);
	if (n < 0)
		return result(n);
	/* The call answers with the next domain if this one does not exist. */
	if (n != 1 || di.domain != of(h)->domid)
		return -ESRCH;
	*info = (struct xr_dominfo){
		.domid = di.domain,
		.hvm = di.flags & XEN_DOMINF_hvm_guest,
		.paused = (di.flags & (XEN_DOMINF_paused | XEN_DOMINF_dying |
				       XEN_DOMINF_shutdown)) == XEN_DOMINF_paused,
		.max_vcpu_id = di.max_vcpu_id,
		.tot_pages = di.tot_pages,
		.max_pages = di.max_pages,
		.shared_info_gfn = di.shared_info_frame,
	};
	return 0;
}

static long reservation(struct xen_host *x, unsigned int cmd, unsigned int order, size_t n,
			const uint64_t *gfns, uint64_t *mfns)
{
	struct xen_memory_reservation r = {
		.nr_extents = n,
		.extent_order = order,
		.domid = (domid_t)x->domid,
	};
	long done;

	_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "gfns go to Xen as they are");
	memcpy(x->extents, gfns, n * sizeof(*gfns));
	set_xen_guest_handle_raw(r.extent_start, x->extents);
	done = xc_memory_op(x->xch, cmd, &r, sizeof(r));
	if (mfns && done > 0)
		memcpy(mfns, x->extents, (size_t)done * sizeof(*mfns));
	return done < 0 ? (errno ? -errno : -EIO) : done;
}

static long batched(struct xen_host *x, unsigned int cmd, unsigned int order, size_t n,
		    const uint64_t *gfns, uint64_t *mfns)
{
	size_t done = 0;

	while (done < n) {
		size_t part = n - done < BATCH ? n - done : BATCH;
		long rc = reservation(x, cmd, order, part, gfns + done, mfns ? mfns + done : NULL);

		if (rc < 0)
			return done ? (long)done : rc;
		done += (size_t)rc;
		if ((size_t)rc < part)
			break;
	}
	return (long)done;
}

static long xen_populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *pfns,
			 uint64_t *mfns)
{
	return batched(of(h), XENMEM_populate_physmap, order, n, pfns, mfns);
}

static long xen_release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns)
{
	return batched(of(h), XENMEM_decrease_reservation, order, n, gfns, NULL);
}

static int xen_set_cpu_policy(struct xr_host *h, const void *leaves, uint32_t nr_leaves,
			      const void *msrs, uint32_t nr_msrs, struct xr_policy_fault *fault)
{
	_Static_assert(sizeof(xen_cpuid_leaf_t) == 24, "as in the stream");
	_Static_assert(sizeof(xen_msr_entry_t) == 16, "as in the stream");
	/* The call does not write to the arrays; its prototype lacks the const. */
	return result(xc_set_domain_cpu_policy(
		of(h)->xch, of(h)->domid, nr_leaves, (xen_cpuid_leaf_t *)(uintptr_t)leaves, nr_msrs,
		(xen_msr_entry_t *)(uintptr_t)msrs, &fault->leaf, &fault->subleaf, &fault->msr));
}

static int xen_set_tsc(struct xr_host *h, uint32_t mode, uint64_t nsec, uint32_t khz,
		       uint32_t incarnation)
{
	return result(
		xc_domain_set_tsc_info(of(h)->xch, of(h)->domid, mode, nsec, khz, incarnation));
}

static int xen_set_param(struct xr_host *h, uint32_t index, uint64_t value)
{
	return result(xc_hvm_param_set(of(h)->xch, of(h)->domid, index, value));
}

static int xen_set_hvm_context(struct xr_host *h, const void *context, uint32_t size)
{
	return result(xc_domain_hvm_setcontext(of(h)->xch, of(h)->domid,
					       (uint8_t *)(uintptr_t)context, size));
}

static int xen_seed_grants(struct xr_host *h, bool hvm, uint64_t console_gfn, uint64_t store_gfn,
			   uint32_t console_domid, uint32_t store_domid)
{
	return result(xc_dom_gnttab_seed(of(h)->xch, of(h)->domid, hvm, console_gfn, store_gfn,
					 console_domid, store_domid));
}

static int xen_get_width(struct xr_host *h, unsigned int *width)
{
	return result(xc_domain_get_guest_width(of(h)->xch, of(h)->domid, width));
}

static int call(struct xen_host *x, struct xen_domctl *d)
{
	d->domain = (domid_t)x->domid;
	return result(xc_domctl(x->xch, d));
}

static int xen_set_width(struct xr_host *h, unsigned int width)
{
	struct xen_domctl d = { .cmd = XEN_DOMCTL_set_address_size };

	d.u.address_size.size = width * 8;
	return call(of(h), &d);
}

static int set_basic(struct xen_host *x, uint32_t vcpu, const void *blob)
{
	_Static_assert(sizeof(vcpu_guest_context_any_t) == XR_VCPU_BASIC_BYTES, "what Xen reads");
	return result(xc_vcpu_setcontext(x->xch, x->domid, vcpu,
					 (vcpu_guest_context_any_t *)(uintptr_t)blob));
}

static int set_extended(struct xen_host *x, const void *blob, uint32_t size)
{
	struct xen_domctl d = { .cmd = XEN_DOMCTL_set_ext_vcpucontext };

	if (size > sizeof(d.u))
		return -E2BIG;
	memcpy(&d.u.ext_vcpucontext, blob, size);
	return call(x, &d);
}

/* States that Xen reads from a buffer of ours. */
static int set_buffered(struct xen_host *x, uint32_t vcpu, enum xr_vcpu_state state,
			const void *blob, uint32_t size)
{
	struct xen_domctl d = { 0 };
	DECLARE_HYPERCALL_BUFFER(void, buffer);
	int rc;

	buffer = xc_hypercall_buffer_alloc(x->xch, buffer, size);
	if (!buffer)
		return -ENOMEM;
	memcpy(buffer, blob, size);
	if (state == XR_VCPU_XSAVE) {
		d.cmd = XEN_DOMCTL_setvcpuextstate;
		d.u.vcpuextstate.vcpu = vcpu;
		d.u.vcpuextstate.size = size;
		set_xen_guest_handle(d.u.vcpuextstate.buffer, buffer);
	} else {
		d.cmd = XEN_DOMCTL_set_vcpu_msrs;
		d.u.vcpu_msrs.vcpu = vcpu;
		d.u.vcpu_msrs.msr_count = size / (uint32_t)sizeof(xen_domctl_vcpu_msr_t);
		set_xen_guest_handle(d.u.vcpu_msrs.msrs, buffer);
	}
	rc = call(x, &d);
	xc_hypercall_buffer_free(x->xch, buffer);
	return rc;
}

static int xen_set_vcpu(struct xr_host *h, uint32_t vcpu, enum xr_vcpu_state state,
			const void *blob, uint32_t size)
{
	if (state == XR_VCPU_BASIC)
		return set_basic(of(h), vcpu, blob);
	if (state == XR_VCPU_EXTENDED)
		return set_extended(of(h), blob, size);
	return set_buffered(of(h), vcpu, state, blob, size);
}

static int xen_pin(struct xr_host *h, size_t n, const struct xr_pin *pins)
{
	static const unsigned int commands[] = { MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE,
						 MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE };
	struct mmuext_op ops[PINS];
	int rc = 0;

	for (size_t done = 0, part; !rc && done < n; done += part) {
		part = n - done < PINS ? n - done : PINS;
		for (size_t i = 0; i < part; i++) {
			ops[i] = (struct mmuext_op){ .cmd = commands[pins[done + i].level - 1] };
			ops[i].arg1.mfn = pins[done + i].gfn;
		}
		rc = result(xc_mmuext_op(of(h)->xch, ops, (unsigned int)part, of(h)->domid));
	}
	return rc;
}

static int xen_nr_gfns(struct xr_host *h, uint64_t *n)
{
	xen_pfn_t gpfns;
	const int rc = result(xc_domain_nr_gpfns(of(h)->xch, of(h)->domid, &gpfns));

	*n = rc ? 0 : gpfns;
	return rc;
}

static int xen_take_dirty(struct xr_host *h, uint64_t n, uint64_t *bits)
{
	const size_t bytes = (n + 63) / 64 * sizeof(*bits);
	const int pages = (int)((bytes + XC_PAGE_SIZE - 1) / XC_PAGE_SIZE);
	xc_interface *xch = of(h)->xch;
	DECLARE_HYPERCALL_BUFFER(unsigned char, bitmap);
	long long done;
	int rc = 0;

	if (!n)
		return 0;
	bitmap = xc_hypercall_buffer_alloc_pages(xch, bitmap, pages);
	if (!bitmap)
		return -ENOMEM;
	memset(bitmap, 0, (size_t)pages * XC_PAGE_SIZE);
	done = xc_logdirty_control(xch, of(h)->domid, XEN_DOMCTL_SHADOW_OP_CLEAN,
				   HYPERCALL_BUFFER(bitmap), n, 0, NULL);
	if (done < 0)
		rc = errno ? -errno : -EIO;
	else if ((uint64_t)done != n)
		rc = -EIO;
	else
		memcpy(bits, bitmap, bytes);
	xc_hypercall_buffer_free_pages(xch, bitmap, pages);
	return rc;
}

static int xen_has_ram(struct xr_host *h, size_t n, const uint64_t *gfns, bool *ram)
{
	xen_pfn_t type[XR_RAM_MAX];
	int rc;

	for (size_t i = 0; i < n; i++)
		type[i] = gfns[i];
	rc = result(xc_get_pfn_type_batch(of(h)->xch, of(h)->domid, (unsigned int)n, type));
	for (size_t i = 0; !rc && i < n; i++)
		ram[i] = (type[i] & XEN_DOMCTL_PFINFO_LTAB_MASK) < XEN_DOMCTL_PFINFO_BROKEN;
	return rc;
}

static const struct xr_host_ops xen_ops;

static int xen_mapper_open(struct xr_host *h, struct xr_mapper **out)
{
	struct xen_mapper *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (!m)
		return -ENOMEM;
	m->mapper.ops = &xen_ops;
	m->domid = of(h)->domid;
	m->fmem = xenforeignmemory_open(&mute, 0);
	if (!m->fmem) {
		int rc = result(-1);

		free(m);
		return rc;
	}
	/* An old kernel can't tie a handle to a domain; then it stays as it is. */
	if (xenforeignmemory_restrict(m->fmem, (domid_t)m->domid))
		m->mapper.unrestricted = errno ? errno : EIO;
	*out = &m->mapper;
	return 0;
}

static void xen_mapper_close(struct xr_mapper *mapper)
{
	struct xen_mapper *m = (struct xen_mapper *)mapper;

	xenforeignmemory_close(m->fmem);
	free(m);
}

static void *xen_map(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err)
{
	struct xen_mapper *m = (struct xen_mapper *)mapper;

	const int prot = mapper->read_only ? PROT_READ : PROT_READ | PROT_WRITE;

	return xenforeignmemory_map(m->fmem, m->domid, prot, n, gfns, err);
}

static int xen_unmap(struct xr_mapper *mapper, void *addr, size_t n)
{
	return result(xenforeignmemory_unmap(((struct xen_mapper *)mapper)->fmem, addr, n));
}

static void xen_share(struct xr_host *h, struct xr_host_share *out)
{
	*out = (struct xr_host_share){ .domid = of(h)->domid, .fd = { -1, -1, -1 } };
}

static void xen_close(struct xr_host *h)
{
	struct xen_host *x = of(h);

	if (x->extents)
		xc__hypercall_buffer_free_pages(x->xch, &x->extents_buffer,
						BATCH * sizeof(xen_pfn_t) / XC_PAGE_SIZE);
	if (x->xch)
		xc_interface_close(x->xch);
	free(x);
}

static const struct xr_host_ops xen_ops = {
	.name = "xen",
	.info = xen_info,
	.populate = xen_populate,
	.release = xen_release,
	.set_cpu_policy = xen_set_cpu_policy,
	.set_tsc = xen_set_tsc,
	.set_param = xen_set_param,
	.set_hvm_context = xen_set_hvm_context,
	.seed_grants = xen_seed_grants,
	.get_width = xen_get_width,
	.set_width = xen_set_width,
	.set_vcpu = xen_set_vcpu,
	.pin = xen_pin,
	.nr_gfns = xen_nr_gfns,
	.take_dirty = xen_take_dirty,
	.has_ram = xen_has_ram,
	.share = xen_share,
	.mapper_open = xen_mapper_open,
	.mapper_close = xen_mapper_close,
	.map = xen_map,
	.unmap = xen_unmap,
	.close = xen_close,
};

int xr_host_xen_open(struct xr_host **out, uint32_t domid, struct xentoollog_logger *logger)
{
	struct xen_host *x = calloc(1, sizeof(*x));
	int rc;

	*out = NULL;
	if (!x)
		return -ENOMEM;
	x->host.ops = &xen_ops;
	x->domid = domid;
	x->logger = logger ? logger : &mute;
	x->xch = xc_interface_open(x->logger, x->logger, 0);
	if (!x->xch)
		goto fail;
	x->extents = xc__hypercall_buffer_alloc_pages(x->xch, &x->extents_buffer,
						      BATCH * sizeof(xen_pfn_t) / XC_PAGE_SIZE);
	if (!x->extents)
		goto fail;
	*out = &x->host;
	return 0;
fail:
	rc = result(-1);
	xen_close(&x->host);
	return rc;
}

int xr_host_xen_attach(struct xr_host **out, uint32_t domid)
{
	struct xen_host *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return -ENOMEM;
	x->host.ops = &xen_ops;
	x->domid = domid;
	*out = &x->host;
	return 0;
}
