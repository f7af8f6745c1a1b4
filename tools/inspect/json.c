/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The findings under stable keys. */
#include "inspect/inspect.h"

#include "stream/decode.h"

#include <jansson.h>

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *or_null(uint64_t v, uint64_t none)
{
	return v == none ? json_null() : number(v);
}

/* Above 2^63 a JSON reader may not follow: these are bits, not counts. */
static json_t *bits(uint64_t v)
{
	return json_sprintf("%#llx", (unsigned long long)v);
}

/* A file may have a name that is no UTF-8. */
static json_t *text(const char *s)
{
	json_t *j = json_string(s);

	return j ? j : json_string("?");
}

static json_t *layers(const struct inspect *in)
{
	const struct xr_layers_seen *l = &in->layers;

	return json_pack("{s:s,s:b,s:I,s:I,s:o}", "outermost", inspect_layer_name(in), "libxl",
			 l->libxl, "data_bytes", (json_int_t)l->data_length, "emulator_bytes",
			 (json_int_t)in->emulator_bytes, "libxc_offset",
			 in->headers ? number(in->info.start_offset + in->info.libxc_offset)
				     : json_null());
}

static json_t *guest(const struct inspect *in)
{
	const struct inspect_guest *g = &in->guest;

	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I}", "kind", in->info.pv ? "pv" : "hvm",
			 "name", g->name, "type", g->type, "max_kib", (json_int_t)g->max_kib,
			 "vcpus", (json_int_t)g->vcpus, "xen_major", (json_int_t)in->info.xen_major,
			 "xen_minor", (json_int_t)in->info.xen_minor);
}

static json_t *record_types(const struct inspect *in)
{
	json_t *j = json_object();

	for (uint32_t i = 0; i < INSPECT_RECORD_TYPES; i++)
		if (in->by_type[i])
			json_object_set_new(j, xr_record_name(i), number(in->by_type[i]));
	if (in->skipped)
		json_object_set_new(j, "unknown", number(in->skipped));
	return j;
}

static json_t *passes(const struct inspect *in)
{
	json_t *j = json_array();

	for (unsigned int i = 0; i < in->npasses && i < INSPECT_PASSES; i++) {
		const struct inspect_pass *p = &in->passes[i];

		json_array_append_new(
			j,
			json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "offset", (json_int_t)p->offset,
				  "record", (json_int_t)p->record, "entries",
				  (json_int_t)p->entries, "contents", (json_int_t)p->contents,
				  "taken_away", (json_int_t)p->taken, "first_pfn",
				  (json_int_t)p->first, "last_pfn", (json_int_t)p->last));
	}
	return j;
}

static json_t *page_types(const struct inspect *in)
{
	json_t *j = json_object();

	for (unsigned int i = 0; i < 16; i++)
		if (in->entries[i])
			json_object_set_new(j, inspect_page_name(i), number(in->entries[i]));
	return j;
}

static json_t *pages(const struct inspect *in)
{
	uint64_t holes, stretches;

	inspect_holes(in, &holes, &stretches);
	return json_pack("{s:I,s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:b,s:o}", "populated",
			 (json_int_t)xr_pfnset_count(in->ram), "contents", (json_int_t)in->pages,
			 "replaced", in->indexed ? number(in->pages - in->live_pages) : json_null(),
			 "zero", in->contents_read ? number(in->zero_pages) : json_null(),
			 "highest_pfn", or_null(in->highest, XR_NO_PFN), "holes", (json_int_t)holes,
			 "hole_stretches", (json_int_t)stretches, "taken_away",
			 (json_int_t)xr_pfnset_count(in->lost), "complete", !in->strewn, "types",
			 page_types(in));
}

static const char *why_key(enum inspect_why why)
{
	static const char *const keys[INSPECT_WHYS] = { "holes", "taken_away", "stretch_end",
							"vga",	 "late",       "not_asked" };

	return keys[why];
}

static json_t *plan(const struct inspect *in)
{
	static const char *const policies[] = { "exact", "speculative", "4k" };
	const struct inspect_plan *p = &in->plan;
	json_t *why = json_object(), *list = json_array();

	for (unsigned int i = 0; i < INSPECT_WHYS; i++)
		json_object_set_new(why, why_key(i), number(p->why[i]));
	for (unsigned int i = 0; i < p->nreasons; i++) {
		const struct inspect_reason *r = &p->reasons[i];

		json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:I}", "why", why_key(r->why),
						      "first_pfn", (json_int_t)(r->first << 9),
						      "regions", (json_int_t)r->regions, "missing",
						      (json_int_t)r->missing));
	}
	if (!p->known) {
		json_decref(why);
		json_decref(list);
		return json_null();
	}
	return json_pack("{s:s,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:b}", "policy",
			 policies[p->policy], "max_order", (json_int_t)p->max_order, "indexed",
			 p->indexed, "extents_1g", (json_int_t)p->extents_1g, "extents_2m",
			 (json_int_t)p->extents_2m, "extents_4k", (json_int_t)p->extents_4k,
			 "whole_1g_regions", (json_int_t)p->whole_1g, "whole_2m_regions",
			 (json_int_t)p->whole_2m, "partial_2m_regions", (json_int_t)p->partial_2m,
			 "not_large", why, "not_large_regions", list, "not_large_more",
			 p->more_reasons);
}

static json_t *params(const struct inspect_guest *g)
{
	json_t *j = json_array();

	for (unsigned int i = 0; i < g->nparams; i++) {
		const char *name = inspect_param_name(g->params[i].index);

		json_array_append_new(j, json_pack("{s:I,s:s?,s:o}", "index",
						   (json_int_t)g->params[i].index, "name", name,
						   "value", bits(g->params[i].value)));
	}
	return j;
}

static json_t *context(const struct inspect_guest *g)
{
	json_t *j = json_array();

	for (unsigned int i = 0; g->context && i < INSPECT_SAVE_TYPES; i++)
		if (g->saved[i].count)
			json_array_append_new(j, json_pack("{s:i,s:s?,s:I,s:I}", "typecode", (int)i,
							   "name", inspect_save_name(i), "count",
							   (json_int_t)g->saved[i].count, "bytes",
							   (json_int_t)g->saved[i].bytes));
	return j;
}

static json_t *cpu(const struct inspect_guest *g)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->nmsrs && i < INSPECT_MSRS; i++)
		json_array_append_new(list, json_pack("{s:I,s:s?,s:o}", "index",
						      (json_int_t)g->msrs[i].index, "name",
						      inspect_msr_name(g->msrs[i].index), "value",
						      bits(g->msrs[i].value)));
	return json_pack("{s:I,s:I,s:s,s:s,s:I,s:I,s:I,s:o}", "leaves", (json_int_t)g->leaves,
			 "msrs", (json_int_t)g->nmsrs, "vendor", g->vendor, "brand", g->brand,
			 "signature", (json_int_t)g->signature, "max_leaf", (json_int_t)g->max_leaf,
			 "max_extended_leaf", (json_int_t)g->max_ext_leaf, "msr_values", list);
}

static json_t *tsc(const struct inspect_guest *g)
{
	if (!g->tsc)
		return json_null();
	return json_pack("{s:I,s:I,s:I,s:I}", "mode", (json_int_t)g->tsc_info.mode, "khz",
			 (json_int_t)g->tsc_info.khz, "nsec", (json_int_t)g->tsc_info.nsec,
			 "incarnation", (json_int_t)g->tsc_info.incarnation);
}

static json_t *problems(const struct inspect *in)
{
	static const char *const severities[] = { "note", "odd", "bad" };
	json_t *j = json_array();

	for (unsigned int i = 0; i < in->nproblems; i++) {
		const struct inspect_problem *p = &in->problems[i];
		const struct xr_error *e = &p->what;

		json_array_append_new(
			j, json_pack("{s:s,s:o,s:o,s:o,s:o,s:s,s:I}", "severity",
				     severities[p->severity], "offset",
				     or_null(e->offset, XR_NO_OFFSET), "record",
				     or_null(e->record, XR_NO_RECORD), "type",
				     e->type == XR_NO_TYPE ? json_null() : number(e->type), "pfn",
				     or_null(e->pfn, XR_NO_PFN), "text", e->text, "more",
				     (json_int_t)p->more));
	}
	return j;
}

int inspect_json(FILE *to, const struct inspect *in, const char *source)
{
	static const char *const verdicts[] = { "good", "odd", "bad" };
	json_t *j = json_pack(
		"{s:o,s:s,s:b,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:b,s:b,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I}",
		"source", text(source), "verdict", verdicts[in->worst], "complete", in->ended,
		"stream_version", (json_int_t)in->info.version, "records_count",
		(json_int_t)in->records, "end_offset", (json_int_t)in->end_offset, "trailing_bytes",
		(json_int_t)in->trailing, "layers", layers(in), "guest", guest(in), "record_types",
		record_types(in), "verify", in->verify, "checkpointed", in->checkpoints != 0,
		"checkpoints", (json_int_t)in->checkpoints, "passes", (json_int_t)in->npasses,
		"pass_list", passes(in), "pages", pages(in), "plan", plan(in), "hvm_params",
		params(&in->guest), "hvm_context", context(&in->guest), "cpu_policy",
		cpu(&in->guest), "tsc", tsc(&in->guest), "problems", problems(in),
		"problems_unlisted", (json_int_t)in->unlisted);
	int rc = j ? json_dumpf(j, to, JSON_EMBED | JSON_INDENT(1)) : -1;

	json_decref(j);
	return rc;
}

int inspect_record_json(FILE *to, const struct inspect_record *r)
{
	json_t *j =
		json_pack("{s:I,s:I,s:I,s:s,s:I}", "offset", (json_int_t)r->where.offset, "record",
			  (json_int_t)r->where.record, "type", (json_int_t)r->where.type, "name",
			  xr_record_name(r->where.type), "length", (json_int_t)r->length);
	int rc = j ? 0 : -1;

	if (!rc && r->pages)
		rc = json_object_update_new(
			j, json_pack("{s:I,s:I,s:I,s:I}", "entries", (json_int_t)r->entries,
				     "contents", (json_int_t)r->contents, "first_pfn",
				     (json_int_t)r->first, "last_pfn", (json_int_t)r->last));
	if (!rc)
		rc = json_dumpf(j, to, JSON_COMPACT);
	json_decref(j);
	return rc;
}
