/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ways a stream can reach a restorer, fed from one page-cached file. */
#ifndef XR_BENCH_SOURCE_H
#define XR_BENCH_SOURCE_H

#include <sys/types.h>

enum bench_source { SOURCE_FILE, SOURCE_PIPE, SOURCE_UNIX, SOURCE_TCP, SOURCE_COUNT };

extern const char *const bench_source_names[SOURCE_COUNT];

/*
 * Open the file as this kind of source: returns the descriptor to read from, or a negative errno.
 * All but SOURCE_FILE start a process that writes the file's bytes, as a sender does: *writer is
 * its pid, to be waited for after the descriptor was closed (-1: there is none).
 */
int bench_source_open(enum bench_source kind, const char *path, pid_t *writer);

/* Wait for the writer; a restorer that stops reading early makes it end by EPIPE, which is fine. */
void bench_source_end(pid_t writer);

#endif
