/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "environment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_MIB_MAX (1ul << 20)

static const char *const variables[RUN_FILES] = {
	[RUN_METRICS] = "XENRESTORE_METRICS",
	[RUN_RECEIPT] = "XENRESTORE_RECEIPT",
	[RUN_REPORT] = "XENRESTORE_REPORT",
	[RUN_TRACE] = "XENRESTORE_TRACE",
};

static void read_buffer_limit(struct xr_settings *s)
{
	const char *text = getenv("XENRESTORE_BUFFER_MIB");
	char *end;
	unsigned long mib = text ? strtoul(text, &end, 10) : 0;

	if (!text)
		return;
	if (mib && mib <= BUFFER_MIB_MAX && !*end)
		s->buffer_mib = (unsigned int)mib;
	else
		fprintf(stderr,
			"xenrestore-save-helper: XENRESTORE_BUFFER_MIB=%s is not a number of "
			"MiB from 1 to %lu: it is left at %u\n",
			text, BUFFER_MIB_MAX, s->buffer_mib);
}

void xr_environment_settings(struct xr_settings *s)
{
	s->sandbox = !getenv("XENRESTORE_NO_SANDBOX");
	read_buffer_limit(s);
}

static bool expand(char path[ENVIRONMENT_PATH], const char *text, uint32_t domid)
{
	const char *at = strstr(text, "%d");
	const int before = at ? (int)(at - text) : (int)strlen(text);
	char number[16] = "";

	if (at)
		snprintf(number, sizeof(number), "%" PRIu32, domid);
	return snprintf(path, ENVIRONMENT_PATH, "%.*s%s%s", before, text, number,
			at ? at + 2 : "") < (int)ENVIRONMENT_PATH;
}

void xr_environment_files(struct xr_environment *e, uint32_t domid)
{
	run_files_init(&e->files);
	for (unsigned int i = 0; i < RUN_FILES; i++) {
		const char *text = getenv(variables[i]);

		if (!text || !*text)
			continue;
		if (expand(e->path[i], text, domid))
			e->files.path[i] = e->path[i];
		else
			fprintf(stderr, "xenrestore-save-helper: %s is too long\n", variables[i]);
	}
}
