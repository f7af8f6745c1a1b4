/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/isolate.h"
#include "lib/sanitizer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#if ASAN
#include <sanitizer/lsan_interface.h>
#endif

static bool verdict(int status, const char *shared, char *why)
{
	if (WIFSIGNALED(status))
		snprintf(why, ISOLATE_WHY, "%s (signal %d) at %.4000s",
			 WTERMSIG(status) == SIGALRM ? "stuck" : "died", WTERMSIG(status), shared);
	else if (WEXITSTATUS(status) > 1)
		snprintf(why, ISOLATE_WHY, "exit status %d at %.4000s", WEXITSTATUS(status),
			 shared);
	else if (WEXITSTATUS(status))
		memcpy(why, shared, ISOLATE_WHY);
	else
		return true;
	return false;
}

/* _exit() alone would look for no leaks. A leak ends the process with a status of its own. */
__attribute__((noreturn)) static void leave(int status)
{
#if ASAN
	if (status == 0)
		__lsan_do_leak_check();
#endif
	_exit(status);
}

bool isolated(isolate_check check, void *arg, char why[ISOLATE_WHY])
{
	char *shared =
		mmap(NULL, ISOLATE_WHY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	bool ok = false;
	pid_t pid;

	snprintf(why, ISOLATE_WHY, "no child process: %s", strerror(errno));
	if (shared == MAP_FAILED)
		return false;
	pid = fork();
	if (pid == 0)
		leave(check(arg, shared, ISOLATE_WHY) ? 0 : 1);
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		ok = verdict(status, shared, why);
	munmap(shared, ISOLATE_WHY);
	return ok;
}
