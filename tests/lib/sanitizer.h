/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests do less of, or leave out, in a build with a sanitizer. */
#ifndef XR_TEST_SANITIZER_H
#define XR_TEST_SANITIZER_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ASAN 1
#else
#define ASAN 0
#endif

/*
 * TSan runs a thread of its own: that forbids worker processes, and it sees across threads only.
 * Tests use worker threads instead, or skip.
 */
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define TSAN 1
#else
#define TSAN 0
#endif
#define NO_PROCESSES TSAN

#define SANITIZED (ASAN || TSAN)

/* How often to do what is done n times without a sanitizer; never less than once. */
#define FEWER(n) (TSAN ? ((n) + 9) / 10 : ASAN ? ((n) + 3) / 4 : (n))

#endif
