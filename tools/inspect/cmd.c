/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore inspect`. */
#include "cli/command.h"
#include "cli/engine_options.h"
#include "cli/files.h"
#include "inspect/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct inspect_options {
	const char *path, *map;
	enum xr_policy policy;
	unsigned int max_order;
	bool contents, json, records, quiet;
};

static int run(int argc, char **argv);

#define AT(field) offsetof(struct inspect_options, field)
static const struct xr_option options[] = {
	XR_OPTION(FLAG, "records", 'r', NULL, AT(records), NULL, "list every record"),
	XR_OPTION(FLAG, "contents", 'c', NULL, AT(contents), NULL,
		  "read page contents, too, and count zero pages"),
	XR_OPTION(FILE, "map", 'm', "FILE", AT(map), NULL,
		  "draw the guest's memory (- is standard output), as SVG"),
	XR_OPTION(FLAG, "json", 0, NULL, AT(json), NULL, "print the findings as JSON"),
	XR_POLICY_OPTION(AT(policy), "plan for this policy: exact, speculative or 4k"),
	XR_MAX_ORDER_OPTION(AT(max_order),
			    "plan with this largest extent: 0 (4K), 9 (2M) or 18 (1G)"),
	XR_OPTION(FLAG, "quiet", 'q', NULL, AT(quiet), NULL, "print nothing: the exit code tells"),
	XR_OPTIONS_END,
};

const struct xr_command xr_command_inspect = {
	.name = "inspect",
	.run = run,
	.args = "FILE|-",
	.what = "tell what is in a stream, without restoring it",
	.about =
		"Tell what is in a save file or migration stream, and what is wrong with it: layers, guest,\n"
		"records, passes, pages, the page sizes that a restore would use, and why not larger ones.\n"
		"Of a file only headers and page lists are read, so that the size of the guest hardly\n"
		"matters; a pipe (- is standard input) is read to its end. Exit code 1: the stream is bad,\n"
		"for a restore or for Xen's own verifier.",
	.options = options,
	.operands = "file",
};

/* Records are told while they pass, so that their number costs no memory. */
struct listing {
	bool json, any;
};

static void list_record(const struct inspect_record *r, void *opaque)
{
	struct listing *l = opaque;

	if (!l->json) {
		if (!l->any)
			printf("%14s %8s  %-24s %10s\n", "at byte", "record", "type", "length");
		inspect_record_text(stdout, r);
	} else {
		printf("%s\n  ", l->any ? "," : "");
		inspect_record_json(stdout, r);
	}
	l->any = true;
}

static int check(const struct inspect_options *o)
{
	if (o->map && !strcmp(o->map, "-") && (o->json || o->records))
		return xr_usage(
			&xr_command_inspect,
			"--map - leaves no room on standard output for --json or --records");
	return 0;
}

static int tell_json(const struct inspect *in, const char *path, bool records)
{
	int rc;

	if (records)
		fputs("\n ],", stdout);
	rc = inspect_json(stdout, in, path);
	fputs("\n}\n", stdout);
	return rc;
}

static int draw(const struct inspect *in, const struct inspect_options *o)
{
	const bool is_stdout = !strcmp(o->map, "-");
	FILE *f = is_stdout ? stdout : fopen(o->map, "we");
	int rc = f ? inspect_svg(f, in, o->path) : -1;

	if (f && (is_stdout ? fflush(f) : fclose(f)))
		rc = -1;
	if (!rc)
		return 0;
	fprintf(stderr, "xenrestore inspect: cannot write %s: %s\n", o->map, strerror(errno));
	return XR_EXIT_HOST;
}

static int tell(const struct inspect *in, const struct inspect_options *o)
{
	const bool taken = o->quiet || (o->map && !strcmp(o->map, "-"));
	int rc = 0;

	if (o->json)
		rc = tell_json(in, o->path, o->records);
	else if (!taken)
		inspect_text(stdout, in, o->path);
	if (!rc && o->map)
		rc = draw(in, o);
	if (rc > 0)
		return rc;
	rc = xr_printed(&xr_command_inspect, "the findings", rc);
	if (rc)
		return rc;
	return in->worst > INSPECT_NOTE ? XR_EXIT_STREAM : XR_EXIT_OK;
}

static int inspect(struct inspect *in, const struct inspect_options *o)
{
	struct listing listing = { .json = o->json };
	struct xr_error err;

	in->policy = o->policy;
	in->max_order = o->max_order;
	in->contents = o->contents;
	in->map = o->map != NULL;
	if (o->records) {
		in->on_record = list_record;
		in->opaque = &listing;
	}
	if (o->json)
		fputs(o->records ? "{\n \"records\": [" : "{\n", stdout);
	if (!inspect_run(in, &err))
		return tell(in, o);
	fprintf(stderr, "xenrestore inspect: %s\n", err.text);
	return XR_EXIT_HOST;
}

static int run(int argc, char **argv)
{
	struct inspect_options o = { .max_order = 9 };
	struct inspect *in;
	int rc;

	rc = xr_options_parse_one(&xr_command_inspect, &o, argc, argv, "name one stream: FILE or -",
				  &o.path);
	if (rc)
		return rc - 1;
	rc = check(&o);
	if (rc)
		return rc;
	in = calloc(1, sizeof(*in));
	if (!in)
		return XR_EXIT_HOST;
	rc = xr_source_open(&xr_command_inspect, o.path, &in->fd);
	if (!rc) {
		rc = inspect(in, &o);
		xr_source_close(in->fd);
	}
	inspect_free(in);
	free(in);
	return rc;
}
