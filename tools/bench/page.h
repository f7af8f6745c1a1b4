/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_BENCH_PAGE_H
#define XR_BENCH_PAGE_H

extern const char bench_page[]; /* page.html, NUL-terminated; made by embed.py */

#endif
