/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The findings for people. */
#include "inspect/inspect.h"

#include "stream/decode.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static void row(FILE *to, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void row(FILE *to, const char *name, const char *fmt, ...)
{
	va_list args;

	fprintf(to, "%-10s", name);
	va_start(args, fmt);
	vfprintf(to, fmt, args);
	va_end(args);
	fputc('\n', to);
}

/* 4 KiB, 12.5 MiB: the largest unit that leaves a number of at least 1. */
static const char *size_of(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	unsigned int i = 0;

	while (v >= 1024 && i < 4) {
		v /= 1024;
		i++;
	}
	if (bytes == 1)
		return "1 byte";
	snprintf(text, 32, i && v < 100 && v != (double)(uint64_t)v ? "%.1f %s" : "%.0f %s", v,
		 units[i]);
	return text;
}

static const char *pages_size(uint64_t pages, char text[32])
{
	return size_of(pages << 12, text);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_layers(FILE *to, const struct inspect *in)
{
	const struct xr_layers_seen *l = &in->layers;
	char text[32];

	fprintf(to, "%-10s", "layers");
	if (l->xl)
		fprintf(to, "xl save file (%s of%s configuration, optional flags %#x), ",
			size_of(l->data_length, text),
			l->mandatory & XR_WIRE_XL_JSON ? " JSON" : "", l->optional);
	if (l->libvirt)
		fprintf(to, "libvirt save file (%s of XML), ", size_of(l->data_length, text));
	if (l->libxl)
		fprintf(to, "libxl stream v2%s, ",
			l->libxl_options & XR_WIRE_LIBXL_CONVERTED ? " (converted)" : "");
	if (in->headers)
		fprintf(to, "libxc stream v%u at byte %" PRIu64, in->info.version,
			in->info.start_offset + in->info.libxc_offset);
	else
		fprintf(to, "no libxc stream");
	fputc('\n', to);
}

static void print_guest(FILE *to, const struct inspect *in)
{
	const struct inspect_guest *g = &in->guest;
	char text[32];

	fprintf(to, "%-10s%s", "guest", in->info.pv ? "PV" : "HVM or PVH");
	if (*g->name)
		fprintf(to, ", \"%s\" (%s)", g->name, *g->type ? g->type : "type not told");
	if (g->max_kib)
		fprintf(to, ", %s at most", size_of(g->max_kib << 10, text));
	if (g->vcpus)
		fprintf(to, ", %u vCPU%s", g->vcpus, plural(g->vcpus));
	if (g->width)
		fprintf(to, ", %u-bit, %u page-table levels, pfns to %#" PRIx64, g->width * 8u,
			g->levels, g->p2m_max);
	if (in->info.xen_major)
		fprintf(to, "; saved by Xen %u.%u\n", in->info.xen_major, in->info.xen_minor);
	else
		fprintf(to, "; converted from a legacy stream\n");
}

static void print_records(FILE *to, const struct inspect *in)
{
	char text[32];

	fprintf(to, "%-10s%" PRIu64 ", %s", "records", in->records,
		size_of(in->end_offset - in->info.start_offset - in->info.libxc_offset, text));
	for (uint32_t i = 0; i < INSPECT_RECORD_TYPES; i++)
		if (in->by_type[i])
			fprintf(to, "%s%" PRIu64 " %s", i && in->by_type[0] ? ", " : ": ",
				in->by_type[i], xr_record_name(i));
	if (in->skipped)
		fprintf(to, ", %" PRIu64 " of unknown types", in->skipped);
	fputc('\n', to);
}

static void print_passes(FILE *to, const struct inspect *in)
{
	const unsigned int listed = in->npasses < INSPECT_PASSES ? in->npasses : INSPECT_PASSES;

	if (in->checkpoints)
		row(to, "checkpts", "%" PRIu64, in->checkpoints);
	row(to, "passes", "%u%s", in->npasses, in->verify ? ", then contents to verify by" : "");
	if (!listed)
		return;
	fprintf(to, "  %5s %16s %14s %14s %12s  %s\n", "pass", "at byte", "pages named", "contents",
		"taken away", "pfns");
	for (unsigned int i = 0; i < listed; i++) {
		const struct inspect_pass *p = &in->passes[i];

		fprintf(to,
			"  %4u%s %16" PRIu64 " %14" PRIu64 " %14" PRIu64 " %12" PRIu64 "  %#" PRIx64
			" to %#" PRIx64 "\n",
			i + 1, i + 1 == INSPECT_PASSES && in->npasses > INSPECT_PASSES ? "+" : " ",
			p->offset, p->entries, p->contents, p->taken, p->first, p->last);
	}
}

static void print_memory(FILE *to, const struct inspect *in)
{
	const uint64_t ram = xr_pfnset_count(in->ram);
	uint64_t frames, stretches;
	char a[32];

	row(to, "memory", "%" PRIu64 " pages (%s) at the end", ram, pages_size(ram, a));
	fprintf(to, "%-10s", "pages");
	for (unsigned int i = 0, n = 0; i < 16; i++)
		if (in->entries[i])
			fprintf(to, "%s%" PRIu64 " %s", n++ ? ", " : "named as: ", in->entries[i],
				inspect_page_name(i));
	fprintf(to, "; %" PRIu64 " contents (%s)", in->pages, pages_size(in->pages, a));
	if (in->indexed && in->live_pages < in->pages)
		fprintf(to, ", %" PRIu64 " of them replaced by later ones",
			in->pages - in->live_pages);
	fputc('\n', to);
	inspect_holes(in, &frames, &stretches);
	row(to, "holes", "%" PRIu64 " pages (%s) in %" PRIu64 " stretch%s below the highest page",
	    frames, pages_size(frames, a), stretches, stretches == 1 ? "" : "es");
	if (xr_pfnset_count(in->lost))
		row(to, "", "%" PRIu64 " of them were RAM and were taken away",
		    xr_pfnset_count(in->lost));
	if (in->contents_read)
		row(to, "zero", "%" PRIu64 " of the contents are all zero (%.1f %%)",
		    in->zero_pages,
		    in->pages ? 100 * (double)in->zero_pages / (double)in->pages : 0);
	else
		row(to, "zero", "not counted: page contents are not read (--contents reads them)");
}

static void print_reasons(FILE *to, const struct inspect_plan *p)
{
	for (unsigned int i = 0; i < INSPECT_WHYS; i++)
		if (p->why[i])
			fprintf(to, "  %10" PRIu64 " region%s of 2M in 4K pages: %s\n", p->why[i],
				plural(p->why[i]), inspect_why_text(i));
	for (unsigned int i = 0; i < p->nreasons; i++) {
		const struct inspect_reason *r = &p->reasons[i];

		fprintf(to, "    pfn %#11" PRIx64 " to %#11" PRIx64 "  %s", r->first << 9,
			((r->first + r->regions) << 9) - 1, inspect_why_text(r->why));
		if (r->missing)
			fprintf(to, " (%" PRIu64 " of %" PRIu64 " missing)", r->missing,
				r->regions << 9);
		fputc('\n', to);
	}
	if (p->more_reasons)
		fprintf(to, "    and more\n");
}

static void print_plan(FILE *to, const struct inspect *in)
{
	static const char *const policies[] = { "exact", "speculative", "4k" };
	const struct inspect_plan *p = &in->plan;

	if (!p->known)
		return;
	row(to, "plan",
	    "%" PRIu64 " x 1G, %" PRIu64 " x 2M, %" PRIu64
	    " x 4K (policy %s, largest order %u, %s)",
	    p->extents_1g, p->extents_2m, p->extents_4k, policies[p->policy], p->max_order,
	    p->indexed ? "from an index of the file" : "as the stream comes, as from a pipe");
	row(to, "",
	    "%" PRIu64 " regions of 2M are whole, %" PRIu64 " in part; %" PRIu64
	    " of 1G are whole%s",
	    p->whole_2m, p->partial_2m, p->whole_1g,
	    p->whole_1g && p->max_order < 18 ? " (--max-order 18 asks for such)" : "");
	print_reasons(to, p);
}

static void print_params(FILE *to, const struct inspect_guest *g)
{
	for (unsigned int i = 0; i < g->nparams; i++) {
		const char *name = inspect_param_name(g->params[i].index);
		char number[32];

		snprintf(number, sizeof(number), "%" PRIu64, g->params[i].index);
		fprintf(to, "%-10s%-22s %#" PRIx64 "\n", i ? "" : "params", name ?: number,
			g->params[i].value);
	}
}

static void print_context(FILE *to, const struct inspect_guest *g)
{
	unsigned int n = 0;

	if (!g->context)
		return;
	fprintf(to, "%-10s%u save records: ", "context", g->nsaved - g->saved[0].count);
	for (unsigned int i = 1; i < INSPECT_SAVE_TYPES; i++) {
		if (!g->saved[i].count)
			continue;
		fprintf(to, "%s%s", n++ ? ", " : "", inspect_save_name(i) ?: "unknown");
		if (g->saved[i].count > 1)
			fprintf(to, " x %u", g->saved[i].count);
	}
	fputc('\n', to);
}

/* Family, model and stepping as CPUID leaf 1 packs them. */
static void print_signature(FILE *to, uint32_t s)
{
	const uint32_t base = s >> 8 & 0xf;
	const uint32_t family = base == 0xf ? base + (s >> 20 & 0xff) : base;
	const uint32_t model =
		(s >> 4 & 0xf) | (base == 6 || base == 0xf ? (s >> 16 & 0xf) << 4 : 0);

	fprintf(to, ", family %u model %u stepping %u", family, model, s & 0xf);
}

static void print_cpu(FILE *to, const struct inspect_guest *g)
{
	const unsigned int listed = g->nmsrs < INSPECT_MSRS ? g->nmsrs : INSPECT_MSRS;

	if (g->leaves) {
		fprintf(to, "%-10s%u CPUID leaves, %s", "cpu", g->leaves, g->vendor);
		print_signature(to, g->signature);
		fprintf(to, ", leaves to %#x and %#x%s%s\n", g->max_leaf, g->max_ext_leaf,
			*g->brand ? ", " : "", g->brand + strspn(g->brand, " "));
	}
	for (unsigned int i = 0; i < listed; i++) {
		const char *name = inspect_msr_name(g->msrs[i].index);

		fprintf(to, "%-10sMSR %#x%s%s = %#" PRIx64 "\n", i || g->leaves ? "" : "cpu",
			g->msrs[i].index, name ? " " : "", name ?: "", g->msrs[i].value);
	}
	if (g->tsc)
		row(to, "tsc", "mode %u, %u kHz, %" PRIu64 " ns, incarnation %u", g->tsc_info.mode,
		    g->tsc_info.khz, g->tsc_info.nsec, g->tsc_info.incarnation);
}

static void print_behind(FILE *to, const struct inspect *in)
{
	char text[32];

	if (in->emulator_bytes)
		row(to, "emulator", "%s of libxl records", size_of(in->emulator_bytes, text));
	if (in->trailing)
		row(to, "behind", "%" PRIu64 " byte%s behind the end that are not the stream's",
		    in->trailing, plural(in->trailing));
}

static void print_problem(FILE *to, const struct inspect_problem *p)
{
	static const char *const names[] = { "note", "odd", "bad" };
	const struct xr_error *e = &p->what;

	fprintf(to, "  %-5s", names[p->severity]);
	if (e->offset != XR_NO_OFFSET)
		fprintf(to, "at byte %" PRIu64 ", ", e->offset);
	if (e->record != XR_NO_RECORD)
		fprintf(to, "record %" PRIu64 ", ", e->record);
	fputs(e->text, to);
	if (p->more)
		fprintf(to, " (and %" PRIu64 " more)", p->more);
	fputc('\n', to);
}

static void print_problems(FILE *to, const struct inspect *in)
{
	static const char *const verdicts[] = {
		[INSPECT_NOTE] = "good",
		[INSPECT_ODD] = ("bad: the format forbids what it holds, though a restore lets it "
				 "pass"),
		[INSPECT_BAD] = "bad: a restore refuses it",
	};

	if (!in->nproblems)
		row(to, "problems", "none");
	else
		row(to, "problems", "%" PRIu64, in->nproblems + in->unlisted);
	for (unsigned int i = 0; i < in->nproblems; i++)
		print_problem(to, &in->problems[i]);
	if (in->unlisted)
		fprintf(to, "  and %" PRIu64 " more\n", in->unlisted);
	row(to, "verdict", "%s", verdicts[in->worst]);
}

void inspect_text(FILE *to, const struct inspect *in, const char *source)
{
	char text[32];

	if (in->file)
		row(to, "file", "%s, %s", source, size_of(in->size, text));
	print_layers(to, in);
	if (in->headers) {
		print_guest(to, in);
		print_records(to, in);
		print_passes(to, in);
		print_memory(to, in);
		print_plan(to, in);
		print_params(to, &in->guest);
		print_context(to, &in->guest);
		print_cpu(to, &in->guest);
		print_behind(to, in);
	}
	print_problems(to, in);
}

void inspect_record_text(FILE *to, const struct inspect_record *r)
{
	fprintf(to, "%14" PRIu64 " %8" PRIu64 "  %-24s %10u", r->where.offset, r->where.record,
		xr_record_name(r->where.type), r->length);
	if (r->pages)
		fprintf(to, "  %u pages, %u contents, pfn %#" PRIx64 " to %#" PRIx64, r->entries,
			r->contents, r->first, r->last);
	fputc('\n', to);
}
