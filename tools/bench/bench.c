/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore bench`. */
#include "bench/bench.h"
#include "bench/child.h"
#include "cli/command.h"

#include "host/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* As of the program's other commands: host failed, cancelled. */
#define PRELOAD_NAME "libxr-model-preload.so"
#define STOCK_NAME "xr-stock-restore"

/* Where the helpers lie as seen from the program: beside it, in a build tree, installed. */
static const char *const places[] = {
	"",	  "preload/", "../preload/", "../tools/preload/", "tools/preload/", XR_LIBEXECDIR,
	XR_LIBDIR
};

static char *look_for(const char *given, const char *name)
{
	char self[4096], *path = NULL;
	ssize_t n;

	if (given)
		return access(given, R_OK) ? NULL : realpath(given, NULL);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return NULL;
	self[n] = '\0';
	*(strrchr(self, '/') + 1) = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (asprintf(&path, "%s%s%s", self, places[i], name) < 0)
			return NULL;
		if (!access(path, R_OK))
			return path;
		free(path);
		path = NULL;
	}
	return NULL;
}

static int find_programs(struct bench *b)
{
	const struct bench_options *o = &b->opt;

	b->program = realpath(o->program ? o->program : "/proc/self/exe", NULL);
	b->preload = look_for(o->preload, PRELOAD_NAME);
	b->stock = look_for(o->stock, STOCK_NAME);
	if (!b->program || (o->preload && !b->preload) || (o->stock && !b->stock)) {
		fprintf(stderr, "xenrestore bench: cannot read %s\n",
			!b->program		    ? o->program
			: o->preload && !b->preload ? o->preload
						    : o->stock);
		return -ENOENT;
	}
	if (!b->preload)
		bench_warn(b,
			   "%s was not found: ours runs on the model in its own process, the "
			   "stock restorer not at all",
			   PRELOAD_NAME);
	else if (!b->stock && o->contenders & 1u << BENCH_STOCK)
		bench_warn(b, "%s was not found: the stock restorer is not measured", STOCK_NAME);
	return 0;
}

static bool model_has_huge(void)
{
	struct xr_model_settings set;
	struct xr_model *m = NULL;
	bool huge = false;

	xr_model_settings_default(&set);
	set.max_pages = 1u << 20;
	if (!xr_model_create(&m, &set)) {
		huge = xr_model_has_huge_pages(m);
		xr_model_destroy(&m);
	}
	return huge;
}

static void judge_machine(struct bench *b)
{
	struct bench_machine *m = &b->machine;

	m->model_huge = model_has_huge();
	if (m->load > 0.25 * m->cores)
		bench_warn(b,
			   "load average %.2f on %u cores: others use the machine, don't trust "
			   "these figures",
			   m->load, m->cores);
	if (!m->model_huge)
		bench_warn(b, "the model host gets no huge pages here (root and a kernel with huge "
			      "pages in tmpfs are needed): large extents show no gain");
	if (m->cores < 2)
		bench_warn(b, "one core: nothing can run at the same time");
	if (!strcmp(m->thp, "never"))
		bench_warn(b, "transparent huge pages are off: the limit is one of small pages");
}

/* Whatever the machine had to give at the start, it may have run out of since. */
static void judge_pages(struct bench *b)
{
	for (unsigned int i = 0; b->machine.model_huge && i < b->ncells; i++) {
		const struct bench_cell *c = &b->cells[i];
		const unsigned int small = bench_small_runs(c);

		if (small)
			bench_warn(b,
				   "%s, %s, %u: %u of %u runs got small pages where large ones "
				   "were due: the memory is fragmented, and these runs were "
				   "slower for it",
				   bench_who_names[c->who], bench_source_names[c->source],
				   c->runs[0].workers, small, c->done);
	}
}

static unsigned int runs_done(const struct bench *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < b->ncells; i++)
		n += b->cells[i].done;
	return n;
}

static int write_json(FILE *to, const json_t *j)
{
	int rc = json_dumpf(j, to, JSON_INDENT(1) | JSON_REAL_PRECISION(6));

	fputc('\n', to);
	return rc ? -EIO : 0;
}

static int tell(struct bench *b)
{
	const struct bench_options *o = &b->opt;
	const bool taken = (o->json && !strcmp(o->json, "-")) || (o->html && !strcmp(o->html, "-"));
	json_t *j;
	int rc;

	judge_pages(b);
	j = bench_json(b);
	rc = j ? 0 : -ENOMEM;
	if (!taken)
		bench_report(stdout, b);
	if (!rc)
		rc = bench_output_write(&b->json, write_json, j);
	if (!rc)
		rc = bench_output_write(&b->html, bench_html, j);
	json_decref(j);
	return rc;
}

/* What was measured before a signal came is not thrown away. */
static void tell_stopped(struct bench *b)
{
	bench_warn(b, "stopped by signal %d after %u of %u runs", bench_signalled(), runs_done(b),
		   b->ncells * b->opt.runs);
	tell(b);
}

static bool all_well(const struct bench *b)
{
	for (unsigned int i = 0; i < b->ncells; i++)
		if (*b->cells[i].error)
			return false;
	return true;
}

static int bench(struct bench *b)
{
	const time_t now = time(NULL);
	int rc;

	strftime(b->date, sizeof(b->date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	bench_machine_read(&b->machine);
	judge_machine(b);
	rc = find_programs(b);
	if (!rc)
		rc = bench_output_open(&b->json, b->opt.json);
	if (!rc)
		rc = bench_output_open(&b->html, b->opt.html);
	if (!rc)
		rc = bench_plan(b);
	if (!rc)
		rc = bench_run_all(b);
	if (rc == -ECANCELED && runs_done(b))
		tell_stopped(b);
	return rc ? rc : tell(b);
}

int bench_run_command(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return XR_EXIT_HOST;
	rc = bench_options_parse(&b->opt, argc, argv);
	if (rc) {
		free(b);
		return rc - 1;
	}
	bench_signals_catch();
	rc = bench(b);
	if (rc == -ECANCELED)
		fprintf(stderr, "\nxenrestore bench: stopped\n");
	rc = rc == -ECANCELED ? XR_EXIT_CANCELLED : rc || !all_well(b) ? XR_EXIT_HOST : XR_EXIT_OK;
	bench_signals_release();
	bench_output_abandon(&b->json);
	bench_output_abandon(&b->html);
	bench_free(b);
	free(b);
	return rc;
}
