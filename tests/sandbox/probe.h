/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a confined process must not get: system calls that it is to try. Without a sandbox none of
 * them does any harm, and none is refused (to root). */
#ifndef XR_TEST_PROBE_H
#define XR_TEST_PROBE_H

#include <stdbool.h>
#include <stddef.h>

enum probe_where { IN_ENGINE, IN_WORKER };

/* Try all. Each that is not refused is told as " NAME=errno" in told. Returns how many those are.
 */
unsigned int probe_all(enum probe_where where, char *told, size_t room);

/* How many there are to be refused here. */
unsigned int probe_count(enum probe_where where);

#endif
