/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/bench.h"
#include "page/page.h"

extern const char bench_script[]; /* page.js */

int bench_html(FILE *to, const json_t *j)
{
	return xr_page_write(to, "xenrestore bench", bench_script, j);
}
