/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `generate` command: options to struct xr_gen_options, the summary as one line of JSON. */
#include "generate/options.h"
#include "generate/size.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_head[] =
	"Usage: xenrestore generate [OPTION]... FILE\n"
	"Write a synthetic migration stream of an HVM guest to FILE, or - for standard output.\n"
	"The same options give the same stream.\n\n";

static const char usage_tail[] =
	"      --types-only       no contents: the pages are only allocated\n"
	"      --compact          special pages directly above memory, not just below 4G\n"
	"  -l, --layer LAYER      what stands in front: libxc (nothing), libxl, xl, libvirt (libxc)\n"
	"      --trailing SIZE    bytes behind the end (0)\n"
	"  -q, --quiet            don't print the summary\n"
	"  -h, --help             print this\n"
	"\n"
	"The summary is one line of JSON on standard output (standard error with FILE -).\n";

enum { OPT_TYPES = 256, OPT_COMPACT, OPT_TRAILING };

static const struct option long_options[] = {
	XR_GEN_OPTIONS(XR_GEN_LONG){ "types-only", no_argument, NULL, OPT_TYPES },
	{ "compact", no_argument, NULL, OPT_COMPACT },
	{ "layer", required_argument, NULL, 'l' },
	{ "trailing", required_argument, NULL, OPT_TRAILING },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct command {
	struct xr_gen_options o;
	const char *file;
	bool quiet, help;
};

static bool parse_size(const char *text, uint64_t *out)
{
	const char *end;

	return xr_take_size(text, &end, out) && !*end;
}

static bool parse_layer(const char *text, enum xr_emit_layer *out)
{
	static const char *const names[] = {
		[XR_EMIT_BARE] = "libxc",
		[XR_EMIT_LIBXL] = "libxl",
		[XR_EMIT_XL] = "xl",
		[XR_EMIT_LIBVIRT] = "libvirt",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum xr_emit_layer)i;
			return true;
		}
	}
	return false;
}

static bool take_option(struct command *c, int option, const char *arg)
{
	struct xr_gen_options *o = &c->o;

	switch (option) {
	case OPT_TYPES:
		return o->types_only = true;
	case OPT_COMPACT:
		return o->compact = true;
	case 'l':
		return parse_layer(arg, &o->layer);
	case OPT_TRAILING:
		return parse_size(arg, &o->trailing);
	case 'q':
		return c->quiet = true;
	case 'h':
		return c->help = true;
	default:
		return xr_gen_option(o, option, arg) > 0;
	}
}

static int parse(struct command *c, int argc, char **argv)
{
	const char *wrong;
	int option;

	xr_gen_options_default(&c->o);
	optind = 1;
	while ((option = getopt_long(argc, argv, XR_GEN_LETTERS "l:qh", long_options, NULL)) !=
	       -1) {
		if (take_option(c, option, optarg))
			continue;
		if (option != '?')
			fprintf(stderr, "generate: '%s' is not a valid value here\n", optarg);
		return -EINVAL;
	}
	if (c->help)
		return 0;
	if (optind + 1 != argc) {
		fprintf(stderr, "generate: name one FILE to write, or -\n");
		return -EINVAL;
	}
	c->file = argv[optind];
	wrong = xr_gen_check(&c->o);
	if (wrong)
		fprintf(stderr, "generate: %s\n", wrong);
	return wrong ? -EINVAL : 0;
}

static void print_summary(FILE *to, const struct xr_gen_summary *s)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "bytes", s->bytes },
		{ "libxc_offset", s->libxc_offset },
		{ "end_offset", s->end_offset },
		{ "records", s->records },
		{ "pages_with_data", s->pages },
		{ "populated", s->populated },
		{ "whole_2m_regions", s->whole_2m },
		{ "highest_pfn", s->highest_pfn },
		{ "store_gfn", s->store_gfn },
		{ "console_gfn", s->console_gfn },
	};
	const char *separator = "{";

	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		fprintf(to, "%s\"%s\": %llu", separator, fields[i].name,
			(unsigned long long)fields[i].value);
		separator = ", ";
	}
	fprintf(to, "}\n");
}

static int write_stream(const struct command *c, struct xr_gen_summary *sum)
{
	bool is_stdout = !strcmp(c->file, "-");
	int fd, rc;

	fd = is_stdout ? STDOUT_FILENO
		       : open(c->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	rc = xr_generate(fd, &c->o, sum);
	if (!is_stdout && close(fd) && !rc)
		rc = -errno;
	return rc;
}

static void help(void)
{
	struct xr_gen_options o;

	xr_gen_options_default(&o);
	fputs(usage_head, stdout);
	xr_gen_options_help(stdout, &o);
	fputs(usage_tail, stdout);
}

int xr_cmd_generate(int argc, char **argv)
{
	struct command c = { 0 };
	struct xr_gen_summary sum = { 0 };
	int rc;

	if (parse(&c, argc, argv)) {
		fprintf(stderr, "Try 'xenrestore generate --help'.\n");
		return 2;
	}
	if (c.help) {
		help();
		return 0;
	}
	rc = write_stream(&c, &sum);
	if (rc) {
		fprintf(stderr, "generate: can't write %s: %s\n", c.file, strerror(-rc));
		return 1;
	}
	if (!c.quiet)
		print_summary(strcmp(c.file, "-") ? stdout : stderr, &sum);
	return 0;
}
