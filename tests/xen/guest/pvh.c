/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* As a PVH guest: 32-bit, no paging, so that addresses are guest-physical. */
#include "guest.h"

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

/* hvm_start_info and hvm_memmap_table_entry of Xen's PVH boot protocol, version 1 */
struct start_info_pvh {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

#define MEMMAP_RAM 1
#define MAX_ENTRIES 32u

/*
 * Never RAM, so nothing is lost by mapping over it; and in the same 2M region as Xen's special
 * pages: a small domain restored in 4K pages has hardly any memory left for another p2m table.
 */
#define SHARED_INFO_GFN 0xfef00u

extern char hypercall_page[];

char command_line[256];
static struct memmap_entry memmap[MAX_ENTRIES];
static unsigned int memmap_entries;

/* The boot information lies in memory that is about to be filled. */
static void save_start_info(const struct start_info_pvh *si)
{
	const struct memmap_entry *from = (const void *)(uint32_t)si->memmap;
	const char *cmdline = (const char *)(uint32_t)si->cmdline;

	for (size_t i = 0; cmdline && cmdline[i] && i < sizeof(command_line) - 1; i++)
		command_line[i] = cmdline[i];
	if (!si->version)
		return;
	memmap_entries = si->memmap_entries < MAX_ENTRIES ? si->memmap_entries : MAX_ENTRIES;
	for (unsigned int i = 0; i < memmap_entries; i++)
		memmap[i] = from[i];
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* Stops silently if this is no Xen. */
static void set_hypercall_page(void)
{
	uint32_t base, r[4];

	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		cpuid(base, r);
		if (r[1] == 0x566e6558 && r[2] == 0x65584d4d && r[3] == 0x4d4d566e) /* XenVMM */
			break;
	}
	cpuid(base + 2, r);
	asm volatile("wrmsr" ::"c"(r[1]), "a"(hypercall_page), "d"(0));
	asm volatile("" ::: "memory"); /* calls go through what has just been written */
}

static uint32_t get_param(uint32_t index)
{
	struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

	hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (unsigned long)&p, 0, 0);
	return (uint32_t)p.value;
}

/*
 * Interrupts stay off, but Xen's toolstack takes a guest without a callback for one that can't be
 * told that its suspend was cancelled.
 */
static void set_callback(void)
{
	struct xen_hvm_param p = {
		.domid = DOMID_SELF,
		.index = HVM_PARAM_CALLBACK_IRQ,
		.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3,
	};

	hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (unsigned long)&p, 0, 0);
}

bool xen_share_at(xen_pfn_t pfn)
{
	struct xen_add_to_physmap map = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_shared_info,
		.gpfn = pfn,
	};

	if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (unsigned long)&map, 0, 0))
		return false;
	xen.shared = AT(pfn);
	return true;
}

/* At boot, and in a new domain after each restore. */
static void attach(void)
{
	if (!xen_share_at(SHARED_INFO_GFN))
		xen_shutdown(SHUTDOWN_crash); /* no time, no events: nothing can be said */
	xen.console = AT(get_param(HVM_PARAM_CONSOLE_PFN));
	xen.store = AT(get_param(HVM_PARAM_STORE_PFN));
	xen.console_port = get_param(HVM_PARAM_CONSOLE_EVTCHN);
	xen.store_port = get_param(HVM_PARAM_STORE_EVTCHN);
	set_callback();
}

bool xen_suspend(void)
{
	struct sched_shutdown s = { .reason = SHUTDOWN_suspend };

	if (hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&s, 0, 0) == 1)
		return true;
	attach();
	return false;
}

void boot(const void *info)
{
	save_start_info(info);
	set_hypercall_page();
	attach();
}

void boot_memory(void)
{
	for (unsigned int i = 0; i < memmap_entries; i++)
		if (memmap[i].type == MEMMAP_RAM)
			memory_add(memmap[i].addr, memmap[i].addr + memmap[i].size);
}

unsigned int xen_populate(const xen_pfn_t *pfns, unsigned int n)
{
	return xen_reserve(XENMEM_populate_physmap, (xen_pfn_t *)pfns, n);
}

unsigned int xen_release(const xen_pfn_t *pfns, unsigned int n)
{
	return xen_reserve(XENMEM_decrease_reservation, (xen_pfn_t *)pfns, n);
}

bool xen_has_memory(unsigned int pfn)
{
	return *(volatile uint32_t *)AT(pfn) != ~0u; /* an access to nothing reads as all ones */
}
