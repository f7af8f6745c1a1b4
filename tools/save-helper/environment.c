/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "environment.h"

#include "cli/engine_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 32u

static const char *const variables[RUN_FILES] = {
	[RUN_METRICS] = "XENRESTORE_METRICS",
	[RUN_RECEIPT] = "XENRESTORE_RECEIPT",
	[RUN_REPORT] = "XENRESTORE_REPORT",
	[RUN_TRACE] = "XENRESTORE_TRACE",
};

static const struct xr_option options[] = {
	XR_IO_OPTION(0),
	XR_BUFFER_OPTION(0),
	XR_TUNING_OPTIONS(0),
	XR_OPTIONS_END,
};

/* As far as messages go, they are those of the program. */
static const struct xr_command command = { .name = "restore", .args = "", .options = options };

static unsigned int split(char *text, char *argv[WORDS_MAX])
{
	unsigned int n = 0;
	char *at;

	argv[n++] = (char *)"XENRESTORE_OPTIONS";
	for (char *w = strtok_r(text, " ", &at); w && n < WORDS_MAX - 1;
	     w = strtok_r(NULL, " ", &at))
		argv[n++] = w;
	argv[n] = NULL;
	return n;
}

/* What one word gets wrong takes all of them along: half of what was asked for is asked by nobody.
 */
static void read_options(struct xr_settings *s)
{
	const char *text = getenv("XENRESTORE_OPTIONS");
	const struct xr_settings before = *s;
	char *argv[WORDS_MAX], *words = text ? strdup(text) : NULL;
	unsigned int n;
	int rest;

	if (!words)
		return;
	n = split(words, argv);
	if (xr_options_parse(&command, s, (int)n, argv, &rest) || rest != (int)n) {
		*s = before;
		fprintf(stderr, "xenrestore-save-helper: XENRESTORE_OPTIONS=\"%s\" is not heeded\n",
			text);
	}
	free(words);
}

void xr_environment_settings(struct xr_settings *s)
{
	s->sandbox = !getenv("XENRESTORE_NO_SANDBOX");
	read_options(s);
}

void xr_environment_unheeded(void)
{
	bool any = getenv("XENRESTORE_OPTIONS") != NULL;

	for (unsigned int i = 0; i < RUN_FILES; i++)
		any |= getenv(variables[i]) != NULL;
	if (any)
		fprintf(stderr, "xenrestore-save-helper: Xen's own helper restores this guest: of "
				"XENRESTORE_* it heeds nothing\n");
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
