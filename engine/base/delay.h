/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delays for tests (meson -Dtest_delays=true): at each place where threads hand something over, a
 * yield or a short sleep now and then, so that orders of events come about that are rare otherwise.
 * Nothing at all in other builds.
 */
#ifndef XR_DELAY_H
#define XR_DELAY_H

#ifdef XR_TEST_DELAYS
#include <stdint.h>

/* Where each thread's dice begin. 0, as at the start: no delays. Before threads are started. */
void xr_delay_seed(uint64_t seed);
/* How often something was delayed since then, by all threads. */
uint64_t xr_delay_count(void);
void xr_delay(void);
#else
#define xr_delay() ((void)0)
#endif

#endif
