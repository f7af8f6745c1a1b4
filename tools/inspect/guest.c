/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the headers and the control records tell of the guest, and what is odd about them. */
#include "inspect/inspect.h"

#include "host/hvm_params.h"

#include <endian.h>
#include <jansson.h>
#include <string.h>

#define LEAF_EXTENDED 0x80000000u
#define SAVE_END 0
#define SAVE_HEADER 1
#define SAVE_MAGIC 0x54381286u
#define SAVE_CPU 2

static void odd(struct inspect *in, const struct xr_record *rec, uint64_t value)
{
	if (value)
		inspect_blame(in, INSPECT_ODD, &rec->where, "%s: a reserved field is not 0",
			      xr_record_name(rec->where.type));
}

void inspect_headers(struct inspect *in, const unsigned char *head)
{
	const struct xr_where at = { in->info.start_offset + in->info.libxc_offset, XR_NO_RECORD,
				     XR_NO_TYPE };
	struct xr_wire_domain d;
	struct xr_wire_image i;

	memcpy(&i, head, sizeof(i));
	memcpy(&d, head + sizeof(i), sizeof(d));
	if ((be16toh(i.be_options) & ~XR_WIRE_BIG_ENDIAN) || i.reserved1 || i.reserved2)
		inspect_blame(in, INSPECT_ODD, &at,
			      "reserved bits of the libxc image header are set");
	if (d.reserved)
		inspect_blame(in, INSPECT_ODD, &at,
			      "reserved bits of the libxc domain header are set");
}

/* What a stream says goes to a terminal: nothing that one would obey. */
static void copy_plain(char *to, size_t room, const char *from)
{
	size_t n = 0;

	for (; from[n] && n + 1 < room; n++)
		to[n] = from[n] < ' ' || from[n] > '~' ? '?' : from[n];
	to[n] = '\0';
}

/* As xl writes it: what is not there, or of another type, stays unknown. */
void inspect_config(struct inspect *in, const char *json, size_t n)
{
	json_t *j = json_loadb(json, strnlen(json, n), 0, NULL);
	struct inspect_guest *g = &in->guest;
	const char *name = NULL, *type = NULL;
	json_int_t kib = 0;

	json_unpack(j, "{s:{s?s,s?s}}", "c_info", "name", &name, "type", &type);
	json_unpack(j, "{s:{s?I}}", "b_info", "max_memkb", &kib);
	copy_plain(g->name, sizeof(g->name), name ?: "");
	copy_plain(g->type, sizeof(g->type), type ?: "");
	g->max_kib = kib > 0 ? (uint64_t)kib : 0;
	json_decref(j);
}

/* A later record of the kind replaces what an earlier one said. */
static void params(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct inspect_guest *g = &in->guest;
	struct xr_wire_params h;
	struct xr_wire_param p;

	memcpy(&h, body, sizeof(h));
	odd(in, rec, h.reserved);
	for (uint32_t i = 0; i < h.count; i++) {
		unsigned int k = 0;

		memcpy(&p, body + sizeof(h) + (size_t)i * sizeof(p), sizeof(p));
		if (p.index > UINT32_MAX)
			inspect_blame(in, INSPECT_BAD, &rec->where,
				      "HVM_PARAMS: a parameter's number is above 32 bits");
		else if (!xr_hvm_param_is_settable((uint32_t)p.index) &&
			 p.index != XR_HVM_PARAM_PAE_ENABLED)
			inspect_blame(in, INSPECT_BAD, &rec->where,
				      "HVM_PARAMS: Xen sets no HVM parameter %u",
				      (unsigned int)p.index);
		while (k < g->nparams && g->params[k].index != p.index)
			k++;
		if (k == INSPECT_PARAMS)
			inspect_blame(in, INSPECT_NOTE, &rec->where,
				      "HVM_PARAMS: not all parameters are listed here");
		else
			g->params[k] = p;
		g->nparams += k == g->nparams && k < INSPECT_PARAMS;
	}
}

static bool has_magic(const unsigned char *entry, uint32_t length)
{
	uint32_t magic;

	if (length < sizeof(magic))
		return false;
	memcpy(&magic, entry, sizeof(magic));
	return magic == SAVE_MAGIC;
}

/* Xen's save image: a chain of {typecode, instance, length, data}. */
static void context(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct inspect_guest *g = &in->guest;
	uint32_t at = 0, n = 0, length;
	uint16_t type = SAVE_HEADER;
	const char *wrong = NULL;

	g->context = true;
	memset(g->saved, 0, sizeof(g->saved));
	for (; type != SAVE_END && !wrong; at += 8 + length, n++) {
		unsigned int row;

		length = 0;
		if (rec->length - at < 8) {
			wrong = "its last entry is not END";
			break;
		}
		memcpy(&type, body + at, sizeof(type));
		memcpy(&length, body + at + 4, sizeof(length));
		if (length > rec->length - at - 8)
			wrong = "an entry is longer than the record";
		else if (!n != (type == SAVE_HEADER))
			wrong = n ? "it has another HEADER" : "it does not begin with a HEADER";
		else if (!n && !has_magic(body + at + 8, length))
			wrong = "its HEADER has not Xen's magic number";
		else if (type == SAVE_END && length)
			wrong = "its END is not empty";
		row = type < INSPECT_SAVE_TYPES ? type : INSPECT_SAVE_TYPES - 1;
		g->saved[row].count++;
		g->saved[row].bytes += length;
	}
	g->nsaved = n;
	g->vcpus = g->saved[SAVE_CPU].count;
	if (wrong)
		inspect_blame(in, INSPECT_BAD, &rec->where, "HVM_CONTEXT: %s; Xen will refuse it",
			      wrong);
}

static void put_words(char *to, const uint32_t *words, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		memcpy(to + 4ul * i, &words[i], 4);
		for (unsigned int k = 0; k < 4; k++)
			if (to[4 * i + k] && (to[4 * i + k] < ' ' || to[4 * i + k] > '~'))
				to[4 * i + k] = '?';
	}
}

static void cpuid(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct inspect_guest *g = &in->guest;

	g->leaves = rec->length / (uint32_t)sizeof(struct xr_wire_cpuid);
	for (uint32_t i = 0; i < g->leaves; i++) {
		struct xr_wire_cpuid l;

		memcpy(&l, body + (size_t)i * sizeof(l), sizeof(l));
		if (l.leaf == 0) {
			g->max_leaf = l.a;
			put_words(g->vendor, (uint32_t[]){ l.b, l.d, l.c }, 3);
		} else if (l.leaf == 1) {
			g->signature = l.a;
		} else if (l.leaf == LEAF_EXTENDED) {
			g->max_ext_leaf = l.a;
		} else if (l.leaf >= LEAF_EXTENDED + 2 && l.leaf <= LEAF_EXTENDED + 4) {
			put_words(g->brand + 16 * (l.leaf - LEAF_EXTENDED - 2),
				  (uint32_t[]){ l.a, l.b, l.c, l.d }, 4);
		}
	}
}

static void msrs(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct inspect_guest *g = &in->guest;
	const uint32_t n = rec->length / (uint32_t)sizeof(struct xr_wire_msr);

	g->nmsrs = n;
	memcpy(g->msrs, body, (n < INSPECT_MSRS ? n : INSPECT_MSRS) * sizeof(g->msrs[0]));
}

static void tsc(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	memcpy(&in->guest.tsc_info, body, sizeof(in->guest.tsc_info));
	in->guest.tsc = true;
	odd(in, rec, in->guest.tsc_info.reserved);
}

static void pv_info(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct xr_wire_pv_info h;
	uint64_t reserved = 0;

	memcpy(&h, body, sizeof(h));
	memcpy(&reserved, h.reserved, sizeof(h.reserved));
	in->guest.width = h.width;
	in->guest.levels = h.levels;
	odd(in, rec, reserved);
	if (rec->length != sizeof(h))
		inspect_blame(in, INSPECT_ODD, &rec->where, "X86_PV_INFO: length %u, 8 is due",
			      rec->length);
}

static void vcpu(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct xr_wire_vcpu h;

	memcpy(&h, body, sizeof(h));
	in->guest.vcpus += rec->where.type == XR_REC_PV_VCPU_BASIC;
	odd(in, rec, h.reserved);
}

static void padding(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	for (uint32_t i = rec->length; i < rec->padded; i++) {
		if (body[i]) {
			inspect_blame(in, INSPECT_ODD, &rec->where, "%s: its padding is not zero",
				      xr_record_name(rec->where.type));
			return;
		}
	}
}

void inspect_control(struct inspect *in, const struct xr_record *rec, const unsigned char *body)
{
	struct xr_wire_p2m_frames p2m;

	padding(in, rec, body);
	switch (rec->where.type) {
	case XR_REC_HVM_PARAMS:
		params(in, rec, body);
		break;
	case XR_REC_HVM_CONTEXT:
		context(in, rec, body);
		break;
	case XR_REC_CPUID_POLICY:
		cpuid(in, rec, body);
		break;
	case XR_REC_MSR_POLICY:
		msrs(in, rec, body);
		break;
	case XR_REC_TSC_INFO:
		tsc(in, rec, body);
		break;
	case XR_REC_VERIFY:
		in->verify = true;
		break;
	case XR_REC_PV_INFO:
		pv_info(in, rec, body);
		break;
	case XR_REC_PV_P2M_FRAMES:
		memcpy(&p2m, body, sizeof(p2m));
		if (le32toh(p2m.last) > in->guest.p2m_max)
			in->guest.p2m_max = le32toh(p2m.last);
		break;
	case XR_REC_PV_VCPU_BASIC:
	case XR_REC_PV_VCPU_EXTENDED:
	case XR_REC_PV_VCPU_XSAVE:
	case XR_REC_PV_VCPU_MSRS:
		vcpu(in, rec, body);
		break;
	}
}
