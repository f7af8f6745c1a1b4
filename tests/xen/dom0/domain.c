/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains without a toolstack: one to restore into by hand, and a byte of one changed behind its
 * back. */
#include "xr-lab.h"

#include <stdio.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

#define PAGING_MIB 8u

static int make(xc_interface *xch, uint32_t *domid, unsigned long mib)
{
	struct xen_domctl_createdomain how = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
		.max_vcpus = 1,
		.max_evtchn_port = 1023,
		.max_grant_frames = -1,
		.max_maptrack_frames = -1,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch.emulation_flags = XEN_X86_EMU_LAPIC,
	};
	int rc = xc_domain_create(xch, domid, &how);

	if (rc)
		return rc;
	rc = xc_domain_max_vcpus(xch, *domid, 1);
	if (!rc)
		rc = xc_domain_setmaxmem(xch, *domid, mib << 10);
	if (!rc)
		rc = xc_set_paging_mempool_size(xch, *domid, (uint64_t)PAGING_MIB << 20);
	if (rc)
		xc_domain_destroy(xch, *domid);
	return rc;
}

int domain_create(unsigned long mib)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	uint32_t domid = 0;
	int rc = xch ? make(xch, &domid, mib) : -1;

	if (xch)
		xc_interface_close(xch);
	if (!rc)
		printf("%u\n", domid);
	return rc ? 1 : 0;
}

int domain_destroy(uint32_t domid)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	const int rc = xch ? xc_domain_destroy(xch, domid) : -1;

	if (xch)
		xc_interface_close(xch);
	return rc ? 1 : 0;
}

int domain_spoil(uint32_t domid, unsigned long pfn, unsigned long at)
{
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	const xen_pfn_t gfn = pfn;
	unsigned char *page;
	int err = 0, rc;

	if (!fmem)
		return 1;
	page = xenforeignmemory_map(fmem, domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);
	rc = !page || err || at >= XC_PAGE_SIZE;
	if (!rc)
		page[at] ^= 1;
	if (page)
		xenforeignmemory_unmap(fmem, page, 1);
	xenforeignmemory_close(fmem);
	return rc;
}
