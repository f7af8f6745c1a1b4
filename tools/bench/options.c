/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/options.h"

#include "bench/bench.h"
#include "generate/options.h"
#include "generate/size.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

static const char usage_head[] =
	"usage: xenrestore bench [options]\n"
	"\n"
	"Measure restores: ours, the installed libxenguest's and two bounds of the machine, in turn, on the\n"
	"same stream and the same model of Xen.\n"
	"\n"
	"The stream\n"
	"      --stream FILE      a saved guest; else one is generated:\n";

static const char usage_tail[] =
	"      --list-to-4g       small guests list all pfns up to 4G, as real savers do\n"
	"What is run\n"
	"  -n, --runs N           of each (5)\n"
	"      --sources LIST     of file,pipe,unix,tcp (all)\n"
	"      --contenders LIST  of ours,stock,mapped,limit (all)\n"
	"      --workers LIST     run ours also with so many copy workers, e.g. 1,2,4\n"
	"      --scale LIST       also guests of these sizes, e.g. 256M,1G,4G\n"
	"      --scale-types LIST also guests without contents, e.g. 64G,1T,12T\n"
	"      --pipe-size SIZE   of the pipe, for all (1M; 0: the kernel's 64K)\n"
	"      --timeout SEC      for one run (600)\n"
	"      --no-timeline      leave out the traced runs\n"
	"Handed to ours: --policy P, --max-order N, --ahead MIB, --worker-kind K, --io I\n"
	"What comes out\n"
	"      --json FILE        all figures (- is standard output)\n"
	"      --html FILE        one page with plots\n"
	"  -q, --quiet            no progress\n"
	"Where things are\n"
	"      --program FILE     our program (this one)\n"
	"      --preload FILE     libxr-model-preload.so\n"
	"      --stock-runner FILE  xr-stock-restore\n"
	"  -h, --help             print this\n"
	"\n"
	"Streams are kept in unlinked files in $TMPDIR (/tmp): page cache of a disk file, as a saved\n"
	"guest is. /dev/shm is refused: its memory can't be evicted, is swapped rather than dropped,\n"
	"and is read by another path than a file's.\n";

enum {
	OPT_STREAM = 256,
	OPT_LIST_TO_4G,
	OPT_SOURCES,
	OPT_CONTENDERS,
	OPT_WORKERS,
	OPT_SCALE,
	OPT_SCALE_TYPES,
	OPT_PIPE_SIZE,
	OPT_TIMEOUT,
	OPT_NO_TIMELINE,
	OPT_PASS,
	OPT_JSON,
	OPT_HTML,
	OPT_PROGRAM,
	OPT_PRELOAD,
	OPT_STOCK,
};

static const struct option longs[] = {
	XR_GEN_OPTIONS(XR_GEN_LONG){ "stream", required_argument, NULL, OPT_STREAM },
	{ "list-to-4g", no_argument, NULL, OPT_LIST_TO_4G },
	{ "runs", required_argument, NULL, 'n' },
	{ "sources", required_argument, NULL, OPT_SOURCES },
	{ "contenders", required_argument, NULL, OPT_CONTENDERS },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "scale", required_argument, NULL, OPT_SCALE },
	{ "scale-types", required_argument, NULL, OPT_SCALE_TYPES },
	{ "pipe-size", required_argument, NULL, OPT_PIPE_SIZE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "no-timeline", no_argument, NULL, OPT_NO_TIMELINE },
	{ "policy", required_argument, NULL, OPT_PASS },
	{ "max-order", required_argument, NULL, OPT_PASS },
	{ "ahead", required_argument, NULL, OPT_PASS },
	{ "worker-kind", required_argument, NULL, OPT_PASS },
	{ "io", required_argument, NULL, OPT_PASS },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "html", required_argument, NULL, OPT_HTML },
	{ "quiet", no_argument, NULL, 'q' },
	{ "program", required_argument, NULL, OPT_PROGRAM },
	{ "preload", required_argument, NULL, OPT_PRELOAD },
	{ "stock-runner", required_argument, NULL, OPT_STOCK },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int bad(const char *fmt, ...)
{
	va_list args;

	fputs("xenrestore bench: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" (--help tells the options)\n", stderr);
	return EXIT_USAGE + 1;
}

static int size(const char *arg, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;

	if (!xr_take_size(arg, &end, out) || *end || *out < min || *out > max)
		return bad("--%s takes a number from %llu to %llu, not '%s'", name,
			   (unsigned long long)min, (unsigned long long)max, arg);
	return 0;
}

static int number(const char *arg, const char *name, unsigned int min, unsigned int max,
		  unsigned int *out)
{
	uint64_t v;
	int rc = size(arg, name, min, max, &v);

	if (!rc)
		*out = (unsigned int)v;
	return rc;
}

static int sizes(const char *arg, const char *name, uint64_t min, uint64_t max,
		 struct bench_list *out)
{
	const char *p = arg;

	for (out->n = 0; out->n < BENCH_LIST_MAX; p++) {
		uint64_t *v = &out->v[out->n++];

		if (!xr_take_size(p, &p, v) || *v < min || *v > max)
			break;
		if (!*p)
			return 0;
		if (*p != ',')
			break;
	}
	return bad("--%s takes up to %u numbers from %llu to %llu with commas between, not '%s'",
		   name, BENCH_LIST_MAX, (unsigned long long)min, (unsigned long long)max, arg);
}

static int names(const char *arg, const char *name, const char *const *known, unsigned int n,
		 unsigned int *out)
{
	*out = 0;
	for (const char *p = arg;; p++) {
		const size_t len = strcspn(p, ",");
		unsigned int i = 0;

		while (i < n && (strlen(known[i]) != len || strncmp(p, known[i], len) != 0))
			i++;
		if (i == n)
			return bad("--%s does not know '%.*s'", name, (int)len, p);
		*out |= 1u << i;
		p += len;
		if (!*p)
			return 0;
	}
}

static int pass_on(struct bench_options *o, const char *name, const char *arg)
{
	if (o->npass == BENCH_PASS_MAX)
		return bad("too many options for ours");
	if (asprintf(&o->pass[o->npass], "--%s=%s", name, arg) < 0) {
		o->pass[o->npass] = NULL;
		return bad("no memory");
	}
	o->npass++;
	return 0;
}

static int generator_option(struct xr_gen_options *g, int opt, const char *name, const char *arg)
{
	return xr_gen_option(g, opt, arg) > 0 ? 0 : bad("--%s does not take '%s'", name, arg);
}

static int plan_option(struct bench_options *o, int opt, const char *name, const char *arg)
{
	switch (opt) {
	case 'n':
		return number(arg, name, 1, BENCH_STATS_MAX, &o->runs);
	case OPT_SOURCES:
		return names(arg, name, bench_source_names, SOURCE_COUNT, &o->sources);
	case OPT_CONTENDERS:
		return names(arg, name, bench_who_names, BENCH_WHO_COUNT, &o->contenders);
	case OPT_WORKERS:
		return sizes(arg, name, 1, 64, &o->workers);
	case OPT_SCALE:
		return sizes(arg, name, 1 << 20, 1ull << 40, &o->scale);
	case OPT_SCALE_TYPES:
		return sizes(arg, name, 1 << 20, 1ull << 46, &o->scale_types);
	case OPT_PIPE_SIZE:
		return number(arg, name, 0, 1u << 30, &o->pipe_bytes);
	case OPT_TIMEOUT:
		return number(arg, name, 1, 1000000, &o->timeout);
	default:
		return generator_option(&o->gen, opt, name, arg);
	}
}

static void defaults(struct bench_options *o)
{
	memset(o, 0, sizeof(*o));
	xr_gen_options_default(&o->gen);
	o->gen.size_bytes = 1ull << 30;
	o->gen.seed = 1;
	o->runs = 5;
	o->sources = (1u << SOURCE_COUNT) - 1;
	o->contenders = (1u << BENCH_WHO_COUNT) - 1;
	o->pipe_bytes = 1u << 20;
	o->timeout = 600;
}

static void help(void)
{
	struct bench_options o;

	defaults(&o);
	fputs(usage_head, stdout);
	xr_gen_options_help(stdout, &o.gen);
	fputs(usage_tail, stdout);
}

static int set_option(struct bench_options *o, int opt, const char *name, const char *arg)
{
	const char **const files[] = {
		[0] = &o->stream,
		[OPT_JSON - OPT_STREAM] = &o->json,
		[OPT_HTML - OPT_STREAM] = &o->html,
		[OPT_PROGRAM - OPT_STREAM] = &o->program,
		[OPT_PRELOAD - OPT_STREAM] = &o->preload,
		[OPT_STOCK - OPT_STREAM] = &o->stock,
	};

	switch (opt) {
	case OPT_STREAM:
	case OPT_JSON:
	case OPT_HTML:
	case OPT_PROGRAM:
	case OPT_PRELOAD:
	case OPT_STOCK:
		*files[opt - OPT_STREAM] = arg;
		return 0;
	case OPT_LIST_TO_4G:
		o->list_to_4g = true;
		return 0;
	case OPT_NO_TIMELINE:
		o->no_timeline = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case OPT_PASS:
		return pass_on(o, name, arg);
	case 'h':
		help();
		return 1;
	case '?':
		return EXIT_USAGE + 1;
	default:
		return plan_option(o, opt, name, arg);
	}
}

static const char *name_of(int opt, int at)
{
	for (const struct option *l = longs; l->name; l++)
		if (l->val == opt && (opt < 256 || l == &longs[at]))
			return l->name;
	return "";
}

static int check(const struct bench_options *o)
{
	const char *wrong = o->stream ? NULL : xr_gen_check(&o->gen);

	if (wrong)
		return bad("%s", wrong);
	if (o->gen.size_bytes < 1 << 20)
		return bad("a guest to be measured has at least 1M");
	for (unsigned int i = 0; i < o->scale.n + o->scale_types.n; i++)
		if ((i < o->scale.n ? o->scale.v[i] : o->scale_types.v[i - o->scale.n]) % 4096)
			return bad("sizes are multiples of 4K");
	if (o->json && o->html && !strcmp(o->json, "-") && !strcmp(o->html, "-"))
		return bad("--json and --html can't both write to standard output");
	return 0;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	int opt, at = 0, rc = 0;

	defaults(o);
	optind = 1;
	while (!rc && (opt = getopt_long(argc, argv, XR_GEN_LETTERS "n:qh", longs, &at)) != -1)
		rc = set_option(o, opt, name_of(opt, at), optarg);
	if (!rc && optind != argc)
		rc = bad("'%s' is not an option", argv[optind]);
	if (!rc)
		rc = check(o);
	if (rc)
		bench_options_free(o);
	return rc;
}

void bench_options_free(struct bench_options *o)
{
	while (o->npass)
		free(o->pass[--o->npass]);
}
