/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A receipt as JSON, a line for each region: written as it is read, whatever its size. */
#include "receipt/receipt.h"

#include "base/digests.h"
#include "cli/engine_options.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

void receipt_stream_of(struct receipt_stream *s, const struct xr_result *res)
{
	*s = (struct receipt_stream){
		.pv = res->pv,
		.bytes = res->bytes,
		.records = res->records,
		.control = res->control_digest,
		.contents = res->contents_digest,
		.store_gfn = res->store_gfn,
		.console_gfn = res->console_gfn,
	};
}

/* JSON is UTF-8, a file's name may be anything. */
static void put_name(FILE *to, const char *name)
{
	fputc('"', to);
	for (; *name; name++) {
		const unsigned char c = (unsigned char)*name;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < ' ' || c > '~')
			fputc('?', to);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static void put_time(FILE *to, const char *key, double at)
{
	const time_t t = (time_t)at;
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(to, " \"%s\": \"%s\",\n", key, text);
}

static void put_gfn(FILE *to, const char *key, uint64_t gfn)
{
	if (gfn != XR_NO_PFN)
		fprintf(to, ", \"%s\": \"%#" PRIx64 "\"", key, gfn);
}

static void put_head(FILE *to, const struct receipt_context *c)
{
	const struct xr_result *res = c->res;

	fprintf(to, "{\n \"receipt\": %u,\n \"program\": \"xenrestore %s\",\n", RECEIPT_FORMAT,
		xr_version());
	put_time(to, "began", c->ended - res->seconds);
	put_time(to, "ended", c->ended);
	fprintf(to,
		" \"digests\": {\"kind\": \"xxh3-64\", \"contents\": \"%016" PRIx64
		"\", \"control\": \"%016" PRIx64 "\"},\n",
		res->contents_digest, res->control_digest);
	fputs(" \"stream\": {\"source\": ", to);
	put_name(to, c->source);
	fprintf(to,
		", \"guest\": \"%s\", \"version\": %u, \"xen\": \"%u.%u\", \"bytes\": %" PRIu64
		", \"records\": %" PRIu64 ", \"passes\": %u, \"pages\": %" PRIu64 "},\n",
		res->pv ? "pv" : "hvm", res->stream_version, res->xen_major, res->xen_minor,
		res->bytes, res->records, res->passes, res->pages_received);
	fprintf(to, " \"restore\": {\"host\": \"%s\"", xr_host_words[c->set->host]);
	if (c->set->host == XR_HOST_XEN)
		fprintf(to, ", \"domid\": %u", c->set->domid);
	put_gfn(to, "store", res->pv ? XR_NO_PFN : res->store_gfn);
	put_gfn(to, "console", res->pv ? XR_NO_PFN : res->console_gfn);
	fprintf(to,
		", \"seconds\": %.6f, \"policy\": \"%s\", \"workers\": %u, \"worker_kind\": \"%s\""
		", \"pages_populated\": %" PRIu64 ", \"pages_written\": %" PRIu64 "},\n",
		res->seconds, xr_policy_words[c->set->policy], res->workers,
		xr_worker_kind_words[res->worker_kind], res->pages_populated, res->pages_written);
}

static bool is_full(const uint64_t bits[8])
{
	for (unsigned int i = 0; i < 8; i++)
		if (~bits[i])
			return false;
	return true;
}

/* The lowest pfn comes last, as in any number. */
static void put_bits(FILE *to, const uint64_t bits[8])
{
	fputs(", \"", to);
	for (unsigned int i = 8; i; i--)
		fprintf(to, "%016" PRIx64, bits[i - 1]);
	fputc('"', to);
}

static void put_region(FILE *to, const struct xr_region *r)
{
	static const uint64_t none[8];
	const bool own = memcmp(r->own, none, sizeof(none)) != 0;

	fprintf(to, "  [\"%#" PRIx64 "\", \"%016" PRIx64 "\"", r->first, r->digest);
	if (own || !is_full(r->written))
		put_bits(to, r->written);
	if (own)
		put_bits(to, r->own);
	fputc(']', to);
}

void receipt_write(FILE *to, const struct receipt_context *c, const struct xr_restore *r)
{
	struct xr_region region = { 0 };
	uint64_t from = 0;
	bool any = false;

	put_head(to, c);
	fputs(" \"regions\": [", to);
	for (; !xr_next_region(r, from, &region); from = region.first + XR_REGION_PAGES) {
		fputs(any ? ",\n" : "\n", to);
		any = true;
		put_region(to, &region);
	}
	fputs("\n ]\n}\n", to);
}
