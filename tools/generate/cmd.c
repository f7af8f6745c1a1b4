/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `generate` command: options to struct xr_gen_options, the summary as one line of JSON. */
#include "cli/command.h"
#include "generate/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct generate_options {
	struct xr_gen_options o;
	const char *file;
	bool quiet;
};

static int run(int argc, char **argv);

static const char *const layers[] = {
	[XR_EMIT_BARE] = "libxc",
	[XR_EMIT_LIBXL] = "libxl",
	[XR_EMIT_XL] = "xl",
	[XR_EMIT_LIBVIRT] = "libvirt",
	NULL,
};

#define AT(field) offsetof(struct generate_options, field)
static const struct xr_option options[] = {
	XR_HEADING("The guest"),
	XR_GEN_ROWS(AT(o), "256M", "0"),
	XR_OPTION(FLAG, "types-only", 0, NULL, AT(o.types_only), NULL,
		  "no contents: the pages are only allocated"),
	XR_OPTION(FLAG, "compact", 0, NULL, AT(o.compact), NULL,
		  "special pages directly above memory, not just below 4G"),
	XR_HEADING("What stands around it"),
	XR_OPTION(WORD, "layer", 'l', "LAYER", AT(o.layer), "libxc",
		  "in front: libxc (nothing), libxl, xl or libvirt", .words = layers),
	XR_OPTION(U64, "trailing", 0, "SIZE", AT(o.trailing), "0", "bytes behind the end",
		  .max = UINT64_MAX),
	XR_HEADING("What is told"),
	XR_OPTION(FLAG, "quiet", 'q', NULL, AT(quiet), NULL, "don't print the summary"),
	XR_OPTIONS_END,
};

const struct xr_command xr_command_generate = {
	.name = "generate",
	.run = run,
	.args = "FILE|-",
	.what = "write a synthetic stream",
	.about =
		"Write a synthetic migration stream of an HVM guest to FILE, or - for standard output. The\n"
		"same options give the same stream. The summary is one line of JSON on standard output\n"
		"(standard error with FILE -).",
	.options = options,
	.operands = "file",
};

static int parse(struct generate_options *c, int argc, char **argv)
{
	const char *wrong;
	int rc;

	xr_gen_options_default(&c->o);
	rc = xr_options_parse_one(&xr_command_generate, c, argc, argv,
				  "name one FILE to write, or -", &c->file);
	if (rc)
		return rc;
	wrong = xr_gen_check(&c->o);
	return wrong ? xr_usage(&xr_command_generate, "%s", wrong) + 1 : 0;
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

static int write_stream(const struct generate_options *c, struct xr_gen_summary *sum)
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

static int run(int argc, char **argv)
{
	struct generate_options c = { 0 };
	struct xr_gen_summary sum = { 0 };
	int rc = parse(&c, argc, argv);

	if (rc)
		return rc - 1;
	rc = write_stream(&c, &sum);
	if (rc) {
		fprintf(stderr, "xenrestore generate: cannot write %s: %s\n", c.file,
			strerror(-rc));
		return XR_EXIT_HOST;
	}
	if (!c.quiet)
		print_summary(strcmp(c.file, "-") ? stdout : stderr, &sum);
	return XR_EXIT_OK;
}
