/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern const char xr_page_frame[]; /* page.html; made by embed.py */

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

int xr_page_write(FILE *to, const char *title, const char *script, const json_t *figures)
{
	char *json = json_dumps(figures, JSON_COMPACT | JSON_REAL_PRECISION(6));
	const struct {
		const char *mark, *text;
	} parts[] = { { "@TITLE@", title }, { "@DATA@", NULL }, { "@SCRIPT@", script } };
	const char *from = xr_page_frame;

	if (!json)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *at = strstr(from, parts[i].mark);

		fwrite(from, 1, (size_t)(at - from), to);
		if (parts[i].text)
			fputs(parts[i].text, to);
		else
			put_json(to, json);
		from = at + strlen(parts[i].mark);
	}
	fputs(from, to);
	free(json);
	if (fflush(to))
		return -errno;
	return ferror(to) ? -EIO : 0;
}
