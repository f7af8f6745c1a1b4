/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting the bytes that memcpy() moves in this program and in what it forks, on all threads. */
#ifndef XR_TEST_COPIES_H
#define XR_TEST_COPIES_H

#include <stdbool.h>
#include <stdint.h>

bool copies_begin(void); /* false with errno */
uint64_t copies_end(void);

#endif
