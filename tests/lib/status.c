/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long status_kib(const char *key)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kib = strtol(line + strlen(key) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}
