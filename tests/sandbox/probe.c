/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "probe.h"

#include "lib/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/xen.h>

#include <xen/sys/privcmd.h>

#define NOBODY 0x7fffffff /* a pid that no process has */
#define FILE_THERE "/proc/self/status"
#define NO_FILE "/nonexistent/file"

struct probe {
	const char *name;
	long call;
	intptr_t arg[6];
	bool of_engine;	   /* the engine may */
	bool of_sanitizer; /* a sanitizer's run-time library may */
};

static char page[2 * 4096] __attribute__((aligned(4096)));
static struct io_uring_params ring;
static struct clone_args clone_args;

#define P(x) ((intptr_t)(x))
#define TRY(name_, call_, ...)                                                                     \
	{                                                                                          \
		.name = (name_), .call = SYS_##call_, .arg = { __VA_ARGS__ }                       \
	}
#define MAY(who, name_, call_, ...)                                                                \
	{                                                                                          \
		.name = (name_), .call = SYS_##call_, .arg = { __VA_ARGS__ }, .who = true          \
	}
static const struct probe probes[] = {
	/* descriptors by path */
	MAY(of_sanitizer, "open", open, P(FILE_THERE), O_RDONLY),
	MAY(of_sanitizer, "openat", openat, AT_FDCWD, P(FILE_THERE), O_RDONLY),
	TRY("openat-write", openat, AT_FDCWD, P(FILE_THERE), O_RDWR),
	TRY("openat-create", openat, AT_FDCWD, P(NO_FILE), O_RDONLY | O_CREAT, 0600),
	TRY("openat2", openat2, AT_FDCWD, P(NO_FILE), P(page), 24),
	TRY("creat", creat, P(NO_FILE), 0600),
	TRY("open_by_handle_at", open_by_handle_at, AT_FDCWD, P(page), O_RDONLY),
	TRY("unlink", unlink, P(NO_FILE)),
	TRY("renameat2", renameat2, AT_FDCWD, P(NO_FILE), AT_FDCWD, P(NO_FILE)),
	TRY("stat", stat, P(FILE_THERE), P(page)),
	TRY("mount", mount, P(NO_FILE), P(NO_FILE), P("tmpfs")),
	TRY("chroot", chroot, P(NO_FILE)),
	/* descriptors of other kinds */
	TRY("socket", socket, AF_INET, SOCK_STREAM),
	TRY("socket-unix", socket, AF_UNIX, SOCK_STREAM),
	TRY("connect", connect, -1, P(page), 16),
	TRY("recvmsg", recvmsg, -1, P(page)),
	TRY("sendmsg", sendmsg, -1, P(page)),
	TRY("memfd_create", memfd_create, P("probe"), MFD_CLOEXEC),
	TRY("dup", dup, STDERR_FILENO),
	TRY("fcntl", fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
	TRY("pidfd_getfd", pidfd_getfd, -1, 0),
	TRY("io_uring_setup", io_uring_setup, 4, P(&ring)),
	TRY("io_uring_register", io_uring_register, -1, IORING_REGISTER_PROBE, P(page), 1),
	TRY("bpf", bpf, -1, P(page), 16),
	TRY("perf_event_open", perf_event_open, P(page), 0, -1, -1),
	TRY("userfaultfd", userfaultfd, 0x7fff),
	/* programs and processes */
	TRY("execve", execve, P(NO_FILE), P(page), P(page)),
	TRY("execveat", execveat, AT_FDCWD, P(NO_FILE), P(page), P(page)),
	TRY("fork", fork, 0),
	MAY(of_sanitizer, "clone", clone, SIGCHLD),
	TRY("clone3", clone3, P(&clone_args), 8),
	TRY("unshare", unshare, 0),
	TRY("setns", setns, -1, 0),
	/* other processes */
	MAY(of_sanitizer, "ptrace", ptrace, PTRACE_ATTACH, NOBODY),
	MAY(of_sanitizer, "process_vm_readv", process_vm_readv, NOBODY),
	TRY("process_vm_writev", process_vm_writev, NOBODY),
	MAY(of_sanitizer, "kill", kill, NOBODY, SIGTERM),
	MAY(of_sanitizer, "tgkill", tgkill, NOBODY, NOBODY, SIGTERM),
	TRY("tkill", tkill, NOBODY, SIGTERM),
	TRY("pidfd_open", pidfd_open, NOBODY, 0),
	TRY("pidfd_send_signal", pidfd_send_signal, -1, SIGTERM),
	/* privileges */
	TRY("setresuid", setresuid, -1, -1, -1),
	TRY("capset", capset, P(page), 0),
	MAY(of_sanitizer, "prctl", prctl, PR_SET_DUMPABLE, 1),
	TRY("seccomp", seccomp, -1),
	/* code */
	TRY("mmap-exec", mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1),
	TRY("mprotect-exec", mprotect, P(page), 4096, PROT_READ | PROT_WRITE | PROT_EXEC),
	TRY("pkey_mprotect", pkey_mprotect, P(page), 4096, PROT_READ | PROT_WRITE, -1),
	TRY("madvise-poison", madvise, 1, 0, MADV_HWPOISON),
	/* devices */
	TRY("ioctl", ioctl, STDERR_FILENO, FIONREAD, P(page)),
	TRY("device-model", ioctl, -1, IOCTL_PRIVCMD_DM_OP, P(page)),
	MAY(of_engine, "hypercall", ioctl, -1, IOCTL_PRIVCMD_HYPERCALL, P(page)),
};

/* What has come of it would go on in two processes. */
static void end_child(const struct probe *p, long got)
{
	if (!got && (p->call == SYS_fork || p->call == SYS_clone))
		_exit(0);
}

static bool refused(const struct probe *p)
{
	const intptr_t *a = p->arg;
	const long got = syscall(p->call, a[0], a[1], a[2], a[3], a[4], a[5]);

	end_child(p, got);
	if (got >= 0)
		errno = 0;
	/* ENOSYS lets the C library try clone() instead. */
	return errno == EPERM || (p->call == SYS_clone3 && errno == ENOSYS);
}

static bool due(const struct probe *p, enum probe_where where)
{
	return !(p->of_engine && where == IN_ENGINE) && !(p->of_sanitizer && SANITIZED);
}

unsigned int probe_all(enum probe_where where, char *told, size_t room)
{
	unsigned int n = 0;
	size_t used = 0;

	told[0] = '\0';
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (!due(&probes[i], where) || refused(&probes[i]))
			continue;
		n++;
		used += (size_t)snprintf(told + used, used < room ? room - used : 0, " %s=%d",
					 probes[i].name, errno);
	}
	return n;
}

unsigned int probe_count(enum probe_where where)
{
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		n += due(&probes[i], where);
	return n;
}
