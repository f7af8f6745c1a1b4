/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the numbers of a stream are called. */
#include "inspect/inspect.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *inspect_param_name(uint64_t index)
{
	static const char *const names[] = {
		[0] = "CALLBACK_IRQ",
		[1] = "STORE_PFN",
		[2] = "STORE_EVTCHN",
		[4] = "PAE_ENABLED",
		[5] = "IOREQ_PFN",
		[6] = "BUFIOREQ_PFN",
		[9] = "VIRIDIAN",
		[10] = "TIMER_MODE",
		[11] = "HPET_ENABLED",
		[12] = "IDENT_PT",
		[13] = "DM_DOMAIN",
		[14] = "ACPI_S_STATE",
		[15] = "VM86_TSS",
		[16] = "VPT_ALIGN",
		[17] = "CONSOLE_PFN",
		[18] = "CONSOLE_EVTCHN",
		[19] = "ACPI_IOPORTS_LOCATION",
		[20] = "MEMORY_EVENT_CR0",
		[21] = "MEMORY_EVENT_CR3",
		[22] = "MEMORY_EVENT_CR4",
		[23] = "MEMORY_EVENT_INT3",
		[24] = "NESTEDHVM",
		[25] = "MEMORY_EVENT_SINGLE_STEP",
		[26] = "BUFIOREQ_EVTCHN",
		[27] = "PAGING_RING_PFN",
		[28] = "MONITOR_RING_PFN",
		[29] = "SHARING_RING_PFN",
		[30] = "MEMORY_EVENT_MSR",
		[31] = "TRIPLE_FAULT_REASON",
		[32] = "IOREQ_SERVER_PFN",
		[33] = "NR_IOREQ_SERVER_PAGES",
		[34] = "VM_GENERATION_ID_ADDR",
		[35] = "ALTP2M",
		[36] = "X87_FIP_WIDTH",
		[37] = "VM86_TSS_SIZED",
		[38] = "MCA_CAP",
	};

	return index < COUNT(names) ? names[index] : NULL;
}

const char *inspect_save_name(unsigned int typecode)
{
	static const char *const names[] = {
		[0] = "END",	    [1] = "HEADER",
		[2] = "CPU",	    [3] = "PIC",
		[4] = "IOAPIC",	    [5] = "LAPIC",
		[6] = "LAPIC_REGS", [7] = "PCI_IRQ",
		[8] = "ISA_IRQ",    [9] = "PCI_LINK",
		[10] = "PIT",	    [11] = "RTC",
		[12] = "HPET",	    [13] = "PMTIMER",
		[14] = "MTRR",	    [15] = "VIRIDIAN_DOMAIN",
		[16] = "CPU_XSAVE", [17] = "VIRIDIAN_VCPU",
		[18] = "VMCE_VCPU", [19] = "TSC_ADJUST",
		[20] = "CPU_MSR",
	};

	return typecode < COUNT(names) ? names[typecode] : NULL;
}

const char *inspect_page_name(unsigned int type)
{
	static const char *const names[16] = {
		"NOTAB",	"L1TAB",	"L2TAB",	"L3TAB",
		"L4TAB",	"reserved 5",	"reserved 6",	"reserved 7",
		"reserved 8",	"L1TAB pinned", "L2TAB pinned", "L3TAB pinned",
		"L4TAB pinned", "BROKEN",	"XALLOC",	"XTAB",
	};

	return names[type & 15];
}

const char *inspect_msr_name(uint32_t index)
{
	switch (index) {
	case 0x0ce:
		return "PLATFORM_INFO";
	case 0x10a:
		return "ARCH_CAPABILITIES";
	case 0x140:
		return "MISC_FEATURES_ENABLES";
	}
	return NULL;
}

const char *inspect_why_text(enum inspect_why why)
{
	static const char *const texts[INSPECT_WHYS] = {
		[INSPECT_HOLES] = "frames of it are not RAM",
		[INSPECT_TAKEN] = "frames of it were taken away while the guest was sent",
		[INSPECT_STRETCH_END] = "a stretch of memory ends in it; the rest of it is not RAM",
		[INSPECT_VGA] = "the VGA hole lies in it",
		[INSPECT_LATE] = "its frames came too late or too scattered to be planned as one",
		[INSPECT_NOT_ASKED] =
			"no large extents are asked for (a PV guest's pages have no size in Xen)",
	};

	return texts[why];
}

const char *inspect_layer_name(const struct inspect *in)
{
	if (in->layers.xl)
		return "xl";
	if (in->layers.libvirt)
		return "libvirt";
	return in->layers.libxl ? "libxl" : "libxc";
}
