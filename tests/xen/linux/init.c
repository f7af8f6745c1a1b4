/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only process of a Linux test guest: keeps fill=MIB of memory filled with a pattern of (page,
 * generation), rewrites dirty=PAGES a tick, verifies all of it every tick, and counts, on all CPUs
 * by turns. Prints the same words as the tiny guest. tick=MS.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WORDS (4096 / 8)
#define STRIDE 0x9e3779b97f4a7c15ull

static uint64_t *memory;
static uint32_t *generation;
static uint64_t pages;
static unsigned long bad;

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void write_page(uint64_t n)
{
	uint64_t *p = memory + n * WORDS, seed = mix(n << 32 | ++generation[n]);

	p[0] = n;
	p[1] = generation[n];
	for (unsigned int i = 2; i < WORDS; i++)
		p[i] = seed + i * STRIDE;
}

static void check_page(uint64_t n)
{
	const uint64_t *p = memory + n * WORDS;
	uint64_t seed = mix(n << 32 | generation[n]);
	unsigned int i = 2;

	if (p[0] == n && p[1] == generation[n]) {
		while (i < WORDS && p[i] == seed + i * STRIDE)
			i++;
		if (i == WORDS)
			return;
	}
	if (bad++ < 16)
		printf("BAD page %lu: is page %lu, generation %lu, should be generation %u\n", n,
		       p[0], p[1], generation[n]);
}

static unsigned long option(const char *cmdline, const char *key, unsigned long fallback)
{
	size_t n = strlen(key);

	for (const char *s = cmdline; (s = strstr(s, key)); s += n)
		if ((s == cmdline || s[-1] == ' ') && s[n] == '=')
			return strtoul(s + n + 1, NULL, 0);
	return fallback;
}

/* A CPU that has not come back would keep the next tick from being counted. */
static int next_cpu(unsigned long tick)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(tick % (unsigned long)sysconf(_SC_NPROCESSORS_CONF), &one);
	sched_setaffinity(0, sizeof(one), &one);
	return sched_getcpu();
}

static void set_up(char *cmdline, size_t size)
{
	ssize_t n;
	int fd;

	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/hvc0", O_RDWR | O_NOCTTY);
	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open("/proc/cmdline", O_RDONLY);
	n = fd < 0 ? 0 : read(fd, cmdline, size - 1);
	cmdline[n < 0 ? 0 : n] = '\0';
}

int main(void)
{
	char cmdline[2048];
	unsigned long dirty, ms, seed = 1, next = 0;

	set_up(cmdline, sizeof(cmdline));
	pages = option(cmdline, "fill", 32) << 8;
	dirty = option(cmdline, "dirty", 64);
	ms = option(cmdline, "tick", 300);
	memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	generation = calloc(pages, sizeof(*generation));
	if (memory == MAP_FAILED || !generation) {
		printf("BAD start: no memory\n");
		for (;;)
			pause();
	}
	for (uint64_t n = 0; n < pages; n++)
		write_page(n);
	printf("ready pages=%lu\n", pages);
	for (unsigned long tick = 1;; tick++) {
		struct timespec nap = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

		for (unsigned long i = 0; i < dirty; i++)
			write_page((i & 1 ? (seed = mix(seed + STRIDE)) : next++) % pages);
		for (uint64_t n = 0; n < pages; n++)
			check_page(n);
		printf("tick %lu bad=%lu cpu=%d\n", tick, bad, next_cpu(tick));
		nanosleep(&nap, NULL);
	}
}
