/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stock.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xenctrl.h>

/* Debian keeps one per version, others a single one; the last two are where Xen's sources install.
 */
static const char *const places[] = {
	"/usr/lib/xen-%d.%d/bin/libxl-save-helper",	"/usr/lib/xen/bin/libxl-save-helper",
	"/usr/libexec/xen/bin/libxl-save-helper",	"/usr/local/lib/xen/bin/libxl-save-helper",
	"/usr/local/libexec/xen/bin/libxl-save-helper",
};

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
	va_list al;

	fprintf(stderr, "xenrestore-save-helper: ");
	va_start(al, format);
	vfprintf(stderr, format, al);
	va_end(al);
	fprintf(stderr, "\n");
	return 1;
}

/* major << 16 | minor; 0: not known. */
static int running_xen(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int v;

	if (!xch)
		return 0;
	v = xc_version(xch, XENVER_version, NULL);
	xc_interface_close(xch);
	return v > 0 ? v : 0;
}

static int find(char *path, size_t size)
{
	const char *named = getenv("XENRESTORE_STOCK_HELPER");
	const int v = named ? 0 : running_xen();

	if (named)
		return snprintf(path, size, "%s", named) < (int)size ? 0 : -1;
	for (size_t i = 0; v && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, size, places[i], v >> 16, v & 0xffff);
		if (!access(path, X_OK))
			return 0;
	}
	return -1;
}

/* Installed in the stock helper's place, it would run itself for ever. */
static bool is_this_program(const char *path)
{
	struct stat there, here;

	return !stat(path, &there) && !stat("/proc/self/exe", &here) &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

int xr_exec_stock(char **argv)
{
	char path[PATH_MAX];

	if (find(path, sizeof(path)))
		return complain("cannot find the stock save helper of the Xen that runs; "
				"name it in XENRESTORE_STOCK_HELPER");
	if (is_this_program(path))
		return complain("%s is this program, not the stock helper; name that in "
				"XENRESTORE_STOCK_HELPER",
				path);
	execv(path, argv);
	return complain("cannot run %s: %s", path, strerror(errno));
}
