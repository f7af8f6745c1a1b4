/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's life: fill memory, then for ever rewrite, check and count; suspend when asked.
 * Command line: dirty=PAGES check=PAGES per tick, balloon=PAGES per balloon-every=TICKS, tick=MS,
 * say=TICKS, holes=0|1, share=0|1 (memory_share() after each suspend).
 * On the console: "ready", "tick N", "suspending", "resumed", "verified", "BAD page".
 */
#include "guest.h"

#include <xen/sched.h>

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

static void suspend(unsigned int tick)
{
	bool same;

	store_write("control/shutdown", "");
	say("suspending at tick %u", tick);
	say_flush();
	same = xen_suspend();
	say("resumed in %s domain at tick %u", same ? "the same" : "a new", tick);
	if (option("share=", 0))
		say("shares page 0x%x", memory_share());
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

void guest_main(const void *info);

void guest_main(const void *info)
{
	unsigned int target = ~0u;
	char kib[16];

	boot(info);
	boot_memory();
	if (store_read("memory/target", kib, sizeof(kib)))
		target = number(kib) / 4;
	memory_fill(target, option("holes=", 1) != 0);
	say("ready pages=%u holes=%u target=%u", memory.pages, memory.holes, target);
	live();
}
