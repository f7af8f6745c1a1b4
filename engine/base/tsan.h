/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ThreadSanitizer has to be told about code that it cannot follow: ck orders by inline
 * assembly, and no attribute reaches into its inline functions. Nothing in other builds.
 */
#ifndef XR_TSAN_H
#define XR_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define XR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define XR_TSAN 1
#endif
#endif

#ifdef XR_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
/* What was written before hand_over() is seen behind the take_over() of the same address. */
#define xr_tsan_hand_over(addr) __tsan_release(addr)
#define xr_tsan_take_over(addr) __tsan_acquire(addr)
/* This thread's accesses in between are not looked at. */
#define xr_tsan_ignore() __tsan_ignore_thread_begin()
#define xr_tsan_heed() __tsan_ignore_thread_end()
#else
#define xr_tsan_hand_over(addr) ((void)(addr))
#define xr_tsan_take_over(addr) ((void)(addr))
#define xr_tsan_ignore() ((void)0)
#define xr_tsan_heed() ((void)0)
#endif

#endif
