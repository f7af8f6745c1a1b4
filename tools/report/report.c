/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/report.h"

#include "cli/engine_options.h"
#include "page/page.h"
#include "place.h"
#include "report/timeline.h"

#include <errno.h>
#include <string.h>
#include <time.h>

extern const char report_script[]; /* page.js */

/* Of the control loop's time: what it waited for. Of the reader's: whether the source kept it
 * waiting. */
const char *run_report_limit(const struct xr_result *res)
{
	const struct xr_stage_times *p = &res->populate, *s = &res->stream;

	if (p->starved > p->busy && p->starved > p->blocked)
		return s->starved > s->busy ? "source" : "stream";
	return p->blocked > p->busy ? "copy" : "populate";
}

static const char *advice_about_pages(const struct run_report *r)
{
	const struct xr_result *res = r->res;

	if (r->set->policy == XR_POLICY_4K)
		return "The policy is 4k: with exact the guest takes a hundredth of the calls.";
	if (res->extents_4k > res->pages_populated / 2)
		return "Most of the guest lies in 4K pages: xenrestore inspect tells which regions of the "
		       "stream can't be large, and the host may be short of memory in large pieces.";
	return "Xen takes its time to hand out memory: free some on the host in large pieces, so that it "
	       "need not look for it.";
}

const char *run_report_advice(const struct run_report *r)
{
	const struct xr_result *res = r->res;
	const char *limit = run_report_limit(res);

	if (!strcmp(limit, "source"))
		return "The stream came slower than it was restored: look at the disk, the network, or "
		       "whoever writes into the pipe.";
	if (!strcmp(limit, "stream"))
		return res->uring
			       ? "Reading takes the time: from a regular file on a fast disk the workers "
				 "read by themselves, which a pipe does not allow."
			       : "Reading takes the time, by plain calls: io_uring is faster where the "
				 "kernel allows it.";
	if (!strcmp(limit, "populate"))
		return advice_about_pages(r);
	if (res->worker_kind == XR_WORKER_THREAD)
		return "Copying takes the time. The workers are threads, which wait for each other's mappings: "
		       "processes don't, and --workers gives more of them.";
	return "Copying takes the time: give it more workers (--workers) if there are idle cores, else it is "
	       "what the memory of this machine allows.";
}

static json_t *times_json(const struct xr_stage_times *t)
{
	return json_pack("{s:f,s:f,s:f}", "busy", (double)t->busy / 1e9, "starved",
			 (double)t->starved / 1e9, "blocked", (double)t->blocked / 1e9);
}

static json_t *date_json(double at)
{
	const time_t t = (time_t)at;
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	return json_string(text);
}

static json_t *text_json(const char *text)
{
	json_t *j = json_string(text); /* NULL: it is not UTF-8 */

	return j ? j : json_string("(a name that is not UTF-8)");
}

static json_t *guest_json(const struct xr_result *res)
{
	return json_pack("{s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "kind",
			 res->pv ? "PV" : "HVM or PVH", "version", (int)res->stream_version,
			 "populated", (json_int_t)res->pages_populated, "received",
			 (json_int_t)res->pages_received, "written", (json_int_t)res->pages_written,
			 "released", (json_int_t)res->pages_released, "1G",
			 (json_int_t)res->extents_1g, "2M", (json_int_t)res->extents_2m, "4K",
			 (json_int_t)res->extents_4k);
}

static json_t *how_json(const struct xr_settings *set, const struct xr_result *res)
{
	return json_pack("{s:s,s:s,s:i,s:s,s:b,s:b,s:I,s:I,s:I,s:i}", "host",
			 xr_host_words[set->host], "policy", xr_policy_words[set->policy],
			 "workers", (int)res->workers, "worker_kind",
			 xr_worker_kind_words[res->worker_kind], "uring", (int)res->uring,
			 "indexed", (int)res->indexed, "bytes", (json_int_t)res->bytes, "records",
			 (json_int_t)res->records, "other_calls", (json_int_t)res->other_calls,
			 "passes", (int)res->passes);
}

static json_t *error_json(const struct xr_error *e)
{
	const char *next = xr_error_next_step(e);
	char where[XR_PLACE_TEXT];

	xr_error_place(e, where);
	return json_pack("{s:s,s:o,s:s,s:s?}", "stage", xr_stage_name(e->stage), "text",
			 text_json(e->text), "where", where, "next", next);
}

json_t *run_report_json(const struct run_report *r)
{
	static const struct xr_result nothing;
	const struct xr_result *res = r->res ? r->res : &nothing;
	json_t *j = json_pack(
		"{s:s,s:o,s:o,s:f,s:s,s:s,s:o,s:o,s:{s:o,s:o,s:o},s:o,s:o,s:o}", "version",
		xr_version(), "date", date_json(r->ended), "source", text_json(r->source),
		"seconds", res->seconds, "limit", run_report_limit(res), "advice",
		r->res ? run_report_advice(r) : "", "guest", guest_json(res), "how",
		how_json(r->set, res), "stages", "stream", times_json(&res->stream), "populate",
		times_json(&res->populate), "copy", times_json(&res->copy), "timeline",
		timeline_json(res->seconds), "passes", passes_json(), "calls", calls_json());

	if (j && r->err)
		json_object_set_new(j, "error", error_json(r->err));
	return j;
}

int run_report_write(FILE *to, const struct run_report *r)
{
	json_t *j = run_report_json(r);
	int rc = j ? xr_page_write(to, "xenrestore restore", report_script, j) : -ENOMEM;

	json_decref(j);
	return rc;
}
