/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verdict, for people and for programs; what was not compared is said in either. */
#include "receipt/tell.h"

#include "base/digests.h"

#include <inttypes.h>

#define OWN_SHOWN 6u /* of pages left out, in the text */

static const char *what_of(const struct receipt_stream *s, uint64_t pfn)
{
	if (s->pv)
		return "start info or p2m";
	if (pfn == s->store_gfn)
		return "xenstore ring";
	return pfn == s->console_gfn ? "console ring" : "ring of the device model";
}

/* The next pfn from there on that the restore made itself. */
static bool next_own(const struct receipt *r, size_t *region, unsigned int *at, uint64_t *pfn)
{
	for (; *region < r->n; ++*region, *at = 0) {
		const struct xr_region *g = &r->region[*region];

		for (; *at < XR_REGION_PAGES; ++*at)
			if (g->own[*at / 64] >> (*at % 64) & 1) {
				*pfn = g->first + (*at)++;
				return true;
			}
	}
	return false;
}

static uint64_t pages_of(const struct receipt *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		for (unsigned int k = 0; k < 8; k++)
			n += (unsigned int)__builtin_popcountll(r->region[i].written[k]);
	return n;
}

static void tell_own(FILE *to, const struct receipt *r)
{
	unsigned int at = 0;
	uint64_t n = 0, pfn;
	size_t region = 0;

	while (next_own(r, &region, &at, &pfn)) {
		if (n++ < OWN_SHOWN)
			fprintf(to,
				"left out  pfn %#" PRIx64 ": %s, which a restore makes itself\n",
				pfn, what_of(&r->stream, pfn));
	}
	if (n > OWN_SHOWN)
		fprintf(to, "left out  %" PRIu64 " more like these\n", n - OWN_SHOWN);
}

/* What a verdict about a domain says nothing of. */
static const char *const unseen[] = {
	"frames outside of the receipt",
	"frames without contents",
	"vcpus",
	"device state",
};

#define UNSEEN (sizeof(unseen) / sizeof(unseen[0]))

static void tell_unseen(FILE *to)
{
	fputs("not seen  ", to);
	for (size_t i = 0; i < UNSEEN; i++)
		fprintf(to, "%s%s", i ? ", " : "", unseen[i]);
	fputs(": nothing is told of them\n", to);
}

void receipt_tell_text(FILE *to, const struct receipt_verdict *v)
{
	const struct receipt_difference *d = v->found;

	fprintf(to, "verdict   the %s %s\n",
		v->domain ? "memory that was compared of the domain" : "stream",
		receipt_is_met(d) ? "is as the receipt says" : "differs from the receipt");
	fprintf(to, "compared  %" PRIu64 " pages in %zu regions of 2M\n", pages_of(v->receipt),
		v->receipt->n);
	if (d->regions)
		fprintf(to, "differ    %" PRIu64 " region%s\n", d->regions,
			d->regions == 1 ? "" : "s");
	for (size_t i = 0; i < d->n; i++)
		fprintf(to, "          pfn %#" PRIx64 " to %#" PRIx64 "\n", d->range[i].first,
			d->range[i].last);
	if (d->full)
		fputs("          and more, for which there was no memory\n", to);
	if (d->control)
		fputs("differ    records that are not pages, or the length of the stream\n", to);
	tell_own(to, v->receipt);
	if (v->domain)
		tell_unseen(to);
	if (v->running)
		fputs("note      the domain runs: it may have changed any page since the restore\n",
		      to);
	else if (v->domain)
		fputs("note      a paused domain that never ran has changed nothing; one that ran may "
		      "have changed any page\n",
		      to);
}

void receipt_tell_json(FILE *to, const struct receipt_verdict *v)
{
	const struct receipt_difference *d = v->found;
	unsigned int at = 0;
	size_t region = 0;
	const char *comma = "";
	uint64_t pfn;

	fprintf(to,
		"{\n \"verdict\": \"%s\",\n \"against\": \"%s\",\n \"pages\": %" PRIu64
		",\n \"regions\": %zu,\n \"regions_differing\": %" PRIu64
		",\n \"records_differ\": %s,\n \"domain_runs\": %s,\n \"differing\": [",
		receipt_is_met(d) ? "same" : "differs", v->domain ? "domain" : "stream",
		pages_of(v->receipt), v->receipt->n, d->regions, d->control ? "true" : "false",
		v->running ? "true" : "false");
	for (size_t i = 0; i < d->n; i++)
		fprintf(to, "%s[\"%#" PRIx64 "\", \"%#" PRIx64 "\"]", i ? ", " : "",
			d->range[i].first, d->range[i].last);
	fputs("],\n \"left_out\": [", to);
	for (; next_own(v->receipt, &region, &at, &pfn); comma = ", ")
		fprintf(to, "%s[\"%#" PRIx64 "\", \"%s\"]", comma, pfn,
			what_of(&v->receipt->stream, pfn));
	fputs("],\n \"not_looked_at\": [", to);
	for (size_t i = 0; v->domain && i < UNSEEN; i++)
		fprintf(to, "%s\"%s\"", i ? ", " : "", unseen[i]);
	fputs("]\n}\n", to);
}
