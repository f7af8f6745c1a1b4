/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of `xenrestore restore`. */
#include "restore_options.h"

#include "command.h"
#include "engine_options.h"

#include <string.h>
#include <unistd.h>

#define AT(field) offsetof(struct restore_options, field)
static const struct xr_option options[] = {
	XR_HEADING("The stream"),
	XR_OPTION(INT, "fd", 0, "N", AT(set.fd), NULL,
		  "read from an inherited descriptor instead of FILE", .max = 1u << 30),
	XR_IO_OPTION(AT(set)),
	XR_OPTION(WORD, "type", 0, "T", AT(set.type), "plain",
		  "plain, or remus: a bare libxc stream with checkpoints", .words = xr_type_words),
	XR_BUFFER_OPTION(AT(set)),
	XR_HEADING("The domain"),
	XR_OPTION(WORD, "host", 0, "H", AT(set.host), "xen where there is one, else model",
		  "restore into Xen or into a model of it: xen, model", .words = xr_host_words),
	XR_OPTION(INT, "domid", 0, "N", AT(set.domid), NULL,
		  "xen: the domain, created, paused and empty", .max = UINT32_MAX),
	XR_OPTION(INT, "store-evtchn", 0, "N", AT(set.store_port), "0",
		  "xenstore's event channel in the guest", .max = UINT32_MAX),
	XR_OPTION(INT, "store-domid", 0, "N", AT(set.store_domid), "0", "xenstore's domain",
		  .max = UINT32_MAX),
	XR_OPTION(INT, "console-evtchn", 0, "N", AT(set.console_port), "0",
		  "the console's event channel in the guest", .max = UINT32_MAX),
	XR_OPTION(INT, "console-domid", 0, "N", AT(set.console_domid), "0", "the console's domain",
		  .max = UINT32_MAX),
	XR_OPTION(U64, "maxmem", 0, "MIB", AT(max_mib), "16 TiB", "model: limit of the domain",
		  .max = 1ull << 44),
	XR_OPTION(FLAG, "without-memory", 0, NULL, AT(without_memory), NULL,
		  "model: account frames only, for streams without contents"),
	XR_HEADING("How"),
	XR_TUNING_OPTIONS(AT(set)),
	XR_OPTION(FLAG, "no-sandbox", 0, NULL, AT(no_sandbox), NULL,
		  "for debugging: keep all system calls within reach"),
	XR_HEADING("What is told"),
	XR_OPTION(FLAG, "digest", 0, NULL, AT(digest), NULL,
		  "model: print the SHA-256 of the restored guest"),
	XR_OPTION(FLAG, "json", 0, NULL, AT(json), NULL, "print the summary as JSON"),
	XR_OPTION(WORD, "progress", 0, "HOW", AT(progress), "auto",
		  "bar, lines, json or none; auto: a bar on a terminal, else lines",
		  .words = xr_show_words),
	XR_OPTION(INT, "progress-fd", 0, "N", AT(progress_fd), "2", "the descriptor for it",
		  .max = 1u << 30),
	XR_OPTION(FILE, "metrics", 0, "FILE", AT(metrics), NULL,
		  "write figures as OpenMetrics, at the end and at once"),
	XR_OPTION(FILE, "receipt", 0, "FILE", AT(receipt), NULL,
		  "write digests of what was written, for xenrestore verify"),
	XR_OPTION(FILE, "report", 0, "FILE", AT(report), NULL,
		  "write one page (HTML) with plots of what took the time"),
	XR_OPTION(FILE, "trace", 0, "FILE", AT(trace), NULL,
		  "write what happened when, in Chrome's trace format"),
	XR_OPTION(FLAG, "quiet", 'q', NULL, AT(quiet), NULL, "no summary, no progress"),
	XR_OPTION(COUNT, "verbose", 'v', NULL, AT(verbose), NULL,
		  "log to standard error; twice for more"),
	XR_OPTIONS_END,
};

const struct xr_command xr_command_restore = {
	.name = "restore",
	.run = xr_cmd_restore,
	.args = "FILE|-",
	.what = "restore a guest from a stream",
	.about =
		"Restore a guest from an xl save file, a libvirt one, a bare libxl or libxc stream;\n"
		"from a file, or from a pipe or socket (- is standard input).",
	.options = options,
	.operands = "file",
};

static bool have_xen(void)
{
	return !access("/dev/xen/privcmd", F_OK) || !access("/proc/xen/privcmd", F_OK);
}

static int check(struct restore_options *o, int argc, char **argv, int rest)
{
	const struct xr_command *c = &xr_command_restore;

	if ((rest == argc) == (o->set.fd < 0) || rest + 1 < argc)
		return xr_usage(c, "name one stream: FILE, - or --fd N");
	o->path = o->set.fd < 0 ? argv[rest] : NULL;
	o->set.sandbox = !o->no_sandbox;
	o->set.receipt = o->receipt != NULL;
	if (o->set.host == XR_HOST_XEN && o->set.domid == UINT32_MAX)
		return xr_usage(c, "--host xen needs --domid N");
	if (o->set.host == XR_HOST_MODEL && o->set.domid != UINT32_MAX)
		return xr_usage(c, "--domid is of --host xen");
	if (o->set.host == XR_HOST_XEN && (o->digest || o->max_mib || o->without_memory))
		return xr_usage(c, "--digest, --maxmem and --without-memory are of --host model");
	return 0;
}

int restore_options_parse(struct restore_options *o, int argc, char **argv)
{
	int rest, rc;

	memset(o, 0, sizeof(*o));
	xr_settings_default(&o->set);
	o->progress_fd = STDERR_FILENO;
	o->set.host = have_xen() ? XR_HOST_XEN : XR_HOST_MODEL;
	o->set.domid = UINT32_MAX;
	rc = xr_options_parse(&xr_command_restore, o, argc, argv, &rest);
	if (rc)
		return rc;
	rc = check(o, argc, argv, rest);
	return rc ? rc + 1 : 0;
}
