/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxl's side of a save helper: starts the program as libxl does, decodes its messages strictly
 * and answers them. Assertions are Criterion's.
 */
#ifndef LIBXL_H
#define LIBXL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NO_ERRNO 0xffffffffu
#define LOG_ERROR_LEVEL 8u
#define LOGS_MAX 64

struct log {
	uint32_t level, errnoval;
	char text[1024];
};

struct libxl {
	pid_t pid;				 /* of the helper, and of its session */
	int replies, out;			 /* our ends of the pipes; -1: closed */
	int err;				 /* a file that holds its stderr */
	int refuse;				 /* what to answer to static_data_done */
	int (*ask)(void *arg, const char *what); /* answers what a checkpointed restore asks */
	void *arg;
	const char *hold; /* the message that gets no answer, as it is in `order`; NULL: none */
	bool dying;	  /* it may be gone at any moment, answered or not */

	/* what it has said */
	char order[512]; /* "static results complete", without log and progress */
	struct log logs[LOGS_MAX];
	unsigned int nlogs, progress;
	uint32_t missing;
	uint64_t store_gfn, console_gfn;
	int retval, errnoval;
};

/* argv without the program, NULL at its end; the descriptors named in there must be inheritable.
 * Its environment is ours and that of the model library; XR_TEST_BEFORE names a library to be
 * preloaded before that. l->err is a file; XR_TEST_NO_STDERR is for a libxl that has closed its. */
void libxl_start(struct libxl *l, char *const argv[]);
/* Decode and answer until the end of its output. */
void libxl_serve(struct libxl *l);
/* Decode and answer one message. False: its output has ended. */
bool libxl_serve_one(struct libxl *l);
/* The same for some time. False: its output has ended. */
bool libxl_serve_for(struct libxl *l, unsigned int ms);
/* The wait status, once it and every process of its session are gone; fails after 20 s. */
int libxl_wait(struct libxl *l);
void libxl_hang_up(int *end);
/* Its stderr until now; static. */
const char *libxl_stderr(struct libxl *l);

#endif
