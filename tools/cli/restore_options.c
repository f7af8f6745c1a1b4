/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of `xenrestore restore`. */
#include "restore_options.h"

#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_FD = 256,
	OPT_HOST,
	OPT_DOMID,
	OPT_STORE_EVTCHN,
	OPT_STORE_DOMID,
	OPT_CONSOLE_EVTCHN,
	OPT_CONSOLE_DOMID,
	OPT_POLICY,
	OPT_MAX_ORDER,
	OPT_AHEAD,
	OPT_WORKERS,
	OPT_WORKER_KIND,
	OPT_IO,
	OPT_MAXMEM,
	OPT_WITHOUT_MEMORY,
	OPT_DIGEST,
	OPT_JSON,
};

static const struct option longs[] = {
	{ "fd", required_argument, NULL, OPT_FD },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "domid", required_argument, NULL, OPT_DOMID },
	{ "store-evtchn", required_argument, NULL, OPT_STORE_EVTCHN },
	{ "store-domid", required_argument, NULL, OPT_STORE_DOMID },
	{ "console-evtchn", required_argument, NULL, OPT_CONSOLE_EVTCHN },
	{ "console-domid", required_argument, NULL, OPT_CONSOLE_DOMID },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "max-order", required_argument, NULL, OPT_MAX_ORDER },
	{ "ahead", required_argument, NULL, OPT_AHEAD },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "worker-kind", required_argument, NULL, OPT_WORKER_KIND },
	{ "io", required_argument, NULL, OPT_IO },
	{ "maxmem", required_argument, NULL, OPT_MAXMEM },
	{ "without-memory", no_argument, NULL, OPT_WITHOUT_MEMORY },
	{ "digest", no_argument, NULL, OPT_DIGEST },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char text[] =
	"usage: xenrestore restore [options] FILE|-\n"
	"       xenrestore restore [options] --fd N\n"
	"\n"
	"Restore a guest from an xl save file, a libvirt one, a bare libxl or libxc stream;\n"
	"from a file, or from a pipe or socket (- is standard input).\n"
	"\n"
	"  --fd N                 read from an inherited descriptor\n"
	"  --host xen|model       where to (xen where there is one, else model)\n"
	"  --domid N              xen: the domain, created, paused and empty\n"
	"  --store-evtchn N       xenstore's event channel in the guest (0)\n"
	"  --store-domid N        xenstore's domain (0)\n"
	"  --console-evtchn N     the console's event channel in the guest (0)\n"
	"  --console-domid N      the console's domain (0)\n"
	"  --policy P             exact (default), speculative or 4k\n"
	"  --max-order N          largest extent: 0 (4K), 9 (2M, default) or 18 (1G)\n"
	"  --ahead MIB            how far to allocate ahead of a pipe (64)\n"
	"  --workers N            copy workers, 1 to 64 (one per core and 64 MiB, at most 8)\n"
	"  --worker-kind K        auto (default), process or thread\n"
	"  --io I                 auto (default), uring or plain\n"
	"  --maxmem MIB           model: limit of the domain (none)\n"
	"  --without-memory       model: account frames only, for streams without contents\n"
	"  --digest               model: print the SHA-256 of the restored guest\n"
	"  --json                 print the summary as JSON\n"
	"  -q, --quiet            no summary, no progress\n"
	"  -v, --verbose          log to standard error; twice for more\n"
	"  -h, --help             print this\n";

static int bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int bad(const char *fmt, ...)
{
	va_list args;

	fputs("xenrestore restore: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" (--help tells the options)\n", stderr);
	return XR_EXIT_USAGE + 1;
}

static int number(const char *arg, const char *what, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || *out > max)
		return bad("--%s takes a number from 0 to %llu, not '%s'", what,
			   (unsigned long long)max, arg);
	return 0;
}

static int word(const char *arg, const char *what, const char *const *words, unsigned int *out)
{
	for (unsigned int i = 0; words[i]; i++) {
		if (!strcmp(arg, words[i])) {
			*out = i;
			return 0;
		}
	}
	return bad("--%s does not know '%s'", what, arg);
}

static const char *const hosts[] = { "xen", "model", NULL };
static const char *const policies[] = { "exact", "speculative", "4k", NULL };
static const char *const kinds[] = { "auto", "process", "thread", NULL };
static const char *const ios[] = { "auto", "uring", "plain", NULL };

static int set_number(struct restore_options *o, int opt, const char *name, const char *arg)
{
	struct xr_settings *s = &o->set;
	const uint64_t max = opt == OPT_MAXMEM	? 1ull << 44
			     : opt == OPT_AHEAD ? 1u << 20
			     : opt == OPT_FD	? 1u << 30
						: UINT32_MAX;
	uint64_t v;
	int rc = number(arg, name, max, &v);

	switch (opt) {
	case OPT_FD:
		s->fd = (int)v;
		break;
	case OPT_DOMID:
		s->domid = (uint32_t)v;
		break;
	case OPT_STORE_EVTCHN:
		s->store_port = (uint32_t)v;
		break;
	case OPT_STORE_DOMID:
		s->store_domid = (uint32_t)v;
		break;
	case OPT_CONSOLE_EVTCHN:
		s->console_port = (uint32_t)v;
		break;
	case OPT_CONSOLE_DOMID:
		s->console_domid = (uint32_t)v;
		break;
	case OPT_MAX_ORDER:
		s->max_order = (unsigned int)v;
		break;
	case OPT_AHEAD:
		s->ahead_mib = (unsigned int)v;
		break;
	case OPT_WORKERS:
		s->workers = (unsigned int)v;
		break;
	default:
		o->max_mib = v;
		break;
	}
	return rc;
}

static int set_option(struct restore_options *o, int opt, const char *name, const char *arg)
{
	unsigned int v = 0;
	int rc = 0;

	switch (opt) {
	case OPT_HOST:
		rc = word(arg, name, hosts, &v);
		o->set.host = v;
		return rc;
	case OPT_POLICY:
		rc = word(arg, name, policies, &v);
		o->set.policy = v;
		return rc;
	case OPT_WORKER_KIND:
		rc = word(arg, name, kinds, &v);
		o->set.worker_kind = v;
		return rc;
	case OPT_IO:
		rc = word(arg, name, ios, &v);
		o->set.io = v;
		return rc;
	case OPT_WITHOUT_MEMORY:
		o->without_memory = true;
		return 0;
	case OPT_DIGEST:
		o->digest = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'v':
		o->verbose++;
		return 0;
	case 'h':
		fputs(text, stdout);
		return XR_EXIT_OK + 1;
	case '?':
		return XR_EXIT_USAGE + 1;
	default:
		return set_number(o, opt, name, arg);
	}
}

static bool have_xen(void)
{
	return !access("/dev/xen/privcmd", F_OK) || !access("/proc/xen/privcmd", F_OK);
}

int restore_options_parse(struct restore_options *o, int argc, char **argv)
{
	int opt, at = 0, rc = 0;

	memset(o, 0, sizeof(*o));
	xr_settings_default(&o->set);
	o->set.host = have_xen() ? XR_HOST_XEN : XR_HOST_MODEL;
	o->set.domid = UINT32_MAX;
	while (!rc && (opt = getopt_long(argc, argv, "qvh", longs, &at)) != -1)
		rc = set_option(o, opt, opt >= OPT_FD ? longs[at].name : "", optarg);
	if (rc)
		return rc;
	if ((optind == argc) == (o->set.fd < 0) || optind + 1 < argc)
		return bad("name one stream: FILE, - or --fd N");
	o->path = o->set.fd < 0 ? argv[optind] : NULL;
	if (o->set.host == XR_HOST_XEN && o->set.domid == UINT32_MAX)
		return bad("--host xen needs --domid N");
	if (o->set.host == XR_HOST_XEN && (o->digest || o->max_mib || o->without_memory))
		return bad("--digest, --maxmem and --without-memory are of --host model");
	return 0;
}
