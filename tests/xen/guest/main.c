/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's life: fill memory, then for ever rewrite, check and count; suspend when asked.
 * Command line: dirty=PAGES check=PAGES per tick, balloon=PAGES per balloon-every=TICKS, tick=MS,
 * say=TICKS, holes=0|1.
 * On the console: "ready", "tick N", "suspending", "resumed", "verified", "BAD page".
 */
#include "guest.h"

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

static char command_line[256];
static struct memmap_entry memmap[MAX_ENTRIES];

static unsigned int number(const char *s)
{
	unsigned int v = 0;

	while (*s >= '0' && *s <= '9')
		v = v * 10 + (unsigned int)(*s++ - '0');
	return v;
}

static bool starts_with(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

/* key includes its "=" */
static unsigned int option(const char *key, unsigned int fallback)
{
	size_t n = 0;

	while (key[n])
		n++;
	for (const char *s = command_line; *s; s++)
		if ((s == command_line || s[-1] == ' ') && starts_with(s, key))
			return number(s + n);
	return fallback;
}

/* The boot information lies in memory that is about to be filled. */
static unsigned int save_start_info(const struct start_info_pvh *si)
{
	const struct memmap_entry *from = (const void *)(uint32_t)si->memmap;
	const char *cmdline = (const char *)(uint32_t)si->cmdline;
	unsigned int n = si->version ? si->memmap_entries : 0;

	for (size_t i = 0; cmdline && cmdline[i] && i < sizeof(command_line) - 1; i++)
		command_line[i] = cmdline[i];
	if (n > MAX_ENTRIES)
		n = MAX_ENTRIES;
	for (unsigned int i = 0; i < n; i++)
		memmap[i] = from[i];
	return n;
}

static void suspend(unsigned int tick)
{
	bool same;

	store_write("control/shutdown", "");
	say("suspending at tick %u", tick);
	say_flush();
	same = xen_suspend();
	say("resumed in %s domain at tick %u", same ? "the same" : "a new", tick);
	memory_check_all();
	say("verified pages=%u holes=%u bad=%u bad-returned=%u filled-holes=%u", memory.pages,
	    memory.holes, memory.bad, memory.bad_returned, memory.filled_holes);
}

static void obey(unsigned int tick)
{
	char order[16];

	if (!store_read("control/shutdown", order, sizeof(order)) || !order[0])
		return;
	if (starts_with(order, "suspend"))
		suspend(tick);
	else
		xen_shutdown(starts_with(order, "reboot") ? SHUTDOWN_reboot : SHUTDOWN_poweroff);
}

static void live(void)
{
	unsigned int dirty = option("dirty=", 64), check = option("check=", 256),
		     balloon = option("balloon=", 0), rarely = option("balloon-every=", 1),
		     ms = option("tick=", 100), every = option("say=", 5);

	for (unsigned int tick = 1;; tick++) {
		memory_rewrite(dirty);
		if (balloon && tick % rarely == 0)
			memory_balloon(balloon);
		memory_check_some(check);
		obey(tick);
		if (tick % every == 0)
			say("tick %u bad=%u", tick, memory.bad);
		xen_sleep(ms);
	}
}

void guest_main(const struct start_info_pvh *si);

void guest_main(const struct start_info_pvh *si)
{
	unsigned int entries = save_start_info(si), target = ~0u;
	char kib[16];

	xen_init();
	xen_attach();
	for (unsigned int i = 0; i < entries; i++)
		if (memmap[i].type == MEMMAP_RAM)
			memory_add(memmap[i].addr, memmap[i].addr + memmap[i].size);
	if (store_read("memory/target", kib, sizeof(kib)))
		target = number(kib) / 4;
	memory_fill(target, option("holes=", 1) != 0);
	say("ready pages=%u holes=%u target=%u", memory.pages, memory.holes, target);
	live();
}
