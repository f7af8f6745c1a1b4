/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filter by itself: what must be refused in each role, and what kills. */
#include "base/filter.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"
#include "probe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32 0x40000000l

static bool refuses_all(void *arg, char *why, size_t room)
{
	const enum xr_filter_role role = *(enum xr_filter_role *)arg;

	return !xr_filter_confine(role) &&
	       !probe_all(role == XR_FILTER_ENGINE ? IN_ENGINE : IN_WORKER, why, room);
}

Test(filter, refuses_what_is_dangerous)
{
	enum xr_filter_role role;
	char why[ISOLATE_WHY];

	role = XR_FILTER_ENGINE;
	cr_expect(isolated(refuses_all, &role, why), "engine:%s", why);
	role = XR_FILTER_WORKER;
	cr_expect(isolated(refuses_all, &role, why), "worker:%s", why);
}

/* Opened before, read behind the filter. */
static bool gives_up_privileges(void *arg, char *why, size_t room)
{
	const enum xr_filter_role role = *(enum xr_filter_role *)arg;
	const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char status[8192] = "";

	if (fd < 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) || xr_filter_confine(role))
		return false;
	if (pread(fd, status, sizeof(status) - 1, 0) <= 0)
		return false;
	snprintf(why, room, "%s", status);
	return strstr(status, "\nNoNewPrivs:\t1\n") && strstr(status, "\nSeccomp:\t2\n");
}

Test(filter, gives_up_gaining_privileges)
{
	char why[ISOLATE_WHY];

	for (enum xr_filter_role role = XR_FILTER_ENGINE; role <= XR_FILTER_WORKER; role++)
		cr_expect(isolated(gives_up_privileges, &role, why), "role %d: %s", role, why);
}

/* One filter upon another, as a worker has them. */
static bool narrows(void *arg, char *why, size_t room)
{
	(void)arg;
	return !xr_filter_confine(XR_FILTER_NURSERY) && !xr_filter_confine(XR_FILTER_WORKER) &&
	       !probe_all(IN_WORKER, why, room);
}

/* The second is made before the first is on: making one takes a file. */
static bool narrows_in_order(void *arg, char *why, size_t room)
{
	struct xr_filter f;

	(void)arg;
	return !xr_filter_make(&f, XR_FILTER_WORKER) && !xr_filter_confine(XR_FILTER_NURSERY) &&
	       !xr_filter_put_on(&f) && !probe_all(IN_WORKER, why, room);
}

Test(filter, one_upon_another)
{
	char why[ISOLATE_WHY];

	cr_expect(isolated(narrows_in_order, NULL, why), "%s", why);
	cr_expect_not(isolated(narrows, NULL, why), "a nursery can make files");
}

/* What a nursery may: open, but not make; fork, but not start; end, but nothing else. */
static bool nursery(void *arg, char *why, size_t room)
{
	char told[2048];

	(void)arg;
	if (xr_filter_confine(XR_FILTER_NURSERY))
		return false;
	probe_all(IN_WORKER, told, sizeof(told));
	snprintf(why, room, "%s", told);
	return SANITIZED || !strcmp(told, " openat=0 openat-write=0 pidfd_open=3");
}

static void *forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* A thread that is there already is confined, too, and one more can be had. */
static void *other(void *arg)
{
	pthread_barrier_t *b = arg;
	static char told[2048];

	pthread_barrier_wait(b);
	pthread_barrier_wait(b);
	return probe_all(IN_ENGINE, told, sizeof(told)) ? told : NULL;
}

static bool threads(void *arg, char *why, size_t room)
{
	pthread_barrier_t b;
	pthread_t before, after;
	void *told;

	(void)arg;
	snprintf(why, room, "threads");
	pthread_barrier_init(&b, NULL, 2);
	if (pthread_create(&before, NULL, other, &b))
		return false;
	pthread_barrier_wait(&b);
	if (xr_filter_confine(XR_FILTER_ENGINE) || pthread_create(&after, NULL, forever, NULL))
		return false;
	pthread_barrier_wait(&b);
	pthread_join(before, &told);
	if (told)
		snprintf(why, room, "%s", (char *)told);
	return !told;
}

Test(filter, of_all_threads)
{
	char why[ISOLATE_WHY];

	cr_expect(isolated(threads, NULL, why), "%s", why);
}

static void by_x32(void)
{
	syscall(X32 | SYS_getpid);
}

static void by_int80(void)
{
	long nr = 20; /* getpid() there */

	__asm__ volatile("int $0x80" : "+a"(nr) : : "memory", "r8", "r9", "r10", "r11");
}

struct entry {
	void (*enter)(void);
	bool confined;
	int status;
};

static bool enters(void *arg, char *why, size_t room)
{
	struct entry *e = arg;

	(void)why, (void)room;
	if (e->confined && xr_filter_confine(XR_FILTER_ENGINE))
		return false;
	signal(SIGSYS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	e->enter();
	return true;
}

static void expect_kills(struct entry e, const char *name)
{
	char why[ISOLATE_WHY], killed[32];

	e.confined = false;
	if (!isolated(enters, &e, why))
		cr_skip_test("%s is not there: %s", name, why);
	e.confined = true;
	snprintf(killed, sizeof(killed), "(signal %d)", SIGSYS);
	cr_expect_not(isolated(enters, &e, why), "%s", name);
	cr_expect_not_null(strstr(why, killed), "%s: %s", name, why);
}

Test(filter, kills_at_other_ways_into_the_kernel_x32)
{
	expect_kills((struct entry){ .enter = by_x32 }, "x32");
}

Test(filter, kills_at_other_ways_into_the_kernel_int80)
{
	expect_kills((struct entry){ .enter = by_int80 }, "int 0x80");
}

Test(filter, of_a_nursery_is_wider)
{
	char why[ISOLATE_WHY];

	cr_expect(isolated(nursery, NULL, why), "%s", why);
}
