/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include "cli/command.h"
#include "cli/engine_options.h"
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static double gib(uint64_t bytes)
{
	return (double)bytes / (1u << 30);
}

static double rate(const struct xr_result *r)
{
	return r->seconds > 0 ? gib(r->bytes) / r->seconds : 0;
}

static void times(FILE *to, const char *name, const struct xr_stage_times *t)
{
	fprintf(to, "  %-9s %9.3f s busy  %9.3f s starved  %9.3f s blocked\n", name,
		(double)t->busy / 1e9, (double)t->starved / 1e9, (double)t->blocked / 1e9);
}

void xr_report_text(FILE *to, const struct xr_report *rep)
{
	const struct xr_result *r = rep->res;

	fprintf(to, "restored  %s guest from %s (stream v%u, Xen %u.%u)\n",
		r->pv ? "PV" : "HVM/PVH", rep->source, r->stream_version, r->xen_major,
		r->xen_minor);
	fprintf(to,
		"memory    %" PRIu64 " pages (%.2f GiB): %" PRIu64 " x 1G, %" PRIu64
		" x 2M, %" PRIu64 " x 4K\n",
		r->pages_populated, gib(r->pages_populated << 12), r->extents_1g, r->extents_2m,
		r->extents_4k);
	fprintf(to,
		"stream    %" PRIu64 " records, %.2f GiB, %u pass%s, %" PRIu64
		" page contents received, %" PRIu64 " written\n",
		r->records, gib(r->bytes), r->passes, r->passes == 1 ? "" : "es", r->pages_received,
		r->pages_written);
	if (r->verify_differences)
		fprintf(to, "verify    %" PRIu64 " pages differ, from pfn %#" PRIx64 " on\n",
			r->verify_differences, r->verify_lowest_pfn);
	fprintf(to, "time      %.3f s, %.2f GiB/s\n", r->seconds, rate(r));
	fprintf(to,
		"calls     %" PRIu64 " populate, %" PRIu64 " release, %" PRIu64 " map, %" PRIu64
		" unmap, %" PRIu64 " other\n",
		r->populate_calls, r->release_calls, r->map_calls, r->unmap_calls, r->other_calls);
	fprintf(to, "how       %s, policy %s, %s, %u worker %s%s\n",
		r->indexed ? "planned from an index" : "planned as it came",
		xr_policy_words[rep->set->policy], r->uring ? "io_uring" : "plain reads",
		r->workers, xr_worker_kind_words[r->worker_kind],
		r->workers == 1			      ? ""
		: r->worker_kind == XR_WORKER_PROCESS ? "es"
						      : "s");
	fprintf(to, "stages\n");
	times(to, "stream", &r->stream);
	times(to, "populate", &r->populate);
	times(to, "copy", &r->copy);
	if (r->store_gfn != XR_NO_PFN)
		fprintf(to, "xenstore  gfn %" PRIu64 "\n", r->store_gfn);
	if (r->console_gfn != XR_NO_PFN)
		fprintf(to, "console   gfn %" PRIu64 "\n", r->console_gfn);
	if (rep->set->type != XR_STREAM_PLAIN)
		fprintf(to, "checkpts  %" PRIu64 " complete%s\n", r->checkpoints,
			r->failed_over ? ", failed over to the last" : "");
	if (r->checkpoints > 1)
		fprintf(to, "applied   in %.3f ms on average, %.3f ms at most\n",
			(double)r->apply_ns / 1e6 / (double)(r->checkpoints - 1),
			(double)r->apply_ns_longest / 1e6);
	if (rep->digest)
		fprintf(to, "sha256    %s\n", rep->digest);
	if (rep->model_without_huge)
		fprintf(to, "note      the model has no huge pages here: its times say little\n");
	if (rep->set->sandbox && !r->sandboxed)
		fprintf(to, "note      this kernel has no seccomp filters: there was no sandbox\n");
}

static json_t *gfn_json(uint64_t gfn)
{
	return gfn == XR_NO_PFN ? json_null() : json_integer((json_int_t)gfn);
}

static json_t *times_json(const struct xr_stage_times *t)
{
	return json_pack("{s:f,s:f,s:f}", "busy_seconds", (double)t->busy / 1e9, "starved_seconds",
			 (double)t->starved / 1e9, "blocked_seconds", (double)t->blocked / 1e9);
}

static json_t *calls_json(const struct xr_result *r)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "populate", (json_int_t)r->populate_calls,
			 "release", (json_int_t)r->release_calls, "map", (json_int_t)r->map_calls,
			 "unmap", (json_int_t)r->unmap_calls, "other", (json_int_t)r->other_calls);
}

static json_t *pages_json(const struct xr_result *r)
{
	json_t *lowest = r->verify_differences ? json_integer((json_int_t)r->verify_lowest_pfn)
					       : json_null();

	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I}", "populated",
			 (json_int_t)r->pages_populated, "received", (json_int_t)r->pages_received,
			 "written", (json_int_t)r->pages_written, "released",
			 (json_int_t)r->pages_released, "verify_differences",
			 (json_int_t)r->verify_differences, "verify_lowest_pfn", lowest,
			 "extents_1g", (json_int_t)r->extents_1g, "extents_2m",
			 (json_int_t)r->extents_2m, "extents_4k", (json_int_t)r->extents_4k);
}

/* A file's name may be anything but a null byte, JSON is UTF-8. */
static json_t *name_json(const char *name)
{
	json_t *j = json_string(name);
	char *plain = j ? NULL : strdup(name);

	for (char *c = plain; c && *c; c++)
		if (*c & 0x80)
			*c = '?';
	if (plain)
		j = json_string(plain);
	free(plain);
	return j;
}

int xr_report_json(FILE *to, const struct xr_report *rep)
{
	const struct xr_result *r = rep->res;
	json_t *j = json_pack(
		"{s:o,s:s,s:I,s:s,s:I,s:I,s:I,s:f,s:f,s:o,s:o,s:o,s:o,s:{s:o,s:o,s:o},s:s,s:b,s:b,s:I,s:s,s:b,s:b,s:I,s:b,s:f,s:f}",
		"source", name_json(rep->source), "guest", r->pv ? "pv" : "hvm", "stream_version",
		(json_int_t)r->stream_version, "host", xr_host_words[rep->set->host], "records",
		(json_int_t)r->records, "bytes", (json_int_t)r->bytes, "passes",
		(json_int_t)r->passes, "seconds", r->seconds, "gib_per_second", rate(r), "pages",
		pages_json(r), "calls", calls_json(r), "store_gfn", gfn_json(r->store_gfn),
		"console_gfn", gfn_json(r->console_gfn), "stages", "stream", times_json(&r->stream),
		"populate", times_json(&r->populate), "copy", times_json(&r->copy), "policy",
		xr_policy_words[rep->set->policy], "indexed", r->indexed, "io_uring", r->uring,
		"workers", (json_int_t)r->workers, "worker_kind",
		xr_worker_kind_words[r->worker_kind], "model_without_huge", rep->model_without_huge,
		"sandboxed", r->sandboxed, "checkpoints", (json_int_t)r->checkpoints, "failed_over",
		r->failed_over, "apply_seconds", (double)r->apply_ns / 1e9, "apply_seconds_longest",
		(double)r->apply_ns_longest / 1e9);
	int rc = -1;

	if (j && (!rep->digest || !json_object_set_new(j, "sha256", json_string(rep->digest))))
		rc = json_dumpf(j, to, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	fputc('\n', to);
	json_decref(j);
	return rc;
}

void xr_report_error(FILE *to, const struct xr_error *e)
{
	const char *next = xr_error_next_step(e);
	char where[XR_PLACE_TEXT];

	xr_error_place(e, where);
	fprintf(to, "xenrestore: %s: %s%s", xr_stage_name(e->stage), e->text, where);
	if (next)
		fprintf(to, " (%s)", next);
	fputc('\n', to);
}
