/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "failures/trap_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct trap {
	bool set, sprung, lasts;
	enum trap_call call;
	int64_t left; /* calls to go */
	int error;

	bool reads, stopped;
	int fd, kept[2];  /* kept: where contents wait */
	uint64_t at, pos; /* pos: of a pipe, what was read from it */
	enum trap_read how;
};

static struct trap *trap; /* shared with children; made when first set */

const char *trap_name(enum trap_call call)
{
	static const char *const names[TRAP_CALLS] = {
		[TRAP_MALLOC] = "malloc",
		[TRAP_CALLOC] = "calloc",
		[TRAP_REALLOC] = "realloc",
		[TRAP_MMAP] = "mmap",
		[TRAP_MEMFD] = "memfd_create",
		[TRAP_TRUNCATE] = "ftruncate",
		[TRAP_EVENTFD] = "eventfd",
		[TRAP_SOCKETPAIR] = "socketpair",
		[TRAP_THREAD] = "pthread_create",
		[TRAP_FORK] = "fork",
		[TRAP_CLONE] = "clone",
		[TRAP_READ] = "read",
		[TRAP_READV] = "readv",
		[TRAP_PREAD] = "pread",
		[TRAP_PREADV] = "preadv",
		[TRAP_POLL] = "poll",
		[TRAP_LSEEK] = "lseek",
		[TRAP_FCNTL] = "fcntl",
		[TRAP_RING] = "io_uring_queue_init",
		[TRAP_REGISTER] = "io_uring_register",
		[TRAP_SUBMIT] = "io_uring_submit",
		[TRAP_SUBMIT_WAIT] = "io_uring_submit_and_wait",
		[TRAP_PWRITE] = "pwrite",
		[TRAP_OPEN] = "open",
		[TRAP_PREAD_KEPT] = "pread of what was kept",
	};

	return names[call];
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_mmap64(void *addr, size_t n, int prot, int flags, int fd, off_t at);
int __real_memfd_create(const char *name, unsigned int flags);
int __real_ftruncate64(int fd, off_t size);
int __real_open64(const char *path, int flags, ...);
int __real_poll(struct pollfd *fds, nfds_t n, int ms);
int __real_eventfd(unsigned int value, int flags);
int __real_socketpair(int domain, int type, int protocol, int fds[2]);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*body)(void *),
			  void *arg);
pid_t __real_fork(void);
long __real_syscall(long nr, ...);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __real_readv(int fd, const struct iovec *iov, int n);
ssize_t __real_pread64(int fd, void *to, size_t n, off_t at);
ssize_t __real_preadv64(int fd, const struct iovec *iov, int n, off_t at);
off_t __real_lseek64(int fd, off_t at, int from);
int __real_fcntl64(int fd, int cmd, ...);
ssize_t __real_pwrite64(int fd, const void *from, size_t n, off_t at);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_mmap64(void *addr, size_t n, int prot, int flags, int fd, off_t at);
int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);
int __wrap_eventfd(unsigned int value, int flags);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*body)(void *),
			  void *arg);
pid_t __wrap_fork(void);
long __wrap_syscall(long nr, ...);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int n);
ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at);
off_t __wrap_lseek64(int fd, off_t at, int from);
int __wrap_fcntl64(int fd, int cmd, ...);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off_t at);

static struct trap *get(void)
{
	if (!trap)
		trap = __real_mmap64(NULL, sizeof(*trap), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return trap;
}

static void set(struct trap with, uint64_t nth)
{
	struct trap *t = get();

	*t = with;
	t->kept[0] = t->kept[1] = -1;
	t->left = (int64_t)nth;
	__atomic_store_n(&t->set, true, __ATOMIC_SEQ_CST);
}

void trap_set(enum trap_call call, uint64_t nth, int error, int fd)
{
	set((struct trap){ .call = call, .error = error, .fd = fd }, nth);
}

void trap_set_from(enum trap_call call, uint64_t nth, int error, int fd)
{
	set((struct trap){ .call = call, .error = error, .fd = fd, .lasts = true }, nth);
}

void trap_read_at(int fd, uint64_t at, enum trap_read how)
{
	struct trap *t = get();

	*t = (struct trap){ .fd = fd, .at = at, .how = how };
	__atomic_store_n(&t->reads, true, __ATOMIC_SEQ_CST);
}

bool trap_release(void)
{
	struct trap *t = get();

	__atomic_store_n(&t->set, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->reads, false, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&t->sprung, __ATOMIC_SEQ_CST);
}

bool trap_springs(enum trap_call call)
{
	struct trap *t = trap;
	int64_t left;

	if (!t || !__atomic_load_n(&t->set, __ATOMIC_SEQ_CST) || t->call != call)
		return false;
	left = __atomic_sub_fetch(&t->left, 1, __ATOMIC_SEQ_CST);
	if (left > 0 || (left < 0 && !t->lasts))
		return false;
	__atomic_store_n(&t->sprung, true, __ATOMIC_SEQ_CST);
	errno = t->error;
	return true;
}

void trap_again(void)
{
	__atomic_store_n(&trap->stopped, false, __ATOMIC_SEQ_CST);
}

static int note_kept(unsigned int which, bool kept, int fd)
{
	if (trap && kept)
		trap->kept[which] = fd;
	return fd;
}

int trap_stream_fd(void)
{
	return trap ? trap->fd : -1;
}

uint64_t trap_position(int fd)
{
	const off_t at = trap && fd == trap->fd ? __real_lseek64(fd, 0, SEEK_CUR) : 0;

	if (trap && fd == trap->fd)
		trap_ring_look();
	return at < 0 ? trap->pos : (uint64_t)at;
}

void trap_move_on(int fd, ssize_t got)
{
	if (trap && fd == trap->fd && got > 0)
		trap->pos += (uint64_t)got;
}

size_t trap_allowed(int fd, uint64_t pos, size_t n, ssize_t *result)
{
	static const int errnos[TRAP_READS] = { [TRAP_EINTR] = EINTR,
						[TRAP_EAGAIN] = EAGAIN,
						[TRAP_EIO] = EIO,
						[TRAP_ENOMEM] = ENOMEM };
	struct trap *t = trap;

	if (!t || !__atomic_load_n(&t->reads, __ATOMIC_SEQ_CST) || fd != t->fd || pos + n <= t->at)
		return n;
	if (pos < t->at)
		return (size_t)(t->at - pos);
	__atomic_store_n(&t->sprung, true, __ATOMIC_SEQ_CST);
	if (t->how == TRAP_SHORT)
		return n;
	if (__atomic_exchange_n(&t->stopped, true, __ATOMIC_SEQ_CST) && t->how < TRAP_EIO)
		return n;
	errno = errnos[t->how];
	*result = t->how == TRAP_EOF ? 0 : -1;
	return 0;
}

int trap_shorten(const struct iovec *iov, int n, size_t most, struct iovec *out)
{
	int i = 0;

	for (; i < n && most; i++) {
		out[i] = iov[i];
		if (out[i].iov_len > most)
			out[i].iov_len = most;
		most -= out[i].iov_len;
	}
	return i;
}

size_t trap_length(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

void *__wrap_malloc(size_t n)
{
	return trap_springs(TRAP_MALLOC) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return trap_springs(TRAP_CALLOC) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return trap_springs(TRAP_REALLOC) ? NULL : __real_realloc(p, n);
}

void *__wrap_mmap64(void *addr, size_t n, int prot, int flags, int fd, off_t at)
{
	return trap_springs(TRAP_MMAP) ? MAP_FAILED : __real_mmap64(addr, n, prot, flags, fd, at);
}

int __wrap_memfd_create(const char *name, unsigned int flags)
{
	if (trap_springs(TRAP_MEMFD))
		return -1;
	return note_kept(0, strcmp(name, "xr-spill") == 0, __real_memfd_create(name, flags));
}

int __wrap_open64(const char *path, int flags, ...)
{
	const bool kept = (flags & O_TMPFILE) == O_TMPFILE;
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (kept && trap_springs(TRAP_OPEN))
		return -1;
	return note_kept(1, kept, __real_open64(path, flags, mode));
}

int __wrap_ftruncate64(int fd, off_t size)
{
	return trap_springs(TRAP_TRUNCATE) ? -1 : __real_ftruncate64(fd, size);
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
	return trap_springs(TRAP_POLL) ? -1 : __real_poll(fds, n, ms);
}

int __wrap_eventfd(unsigned int value, int flags)
{
	return trap_springs(TRAP_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

int __wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	return trap_springs(TRAP_SOCKETPAIR) ? -1 : __real_socketpair(domain, type, protocol, fds);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*body)(void *),
			  void *arg)
{
	return trap_springs(TRAP_THREAD) ? EAGAIN : __real_pthread_create(t, attr, body, arg);
}

pid_t __wrap_fork(void)
{
	return trap_springs(TRAP_FORK) ? -1 : __real_fork();
}

long __wrap_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_clone && trap_springs(TRAP_CLONE))
		return -1;
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
	ssize_t got = -1;
	size_t most;

	if (trap_springs(TRAP_READ))
		return -1;
	most = trap_allowed(fd, trap_position(fd), n, &got);
	if (most)
		got = __real_read(fd, to, most);
	trap_move_on(fd, got);
	return got;
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int n)
{
	struct iovec part[8];
	ssize_t got = -1;
	size_t most;

	if (n > 8)
		return __real_readv(fd, iov, n);
	if (fd == trap_stream_fd() && trap_springs(TRAP_READV))
		return -1;
	most = trap_allowed(fd, trap_position(fd), trap_length(iov, n), &got);
	if (most)
		got = __real_readv(fd, part, trap_shorten(iov, n, most, part));
	trap_move_on(fd, got);
	return got;
}

ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at)
{
	ssize_t got = -1;
	size_t most;

	if (fd == trap_stream_fd() && trap_springs(TRAP_PREAD))
		return -1;
	if (trap && (fd == trap->kept[0] || fd == trap->kept[1]) && trap_springs(TRAP_PREAD_KEPT))
		return -1;
	most = trap_allowed(fd, (uint64_t)at, n, &got);
	return most ? __real_pread64(fd, to, most, at) : got;
}

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at)
{
	struct iovec part[8];
	ssize_t got = -1;
	size_t most;

	if (n > 8)
		return __real_preadv64(fd, iov, n, at);
	if (fd == trap_stream_fd() && trap_springs(TRAP_PREADV))
		return -1;
	most = trap_allowed(fd, (uint64_t)at, trap_length(iov, n), &got);
	return most ? __real_preadv64(fd, part, trap_shorten(iov, n, most, part), at) : got;
}

off_t __wrap_lseek64(int fd, off_t at, int from)
{
	return trap_springs(TRAP_LSEEK) ? -1 : __real_lseek64(fd, at, from);
}

int __wrap_fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return trap_springs(TRAP_FCNTL) ? -1 : __real_fcntl64(fd, cmd, arg);
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off_t at)
{
	return trap_springs(TRAP_PWRITE) ? -1 : __real_pwrite64(fd, from, n, at);
}
