/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool xr_take_size(const char *text, const char **end, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned int shift = 0;
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 0);
	unit = *stop ? strchr(units, *stop & ~0x20) : NULL;
	if (unit && *unit) {
		shift = 10 * (unsigned int)(unit - units + 1);
		stop++;
	}
	*end = stop;
	if (errno || *out > UINT64_MAX >> shift)
		return false;
	*out <<= shift;
	return true;
}
