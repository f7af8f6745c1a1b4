/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bench's page: page.html with the JSON put in. */
#include "bench/bench.h"
#include "bench/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "@DATA@";

/* In a script element no "<" may be taken for markup; JSON has it in strings only. */
static void put_json(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("\\u003c", to);
		else
			fputc(*text, to);
	}
}

int bench_html(FILE *to, const json_t *j)
{
	const char *at = strstr(bench_page, mark);
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));

	if (!text || !at) {
		free(text);
		return -ENOMEM;
	}
	fwrite(bench_page, 1, (size_t)(at - bench_page), to);
	put_json(to, text);
	fputs(at + sizeof(mark) - 1, to);
	free(text);
	return fflush(to) || ferror(to) ? -EIO : 0;
}
