/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As a PV guest: 32-bit with PAE, in ring 1. Its memory is mapped from MEMORY on in the order of
 * its pfns: a part by the builder, the rest by us. The table of its frames (p2m) is the builder's;
 * Xen has the one of the other direction (m2p).
 */
#include "guest.h"

#include <xen/memory.h>
#include <xen/sched.h>

#define WRITABLE 0x63ull /* present, writable, accessed, dirty */
#define READ_ONLY 0x61ull
#define TABLE 0x67ull /* as the builder has it in an L2 */
#define ADDRESS 0xffffffffff000ull
#define ENTRIES 512u	    /* of a table: 2 MiB */
#define PER_PAGE (PAGE / 4) /* entries of the p2m, and of the lists of its frames */
#define NO_FRAME (~0u)
#define BATCH 128u

static const uint32_t *const m2p = (const uint32_t *)0xf5800000;

static struct start_info *start;
static uint32_t *p2m;
static unsigned int own; /* first pfn behind what the builder, or we, have put there */
static volatile uint64_t *l2;

/* Xen's own page is mapped over this one, the other two tell the saver where the p2m is. */
static char shared_page[PAGE] __attribute__((aligned(PAGE)));
static uint32_t frame_list[PER_PAGE] __attribute__((aligned(PAGE)));
static uint32_t frame_list_list[PER_PAGE] __attribute__((aligned(PAGE)));
static uint64_t gdt[PAGE / 8] __attribute__((aligned(PAGE)));

char command_line[256];
extern uint32_t boot_stack;

static uint64_t entry(uint32_t mfn, uint64_t flags)
{
	return (uint64_t)mfn * PAGE | flags;
}

static uint32_t frame_of(const void *p)
{
	return p2m[PFN_OF(p)];
}

static void crash_if(long failed)
{
	if (failed)
		xen_shutdown(SHUTDOWN_crash);
}

static void map(const void *at, uint64_t pte)
{
	crash_if(hypercall(__HYPERVISOR_update_va_mapping, (unsigned long)at, (uint32_t)pte,
			   (uint32_t)(pte >> 32), UVMF_INVLPG));
}

static void set_l2(unsigned int slot, uint64_t value)
{
	struct mmu_update u = {
		.ptr = entry(frame_of((const void *)l2), slot * 8 | MMU_NORMAL_PT_UPDATE),
		.val = value,
	};

	crash_if(hypercall(__HYPERVISOR_mmu_update, (unsigned long)&u, 1, 0, DOMID_SELF));
}

/* The table that has MEMORY in it, of the four below cr3's, which is where pt_base is. */
static volatile uint64_t *find_l2(void)
{
	const volatile uint64_t *l3 = (const void *)start->pt_base;

	return AT(m2p[(uint32_t)((l3[MEMORY >> 30] & ADDRESS) / PAGE)]);
}

/* A table for 2 MiB that the builder left unmapped, in a page that it mapped. */
static void add_table(unsigned int slot)
{
	uint64_t *table = AT(own);

	for (unsigned int i = 0; i < ENTRIES; i++) {
		const unsigned int pfn = slot * ENTRIES + i;

		table[i] = pfn < start->nr_pages ? entry(p2m[pfn], WRITABLE) : 0;
	}
	map(table, entry(p2m[own], READ_ONLY));
	set_l2(slot, entry(p2m[own], TABLE));
	own++;
}

static void map_all(void)
{
	l2 = find_l2();
	for (unsigned int slot = 0; slot * ENTRIES < start->nr_pages; slot++)
		if (!(l2[slot] & 1))
			add_table(slot);
}

/* No segment but Xen's is used; that there are some is for the restorer. */
static void set_gdt(void)
{
	uint32_t frame = frame_of(gdt);

	map(gdt, entry(frame, READ_ONLY));
	crash_if(hypercall(__HYPERVISOR_set_gdt, (unsigned long)&frame, ENTRIES, 0, 0));
}

static unsigned int p2m_pages(void)
{
	return (start->nr_pages + PER_PAGE - 1) / PER_PAGE;
}

/* At boot, and in the same or a new domain after each suspend. */
static void attach(void)
{
	map(shared_page, start->shared_info | WRITABLE);
	xen.shared = (void *)shared_page;
	xen.console = AT(m2p[start->console.domU.mfn]);
	xen.store = AT(m2p[start->store_mfn]);
	xen.console_port = start->console.domU.evtchn;
	xen.store_port = start->store_evtchn;
	for (unsigned int i = 0; i < p2m_pages(); i++)
		frame_list[i] = frame_of(p2m + i * PER_PAGE);
	frame_list_list[0] = frame_of(frame_list);
	xen.shared->arch.max_pfn = start->nr_pages;
	xen.shared->arch.pfn_to_mfn_frame_list_list = frame_of(frame_list_list);
}

/* Nothing of the domain that is left may be found in page tables, and frames become pfns. */
static void detach(void)
{
	map(shared_page, entry(frame_of(shared_page), WRITABLE));
	start->store_mfn = m2p[start->store_mfn];
	start->console.domU.mfn = m2p[start->console.domU.mfn];
}

bool xen_suspend(void)
{
	struct sched_shutdown s = { .reason = SHUTDOWN_suspend };
	bool same;

	detach();
	same = hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&s,
			 frame_of(start), 0) == 1;
	if (same) {
		start->store_mfn = p2m[start->store_mfn];
		start->console.domU.mfn = p2m[start->console.domU.mfn];
	}
	attach();
	return same;
}

void boot(const void *info)
{
	start = (void *)info;
	p2m = (uint32_t *)start->mfn_list;
	for (size_t i = 0; start->cmd_line[i] && i < sizeof(command_line) - 1; i++)
		command_line[i] = (char)start->cmd_line[i];
	own = PFN_OF(start->pt_base) + start->nr_pt_frames;
	if (own < PFN_OF(boot_stack))
		own = PFN_OF(boot_stack);
	map_all();
	set_gdt();
	attach();
}

void boot_memory(void)
{
	extern const char image_start[];

	memory_add(0, (uint32_t)image_start - MEMORY);
	memory_add((uint64_t)own * PAGE, (uint64_t)start->nr_pages * PAGE);
}

/* Xen wants to know pfns, and answers with the frames in their place. */
unsigned int xen_populate(const xen_pfn_t *pfns, unsigned int n)
{
	xen_pfn_t frames[BATCH];
	unsigned int done;

	for (unsigned int i = 0; i < n; i++)
		frames[i] = pfns[i];
	done = xen_reserve(XENMEM_populate_physmap, frames, n);
	for (unsigned int i = 0; i < done; i++) {
		p2m[pfns[i]] = (uint32_t)frames[i];
		map(AT(pfns[i]), entry(p2m[pfns[i]], WRITABLE));
	}
	return done;
}

unsigned int xen_release(const xen_pfn_t *pfns, unsigned int n)
{
	xen_pfn_t frames[BATCH];

	for (unsigned int i = 0; i < n; i++) {
		frames[i] = p2m[pfns[i]];
		map(AT(pfns[i]), 0);
		p2m[pfns[i]] = NO_FRAME;
	}
	return xen_reserve(XENMEM_decrease_reservation, frames, n);
}

bool xen_has_memory(unsigned int pfn)
{
	return p2m[pfn] != NO_FRAME;
}

bool xen_share_at(xen_pfn_t pfn)
{
	(void)pfn;
	return false;
}
