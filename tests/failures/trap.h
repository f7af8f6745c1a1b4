/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes one call of the library to the C library fail, by count, or one byte of a stream the place
 * where a read ends. The linker puts these in front of the real calls (--wrap), for every object of
 * the test program. Counts are shared with child processes.
 */
#ifndef XR_TEST_TRAP_H
#define XR_TEST_TRAP_H

#include <stdbool.h>
#include <stdint.h>

enum trap_call {
	TRAP_MALLOC,
	TRAP_CALLOC,
	TRAP_REALLOC,
	TRAP_MMAP,
	TRAP_MEMFD,
	TRAP_TRUNCATE,
	TRAP_EVENTFD,
	TRAP_SOCKETPAIR,
	TRAP_THREAD,
	TRAP_FORK,
	TRAP_CLONE, /* of the nursery, a bare system call */
	TRAP_READ,  /* of the names of threads, before the nursery is forked */
	TRAP_READV,
	TRAP_PREAD,
	TRAP_PREADV,
	TRAP_POLL,
	TRAP_LSEEK,
	TRAP_FCNTL,
	TRAP_RING,
	TRAP_REGISTER,
	TRAP_SUBMIT,
	TRAP_SUBMIT_WAIT,
	TRAP_PWRITE,
	TRAP_OPEN,	 /* of a file for what a checkpoint waits in */
	TRAP_PREAD_KEPT, /* of that, or of what waits in memory */
	TRAP_CALLS,
};
const char *trap_name(enum trap_call call);

/* Is it a call by which worker processes are started? */
static inline bool trap_of_processes(enum trap_call call)
{
	return call == TRAP_SOCKETPAIR || call == TRAP_FORK || call == TRAP_CLONE ||
	       call == TRAP_READ;
}

/* Is it a call by which the stream is read? */
static inline bool trap_of_stream(enum trap_call call)
{
	return call == TRAP_READV || call == TRAP_PREAD || call == TRAP_PREADV;
}

/* From now on the nth call (from 1) fails, once, with this errno. Of readv, pread and preadv only
 * those of this fd count: the model has its own. */
void trap_set(enum trap_call call, uint64_t nth, int error, int fd);
/* And all after it. */
void trap_set_from(enum trap_call call, uint64_t nth, int error, int fd);
/* Did it? Nothing fails any more. */
bool trap_release(void);

enum trap_read {
	TRAP_SHORT, /* the read ends there, and that is all */
	TRAP_EINTR, /* it ends there, the next one is interrupted */
	TRAP_EAGAIN,
	TRAP_EIO,    /* it ends there, every later one fails */
	TRAP_ENOMEM, /* likewise, but for this side's lack of memory */
	TRAP_EOF,    /* it ends there, and so does the stream */
	TRAP_READS,
};

/* Reads of fd (by offset or not, by a call or a ring) stop at byte `at`, counted from the present
 * position of a pipe and from the start of a file. */
void trap_read_at(int fd, uint64_t at, enum trap_read how);

#endif
