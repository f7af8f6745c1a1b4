/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user of libxenctrl and libxenforeignmemory that knows of no model: it does to domain 1 what a
 * toolstack does, and checks each answer. Exits with 0, or names the line that failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "client.c:%d: %s (errno %d)\n", __LINE__, #x, errno);      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define DOM 1u
#define PAGE 4096u

static xc_interface *xch;
static xenforeignmemory_handle *fmem;

static xc_domaininfo_t info(void)
{
	xc_domaininfo_t i;

	CHECK(xc_domain_getinfolist(xch, 0, 1, &i) == 1);
	CHECK(i.domain == DOM);
	return i;
}

static void asks(void)
{
	xc_domaininfo_t i = info();
	xc_dominfo_t old;
	unsigned int width;
	xen_pfn_t gpfns;

	CHECK(i.flags & XEN_DOMINF_hvm_guest);
	CHECK(i.tot_pages == 0 && i.max_pages == 2000 && i.max_vcpu_id == 3);
	CHECK(xc_domain_getinfolist(xch, DOM + 1, 1, &i) == 0);
	CHECK(xc_domain_getinfo(xch, DOM, 1, &old) == 1 && old.domid == DOM && old.hvm);
	CHECK(xc_domain_get_guest_width(xch, DOM, &width) == 0 && width == 8);
	CHECK(xc_domain_nr_gpfns(xch, DOM, &gpfns) == 0 && gpfns == 1);
	CHECK(xc_version(xch, XENVER_version, NULL) == (4 << 16 | 17));
}

static void populates(void)
{
	xen_pfn_t big[2] = { 512, 1024 }, small[600], gpfns;

	for (unsigned int i = 0; i < 600; i++)
		small[i] = 2048 + i;
	CHECK(xc_domain_populate_physmap(xch, DOM, 2, 9, 0, big) == 2);
	CHECK(xc_domain_populate_physmap_exact(xch, DOM, 600, 0, 0, small) == 0);
	CHECK(info().tot_pages == 1624);
	CHECK(xc_domain_nr_gpfns(xch, DOM, &gpfns) == 0 && gpfns == 2648);
	/* only 376 pages are left */
	CHECK(xc_domain_populate_physmap(xch, DOM, 1, 9, 0, big) == 0);
	for (unsigned int i = 0; i < 600; i++)
		small[i] = 4096 + i;
	CHECK(xc_domain_populate_physmap(xch, DOM, 600, 0, 0, small) == 376);
	CHECK(xc_domain_decrease_reservation(xch, DOM, 600, 0, small) == 376);
	CHECK(xc_domain_populate_physmap_exact(xch, DOM + 1, 1, 0, 0, small) == -1);
}

static void maps(void)
{
	xen_pfn_t gfns[3] = { 600, 5, 2100 };
	int err[3];
	char *p = xenforeignmemory_map(fmem, DOM, PROT_READ | PROT_WRITE, 3, gfns, err);

	CHECK(p && err[0] == 0 && err[1] == -EINVAL && err[2] == 0);
	memset(p, 'a', PAGE);
	memset(p + 2 * PAGE, 'c', PAGE);
	CHECK(xenforeignmemory_unmap(fmem, p, 3) == 0);
	CHECK(!xenforeignmemory_map(fmem, DOM, PROT_READ, 3, gfns, NULL));
	gfns[1] = 2100;
	p = xenforeignmemory_map(fmem, DOM, PROT_READ, 3, gfns, NULL);
	CHECK(p && p[0] == 'a' && p[PAGE] == 'c' && p[3 * PAGE - 1] == 'c');
	CHECK(xenforeignmemory_unmap(fmem, p, 3) == 0);
	CHECK(!xenforeignmemory_map(fmem, DOM + 1, PROT_READ, 3, gfns, err));
	/* maps and ends the mapping with munmap() */
	CHECK(xc_clear_domain_page(xch, DOM, 2100) == 0);
	p = xenforeignmemory_map(fmem, DOM, PROT_READ, 1, gfns + 2, NULL);
	CHECK(p && p[0] == 0 && p[PAGE - 1] == 0);
	CHECK(munmap(p, PAGE) == 0);
}

/* More frames than one of our own host calls would map. */
static void maps_many(void)
{
	static xen_pfn_t gfns[5000];
	volatile char *p; /* one frame at many addresses */

	for (unsigned int i = 0; i < 5000; i++)
		gfns[i] = 512 + i % 1024;
	p = xenforeignmemory_map(fmem, DOM, PROT_READ | PROT_WRITE, 5000, gfns, NULL);
	CHECK(p);
	p[1024 * PAGE] = 'x';
	CHECK(p[0] == 'x' && p[4096 * PAGE] == 'x');
	p[0] = 0;
	CHECK(xenforeignmemory_unmap(fmem, (void *)p, 5000) == 0);
}

static void sets(void)
{
	xen_cpuid_leaf_t leaf = { 0 };
	xen_msr_entry_t msr = { 0 };
	uint32_t l, s, m;
	uint64_t v;

	CHECK(xc_set_domain_cpu_policy(xch, DOM, 1, &leaf, 1, &msr, &l, &s, &m) == 0);
	CHECK(xc_domain_set_tsc_info(xch, DOM, 0, 1, 2, 3) == 0);
	CHECK(xc_hvm_param_set(xch, DOM, 1, 2100) == 0);
	CHECK(xc_hvm_param_get(xch, DOM, 1, &v) == 0 && v == 2100);
	CHECK(xc_hvm_param_set(xch, DOM, 5, 1) == 0);
	CHECK(xc_hvm_param_set(xch, DOM, 5, 2) == -1 && errno == EEXIST);
	CHECK(xc_domain_hvm_setcontext(xch, DOM, (uint8_t *)&leaf, 8) == -1 && errno == EINVAL);
	CHECK(xc_dom_gnttab_seed(xch, DOM, true, 2101, 2100, 0, 0) == 0);
}

static void decreases(void)
{
	xen_pfn_t one = 512, middle = 1100;

	CHECK(xc_domain_decrease_reservation_exact(xch, DOM, 1, 9, &one) == 0);
	CHECK(xc_domain_decrease_reservation_exact(xch, DOM, 1, 0, &middle) == 0);
	CHECK(xc_domain_decrease_reservation(xch, DOM, 1, 0, &middle) == 0);
	CHECK(info().tot_pages == 1111);
}

/* Twice, to show that stderr hears of it once. */
static void asks_the_unknown(void)
{
	for (int i = 0; i < 2; i++)
		CHECK(xc_domain_pause(xch, DOM) == -1 && errno == ENOSYS);
}

int main(void)
{
	xch = xc_interface_open(NULL, NULL, 0);
	CHECK(xch);
	fmem = xenforeignmemory_open(NULL, 0);
	CHECK(fmem);
	asks();
	populates();
	maps();
	maps_many();
	sets();
	decreases();
	asks_the_unknown();
	CHECK(xenforeignmemory_close(fmem) == 0);
	CHECK(xc_interface_close(xch) == 0);
	return 0;
}
