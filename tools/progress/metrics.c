/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/metrics.h"

#include <stdio.h>
#include <time.h>

/* The samples of one restore: two files share no series if they are of two domains. */
struct sheet {
	FILE *to;
	char domain[48]; /* labels */
};

static void family(const struct sheet *s, const char *name, const char *help)
{
	fprintf(s->to, "# TYPE xenrestore_%s gauge\n# HELP xenrestore_%s %s\n", name, name, help);
}

static void one(const struct sheet *s, const char *name, const char *help, double value)
{
	family(s, name, help);
	fprintf(s->to, "xenrestore_%s{%s} %.17g\n", name, s->domain, value);
}

static void by(const struct sheet *s, const char *name, const char *label, const char *word,
	       uint64_t value)
{
	fprintf(s->to, "xenrestore_%s{%s,%s=\"%s\"} %llu\n", name, s->domain, label, word,
		(unsigned long long)value);
}

static void stage(const struct sheet *s, const char *name, const struct xr_stage_times *t)
{
	const struct {
		const char *state;
		uint64_t ns;
	} all[] = { { "busy", t->busy }, { "starved", t->starved }, { "blocked", t->blocked } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(s->to, "xenrestore_stage_seconds{%s,stage=\"%s\",state=\"%s\"} %.9f\n",
			s->domain, name, all[i].state, (double)all[i].ns / 1e9);
}

static void figures(const struct sheet *f, const struct xr_result *r)
{
	one(f, "duration_seconds", "Time that the restore took.", r->seconds);
	one(f, "stream_bytes", "Bytes of the libxc stream.", (double)r->bytes);
	one(f, "stream_passes", "Passes over the memory of the guest.", r->passes);
	one(f, "workers", "Copy workers.", r->workers);
	one(f, "indexed", "1 if the restore was planned from an index of a file.", r->indexed);
	family(f, "pages", "Pages of 4 KiB.");
	by(f, "pages", "kind", "populated", r->pages_populated);
	by(f, "pages", "kind", "received", r->pages_received);
	by(f, "pages", "kind", "written", r->pages_written);
	by(f, "pages", "kind", "released", r->pages_released);
	family(f, "extents", "What the guest lies in.");
	by(f, "extents", "size", "1G", r->extents_1g);
	by(f, "extents", "size", "2M", r->extents_2m);
	by(f, "extents", "size", "4K", r->extents_4k);
	family(f, "host_calls", "Calls to Xen, or to its model.");
	by(f, "host_calls", "call", "populate", r->populate_calls);
	by(f, "host_calls", "call", "release", r->release_calls);
	by(f, "host_calls", "call", "map", r->map_calls);
	by(f, "host_calls", "call", "unmap", r->unmap_calls);
	by(f, "host_calls", "call", "other", r->other_calls);
	family(f, "stage_seconds", "Time of each stage; of copy the sum over the workers.");
	stage(f, "stream", &r->stream);
	stage(f, "populate", &r->populate);
	stage(f, "copy", &r->copy);
}

void xr_metrics_write(FILE *to, const struct xr_settings *set, const struct xr_result *res,
		      int exit_code)
{
	struct sheet s = { .to = to };

	if (set->host == XR_HOST_XEN)
		snprintf(s.domain, sizeof(s.domain), "host=\"xen\",domid=\"%u\"", set->domid);
	else
		snprintf(s.domain, sizeof(s.domain), "host=\"model\"");
	one(&s, "success", "1 if the guest is complete.", exit_code == 0);
	one(&s, "exit_code", "Of the restore: see xenrestore(1).", exit_code);
	one(&s, "end_timestamp_seconds", "When the restore ended, since the epoch.",
	    (double)time(NULL));
	if (res)
		figures(&s, res);
	fputs("# EOF\n", to);
}
