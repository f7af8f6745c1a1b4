/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Child processes of the bench: every one dies with the bench, whatever ends it, and none outlives
 * a call of these functions. One thread of the caller uses them.
 */
#ifndef XR_BENCH_CHILD_H
#define XR_BENCH_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct bench_job {
	char *const *argv; /* the program, by path; NULL: call `body` in a forked child instead */
	int (*body)(void *arg, FILE *out); /* returns the exit status */
	void *arg;			   /* of body */
	char *const *env;		   /* "NAME=value" to add, NULL at the end; may be NULL */
	int in;				   /* becomes descriptor 0; stays the caller's */
	unsigned int timeout;		   /* seconds, then it is killed; 0: none */
	void (*watch)(pid_t pid,
		      void *watch_arg); /* called every watch_ms while it runs, or NULL */
	void *watch_arg;
	unsigned int watch_ms;
};

struct bench_outcome {
	int status; /* as of waitpid() */
	bool timed_out;
	double seconds;	    /* from the fork to the end of the process */
	double cpu_seconds; /* user and system, of it and the children that it waited for */
	char *out, *err;    /* what it printed (1 MiB at most of each), never NULL */
};

/*
 * Start the child and wait until it ends. 0, or a negative errno if it could not be run;
 * -ECANCELED if a signal came (the child is dead then). The outcome is to be freed only after 0.
 */
int bench_child_run(const struct bench_job *job, struct bench_outcome *o);
void bench_outcome_free(struct bench_outcome *o);

/* "exited with 3", "was killed by signal 9", "took longer than ...". */
void bench_outcome_say(const struct bench_outcome *o, char *text, size_t size);

/* fork() whose child is killed when this process ends and handles signals by default, or ignores
 * them as its parent does. */
pid_t bench_fork(void);

/* Note SIGINT, SIGTERM and SIGHUP, unless ignored, from here on until bench_signals_release(). */
void bench_signals_catch(void);
void bench_signals_release(void);
int bench_signalled(void); /* the signal that came, or 0 */

#endif
