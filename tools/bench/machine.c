/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define STEP (64u << 20)

static uint64_t meminfo(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "re");
	const size_t n = strlen(key);
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, n) && line[n] == ':' &&
		    sscanf(line + n + 1, "%llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (uint64_t)kib << 10;
}

uint64_t bench_memory_available(void)
{
	return meminfo("MemAvailable");
}

static void cpuinfo(struct bench_machine *m)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];

	while (f && fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ':');

		if (!value)
			continue;
		line[strcspn(line, "\n")] = '\0';
		value += value[1] == ' ' ? 2 : 1;
		if (!*m->cpu && !strncmp(line, "model name", 10))
			snprintf(m->cpu, sizeof(m->cpu), "%s", value);
		if (!strncmp(line, "flags", 5)) {
			snprintf(m->hypervisor, sizeof(m->hypervisor), "%s",
				 strstr(value, " hypervisor") ? "yes" : "no");
			break;
		}
	}
	if (f)
		fclose(f);
}

/* "always [madvise] never" -> "madvise" */
static void chosen(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[128], *begin;

	*to = '\0';
	if (f && fgets(line, sizeof(line), f)) {
		begin = strchr(line, '[');
		if (begin) {
			begin[1 + strcspn(begin + 1, "]")] = '\0';
			snprintf(to, size, "%s", begin + 1);
		}
	}
	if (f)
		fclose(f);
}

void bench_machine_read(struct bench_machine *m)
{
	struct utsname u;
	cpu_set_t set;

	memset(m, 0, sizeof(*m));
	cpuinfo(m);
	if (!uname(&u))
		snprintf(m->kernel, sizeof(m->kernel), "%.20s %.70s", u.sysname, u.release);
	chosen("/sys/kernel/mm/transparent_hugepage/enabled", m->thp, sizeof(m->thp));
	chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", m->shmem_thp,
	       sizeof(m->shmem_thp));
	m->cores = sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned int)CPU_COUNT(&set);
	m->memory = meminfo("MemTotal");
	m->available = bench_memory_available();
	if (getloadavg(&m->load, 1) != 1)
		m->load = 0;
}

uint64_t bench_touch_memory(uint64_t bytes)
{
	const uint64_t room = bench_memory_available() / 8 * 7;
	char *p;

	if (bytes > room)
		bytes = room;
	if (!bytes)
		return 0;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return 0;
	madvise(p, bytes, MADV_HUGEPAGE);
	for (uint64_t at = 0; at < bytes; at += 4096)
		((volatile char *)p)[at] = 1;
	munmap(p, bytes);
	return bytes;
}

int bench_touch_file(int fd)
{
	char *buf = malloc(STEP);
	off_t at = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = pread(fd, buf, STEP, at)) > 0 || (n < 0 && errno == EINTR))
		at += n > 0 ? n : 0;
	n = n < 0 ? -errno : 0;
	free(buf);
	return (int)n;
}
