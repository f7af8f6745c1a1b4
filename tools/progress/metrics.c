/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress/metrics.h"

#include <stdio.h>
#include <time.h>

static void family(FILE *f, const char *name, const char *help)
{
	fprintf(f, "# TYPE xenrestore_%s gauge\n# HELP xenrestore_%s %s\n", name, name, help);
}

static void one(FILE *f, const char *name, const char *help, double value)
{
	family(f, name, help);
	fprintf(f, "xenrestore_%s %.17g\n", name, value);
}

static void by(FILE *f, const char *name, const char *label, const char *word, uint64_t value)
{
	fprintf(f, "xenrestore_%s{%s=\"%s\"} %llu\n", name, label, word, (unsigned long long)value);
}

static void stage(FILE *f, const char *name, const struct xr_stage_times *t)
{
	const struct {
		const char *state;
		uint64_t ns;
	} all[] = { { "busy", t->busy }, { "starved", t->starved }, { "blocked", t->blocked } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(f, "xenrestore_stage_seconds{stage=\"%s\",state=\"%s\"} %.9f\n", name,
			all[i].state, (double)all[i].ns / 1e9);
}

static void figures(FILE *f, const struct xr_result *r)
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

void xr_metrics_write(FILE *f, const struct xr_settings *set, const struct xr_result *res,
		      int exit_code)
{
	one(f, "success", "1 if the guest is complete.", exit_code == 0);
	one(f, "exit_code", "Of the restore: see xenrestore(1).", exit_code);
	one(f, "end_timestamp_seconds", "When the restore ended, since the epoch.",
	    (double)time(NULL));
	if (set->host == XR_HOST_XEN)
		one(f, "domid", "The domain.", set->domid);
	if (res)
		figures(f, res);
	fputs("# EOF\n", f);
}
