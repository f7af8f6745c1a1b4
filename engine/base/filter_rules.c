/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of system calls. What is not here is refused: everything that makes a descriptor, a
 * program or a privilege, that reaches another process, or that names a file.
 *
 * The model host needs no more than the Xen host but fallocate(), writes, and the question whether
 * a process is alive; all act on what is open already, so there is one table for both.
 */
#include "base/filter_rules.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <xen/xen.h>

#include <xen/sys/privcmd.h>

#define ENGINE (1u << XR_FILTER_ENGINE)
#define NURSERY (1u << XR_FILTER_NURSERY)
#define WORKER (1u << XR_FILTER_WORKER)
#define ALL (ENGINE | NURSERY | WORKER)

#define ANY(roles_, call_)                                                                         \
	{                                                                                          \
		.call = SCMP_SYS(call_), .roles = (roles_)                                         \
	}
#define IF(roles_, call_, ...)                                                                     \
	{                                                                                          \
		.call = SCMP_SYS(call_), .roles = (roles_), .nargs = 1, .arg = { __VA_ARGS__ }     \
	}
#define IF_BOTH(roles_, call_, ...)                                                                \
	{                                                                                          \
		.call = SCMP_SYS(call_), .roles = (roles_), .nargs = 2, .arg = { __VA_ARGS__ }     \
	}
#define COMPARED(n, how, value)                                                                    \
	{                                                                                          \
		.arg = (n), .op = (how), .datum_a = (scmp_datum_t)(value)                          \
	}
#define IS(n, value) COMPARED(n, SCMP_CMP_EQ, value)
#define BELOW(n, value) COMPARED(n, SCMP_CMP_LT, value)
#define BITS(n, mask, value)                                                                       \
	{                                                                                          \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(mask),             \
		.datum_b = (scmp_datum_t)(value)                                                   \
	}
#define NONE_OF(n, mask) BITS(n, mask, 0)

#define MAKES (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define NEW_WORLDS                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD | CLONE_PTRACE)
#define THREAD (CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define FORK (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZER 1
#endif

const struct xr_filter_rule xr_filter_rules[] = {
	/* what is open */
	ANY(ALL, read),
	ANY(ALL, write),
	ANY(ALL, pread64),
	ANY(ALL, pwrite64),
	ANY(ALL, lseek),
	ANY(ALL, close),
	ANY(ALL, poll),
	ANY(ALL, fallocate),
	ANY(ALL, fstat),
	IF(ALL, newfstatat, BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	ANY(ENGINE, readv),
	ANY(ENGINE, preadv),
	ANY(ENGINE, writev),
	ANY(ENGINE, fadvise64),
	/* the reader's ring, which can do nothing but read */
	ANY(ENGINE, io_uring_enter),
	/* to the nursery, by its socket; no descriptors go along */
	IF(ENGINE, sendto, IS(4, 0)),
	IF(NURSERY, recvfrom, IS(4, 0)),

	/* memory, never for code */
	IF(ALL, mmap, NONE_OF(2, PROT_EXEC)),
	IF(ALL, mprotect, NONE_OF(2, PROT_EXEC)),
	ANY(ALL, munmap),
	ANY(ALL, mremap),
	ANY(ALL, brk),
	IF(ALL, madvise, BELOW(2, MADV_HWPOISON)),

	/* threads, waiting, time */
	ANY(ALL, futex),
	ANY(ALL, set_robust_list),
	ANY(ALL, rseq),
	ANY(ALL, sched_yield),
	ANY(ALL, sched_getaffinity),
	ANY(ALL, clock_gettime),
	ANY(ALL, clock_nanosleep),
	ANY(ALL, restart_syscall),
	ANY(ALL, getrandom),
	ANY(ALL, getpid),
	ANY(ALL, gettid),
	ANY(ENGINE, sysinfo), /* qsort() */
	IF(ENGINE, clone, BITS(0, THREAD | NEW_WORLDS, THREAD)),
	IF(NURSERY, clone, IS(0, FORK)),
	/* its flags are in memory, where a filter can't look; without it the C library uses clone
	 */
	{ .call = SCMP_SYS(clone3), .roles = ENGINE | NURSERY, .error = ENOSYS },
	IF(ALL, prctl, IS(0, PR_SET_NAME)),
	ANY(ALL, exit),
	ANY(ALL, exit_group),

	/* signals: to oneself; to workers, their end. 0 is the question whether there is one. */
	ANY(ALL, rt_sigreturn),
	ANY(ALL, rt_sigprocmask),
	ANY(ENGINE, rt_sigaction),
	ANY(ENGINE, rt_sigpending),
	ANY(ENGINE, rt_sigtimedwait),
	{ .call = SCMP_SYS(tgkill), .roles = ENGINE, .self = true },
	IF(ENGINE | NURSERY, kill, IS(1, 0)),
	IF(NURSERY, kill, IS(1, SIGKILL)),
	IF(ENGINE, pidfd_send_signal, IS(1, SIGKILL)),
	ANY(ENGINE | NURSERY, waitid),
	ANY(NURSERY, pidfd_open),

	/* Xen */
	IF(ENGINE, ioctl, IS(1, IOCTL_PRIVCMD_HYPERCALL)),
	IF(ENGINE, ioctl, IS(1, IOCTL_PRIVCMD_MMAP_RESOURCE)),
	IF(ALL, ioctl, IS(1, IOCTL_PRIVCMD_MMAPBATCH)),
	IF(ALL, ioctl, IS(1, IOCTL_PRIVCMD_MMAPBATCH_V2)),
	IF(NURSERY, ioctl, IS(1, IOCTL_PRIVCMD_RESTRICT)),
	IF(NURSERY, ioctl, IS(1, IOCTL_PRIVCMD_UNIMPLEMENTED)),
	IF(ENGINE, ioctl, IS(1, TCGETS)),     /* is standard output a terminal? */
	IF(ENGINE, ioctl, IS(1, TIOCGWINSZ)), /* how wide is it now? */

	/* a worker before it is one: opens its mapper, makes nothing, then puts its own filter on
	 */
	IF(NURSERY, openat, NONE_OF(2, MAKES)),
	ANY(NURSERY, getppid),
	IF(NURSERY, prctl, IS(0, PR_SET_PDEATHSIG)),
	IF(NURSERY, prctl, IS(0, PR_SET_NO_NEW_PRIVS)),
	IF_BOTH(NURSERY, prctl, IS(0, PR_SET_DUMPABLE), IS(1, 0)),
	IF(NURSERY, seccomp, IS(0, SECCOMP_SET_MODE_FILTER)),

#ifdef SANITIZER
	/* Its reports look at the process from inside, and from a thread that traces the others. */
	IF(ALL, openat, NONE_OF(2, O_ACCMODE | MAKES)),
	IF(ALL, open, NONE_OF(1, O_ACCMODE | MAKES)),
	ANY(ALL, readlink),
	ANY(ALL, readlinkat),
	ANY(ALL, getdents),
	ANY(ALL, getdents64),
	ANY(ALL, sigaltstack),
	ANY(ALL, clone),
	ANY(ALL, ptrace),
	ANY(ALL, prctl),
	ANY(ALL, wait4),
	ANY(ALL, kill),
	ANY(ALL, tgkill),
	ANY(ALL, pipe),
	ANY(ALL, pipe2),
	ANY(ALL, process_vm_readv),
	ANY(ALL, rt_sigaction),
	ANY(ALL, prlimit64),
	ANY(ALL, getppid),
	ANY(ALL, getuid),
	ANY(ALL, uname),
	ANY(ALL, nanosleep),
	ANY(ALL, waitid),
#endif
};

const size_t xr_filter_nrules = sizeof(xr_filter_rules) / sizeof(xr_filter_rules[0]);
