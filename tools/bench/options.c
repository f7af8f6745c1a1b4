/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/options.h"

#include "bench/bench.h"
#include "cli/command.h"
#include "cli/engine_options.h"
#include "cli/size.h"
#include "generate/options.h"

#include <stdlib.h>
#include <string.h>

/* Numbers from min to max with commas between, into a struct bench_list. */
static int take_list(void *options, const struct xr_option *o, const char *arg, const char **why)
{
	static char text[128];
	struct bench_list *out = (void *)((char *)options + o->at);
	const char *p = arg;

	for (out->n = 0; out->n < BENCH_LIST_MAX; p++) {
		uint64_t *v = &out->v[out->n++];

		if (!xr_take_size(p, &p, v) || *v < o->min || *v > o->max)
			break;
		if (!*p)
			return 0;
		if (*p != ',')
			break;
	}
	snprintf(text, sizeof(text), "takes up to %u numbers from %llu to %llu with commas between",
		 BENCH_LIST_MAX, (unsigned long long)o->min, (unsigned long long)o->max);
	*why = text;
	return 1;
}

/* What is for ours, it judges itself, in its first run. */
static int pass_on(void *options, const struct xr_option *o, const char *arg, const char **why)
{
	struct bench_options *b = options;

	if (b->npass == BENCH_PASS_MAX) {
		*why = "is one option too many for ours";
		return 1;
	}
	if (asprintf(&b->pass[b->npass], "--%s=%s", o->name, arg) < 0) {
		b->pass[b->npass] = NULL;
		*why = "finds no memory";
		return 1;
	}
	b->npass++;
	return 0;
}

#define AT(field) offsetof(struct bench_options, field)
#define LIST(name, at, standard, help, ...)                                                        \
	XR_OPTION(CALL, name, 0, "LIST", at, standard, help, .take = take_list, ##__VA_ARGS__)
#define PASS(name, arg, words_, help)                                                              \
	XR_OPTION(CALL, name, 0, arg, 0, NULL, help, .take = pass_on, .words = (words_))

static const struct xr_option options[] = {
	XR_HEADING("The stream"),
	XR_OPTION(FILE, "stream", 0, "FILE", AT(stream), NULL,
		  "a saved guest; else one is generated:"),
	XR_GEN_ROWS(AT(gen), "1G", "1"),
	XR_OPTION(FLAG, "list-to-4g", 0, NULL, AT(list_to_4g), NULL,
		  "small guests list all pfns up to 4G, as real savers do"),
	XR_HEADING("What is run"),
	XR_OPTION(INT, "runs", 'n', "N", AT(runs), "5", "of each", .min = 1,
		  .max = BENCH_STATS_MAX),
	XR_OPTION(WORDS, "sources", 0, "LIST", AT(sources), "all", "of file,pipe,unix,tcp",
		  .words = bench_source_names),
	XR_OPTION(WORDS, "contenders", 0, "LIST", AT(contenders), "all",
		  "of ours,stock,mapped,limit", .words = bench_who_names),
	LIST("workers", AT(workers), NULL, "run ours also with so many copy workers, e.g. 1,2,4",
	     .min = 1, .max = 64),
	XR_OPTION(WORDS, "watched", 0, "LIST", AT(watched), NULL,
		  "run ours also with each of receipt,report,trace", .words = bench_watch_names),
	LIST("scale", AT(scale), NULL, "also guests of these sizes, e.g. 256M,1G,4G",
	     .min = 1 << 20, .max = 1ull << 40),
	LIST("scale-types", AT(scale_types), NULL, "also guests without contents, e.g. 64G,1T,12T",
	     .min = 1 << 20, .max = 1ull << 46),
	XR_OPTION(INT, "pipe-size", 0, "SIZE", AT(pipe_bytes), "1M",
		  "of the pipe, for all; 0: the kernel's 64K", .max = 1u << 30),
	XR_OPTION(INT, "timeout", 0, "SEC", AT(timeout), "600", "for one run", .min = 1,
		  .max = 1000000),
	XR_OPTION(FLAG, "no-timeline", 0, NULL, AT(no_timeline), NULL, "leave out the traced runs"),
	XR_HEADING("Handed to ours"),
	PASS("policy", "P", xr_policy_words, "exact, speculative or 4k"),
	PASS("max-order", "N", xr_max_order_words, "largest extent: 0, 9 or 18"),
	PASS("ahead", "MIB", NULL, "how far to allocate ahead of a pipe"),
	PASS("worker-kind", "K", xr_worker_kind_words, "auto, process or thread"),
	PASS("io", "I", xr_io_words, "auto, uring or plain"),
	XR_HEADING("What comes out"),
	XR_OPTION(FILE, "json", 0, "FILE", AT(json), NULL, "all figures (- is standard output)"),
	XR_OPTION(FILE, "html", 0, "FILE", AT(html), NULL, "one page with plots"),
	XR_OPTION(FLAG, "quiet", 'q', NULL, AT(quiet), NULL, "no progress"),
	XR_HEADING("Where things are"),
	XR_OPTION(FILE, "program", 0, "FILE", AT(program), "this one", "our program"),
	XR_OPTION(FILE, "preload", 0, "FILE", AT(preload), "looked for", "libxr-model-preload.so"),
	XR_OPTION(FILE, "stock-runner", 0, "FILE", AT(stock), "looked for", "xr-stock-restore"),
	XR_OPTIONS_END,
};

const struct xr_command xr_command_bench = {
	.name = "bench",
	.run = bench_run_command,
	.args = "",
	.what = "measure restores, ours beside others",
	.about =
		"Measure restores: ours, the installed libxenguest's and two bounds of the machine, in turn,\n"
		"on the same stream and the same model of Xen.\n"
		"\n"
		"Streams are kept in unlinked files in $TMPDIR (/tmp): page cache of a disk file, as a saved\n"
		"guest is. /dev/shm is refused: its memory can't be evicted, is swapped rather than dropped,\n"
		"and is read by another path than a file's.",
	.options = options,
};

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

static int check(const struct bench_options *o)
{
	const struct xr_command *c = &xr_command_bench;
	const char *wrong = o->stream ? NULL : xr_gen_check(&o->gen);

	if (wrong)
		return xr_usage(c, "%s", wrong);
	if (o->gen.size_bytes < 1 << 20)
		return xr_usage(c, "a guest to be measured has at least 1M");
	for (unsigned int i = 0; i < o->scale.n + o->scale_types.n; i++)
		if ((i < o->scale.n ? o->scale.v[i] : o->scale_types.v[i - o->scale.n]) % 4096)
			return xr_usage(c, "sizes are multiples of 4K");
	if (o->json && o->html && !strcmp(o->json, "-") && !strcmp(o->html, "-"))
		return xr_usage(c, "--json and --html can't both write to standard output");
	return 0;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	int rest, rc;

	defaults(o);
	rc = xr_options_parse(&xr_command_bench, o, argc, argv, &rest);
	if (!rc && rest != argc)
		rc = xr_usage(&xr_command_bench, "'%s' is not an option", argv[rest]) + 1;
	if (!rc && check(o))
		rc = XR_EXIT_USAGE + 1;
	if (rc)
		bench_options_free(o);
	return rc;
}

void bench_options_free(struct bench_options *o)
{
	while (o->npass)
		free(o->pass[--o->npass]);
}
