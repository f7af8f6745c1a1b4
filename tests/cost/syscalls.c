/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cost/syscalls.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
	 PTRACE_O_EXITKILL)

static void note(pid_t pid, struct syscalls *count)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
	    info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr < SYSCALLS_MAX)
		count->n[info.entry.nr]++;
}

/* What the tracee is to get of this stop: 0, or its signal. */
static int pass_on(pid_t pid, int status, struct syscalls *count)
{
	const int sig = WSTOPSIG(status);

	if (sig == (SIGTRAP | 0x80)) {
		note(pid, count);
		return 0;
	}
	/* Events, and the stop that every new thread or process begins with. */
	return status >> 16 || sig == SIGSTOP ? 0 : sig;
}

static int follow(pid_t child, struct syscalls *count)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return -1;
		if (pid == child && !WIFSTOPPED(status))
			return status;
		if (WIFSTOPPED(status))
			ptrace(PTRACE_SYSCALL, pid, 0, pass_on(pid, status, count));
	}
}

bool syscalls_of(isolate_check check, void *arg, struct syscalls *count, char why[ISOLATE_WHY])
{
	char *shared =
		mmap(NULL, ISOLATE_WHY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = -1;
	pid_t pid = -1;

	memset(count, 0, sizeof(*count));
	if (shared != MAP_FAILED)
		pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(check(arg, shared, ISOLATE_WHY) ? 0 : 1);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
	    !ptrace(PTRACE_SETOPTIONS, pid, 0, OPTIONS) && !ptrace(PTRACE_SYSCALL, pid, 0, 0)) {
		status = follow(pid, count);
		snprintf(why, ISOLATE_WHY, "status %#x: %.4000s", (unsigned int)status, shared);
	} else {
		snprintf(why, ISOLATE_WHY, "cannot be traced: %s (status %#x)", strerror(errno),
			 (unsigned int)status);
		status = -1;
	}
	if (shared != MAP_FAILED)
		munmap(shared, ISOLATE_WHY);
	return status == 0;
}
