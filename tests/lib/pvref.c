/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/pvref.h"

#include "lib/digest.h"
#include "stream/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define PTES 512u
#define PTE_FRAME 0x000ffffffffff000ull
#define PFNS_MAX (1u << 22)

/* Offsets for a 64-bit and a 32-bit guest. */
struct offsets {
	unsigned int rdx, gdt_frames, gdt_ents, ctrlreg;
	unsigned int nr_pages, shared, flags, store, store_port, console, console_port;
	unsigned int sel, mask, ports, arch, arch_bytes, list;
};

static const struct offsets offsets[2] = {
	{ 616, 4832, 4960, 4984, 32, 40, 48, 56, 64, 72, 80, 8, 2560, 512, 3088, 48, 3096 },
	{ 524, 2640, 2704, 2716, 32, 36, 40, 44, 48, 52, 56, 4, 2176, 128, 2316, 28, 2320 },
};

static const struct offsets *of(const struct pvref *p)
{
	return &offsets[p->width == 4];
}

static uint64_t word(const struct pvref *p, const unsigned char *at)
{
	uint64_t v = 0;

	memcpy(&v, at, p->width);
	return v;
}

static uint32_t word32(const unsigned char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static bool is_table(unsigned int type)
{
	return (type & 7) >= 1 && (type & 7) <= 4;
}

static bool has_data(unsigned int type)
{
	return !type || (is_table(type) && type < 13);
}

static bool read_p2m(struct pvref *p, const unsigned char *body, uint32_t length)
{
	uint64_t first, last, from, end;

	if (length < 16 || !p->width)
		return false;
	first = word32(body);
	last = word32(body + 4);
	from = first * p->width / PAGE;
	end = last * p->width / PAGE + 1;
	if (last >= PFNS_MAX || first > last || length != 8 + 8 * (end - from))
		return false;
	if (!p->at || last > p->max_pfn) {
		const uint64_t had = p->at ? p->max_pfn + 1 : 0;

		p->at = realloc(p->at, (last + 1) * sizeof(*p->at));
		memset(p->at + had, 0, (last + 1 - had) * sizeof(*p->at));
		p->max_pfn = last;
	}
	if (end > p->nframes) {
		p->frame = realloc(p->frame, end * sizeof(*p->frame));
		memset(p->frame + p->nframes, 0xff, (end - p->nframes) * sizeof(*p->frame));
		p->nframes = end;
	}
	memcpy(p->frame + from, body + 8, (end - from) * 8);
	return true;
}

static bool read_pages(struct pvref *p, const unsigned char *body, uint32_t length)
{
	const unsigned char *data, *end = body + length;
	uint32_t n;

	if (length < 16 || !p->at)
		return false;
	n = word32(body);
	if (n > (length - 8) / 8)
		return false;
	data = body + 8 + 8ull * n;
	for (uint32_t i = 0; i < n; i++) {
		struct pvref_page *to;
		uint64_t e, pfn;

		memcpy(&e, body + 8 + 8ull * i, sizeof(e));
		pfn = e & 0xfffffffffffffull;
		if (pfn > p->max_pfn)
			return false;
		to = &p->at[pfn];
		to->type = (unsigned char)(e >> 60);
		to->backed = to->type != 13 && to->type != 15;
		/* A table that is one no more is not localised, and nobody may rely on what it was.
		 */
		if (!to->backed || (to->table && !is_table(to->type)))
			to->page = NULL;
		if (!has_data(to->type))
			continue;
		if (end - data < PAGE)
			return false;
		if (!p->verify) {
			to->page = data;
			to->table = is_table(to->type);
		}
		data += PAGE;
	}
	return true;
}

static bool read_record(struct pvref *p, uint32_t type, const unsigned char *body, uint32_t length)
{
	static const int state_of[] = {
		[XR_REC_PV_VCPU_BASIC] = XR_VCPU_BASIC + 1,
		[XR_REC_PV_VCPU_EXTENDED] = XR_VCPU_EXTENDED + 1,
		[XR_REC_PV_VCPU_XSAVE] = XR_VCPU_XSAVE + 1,
		[XR_REC_PV_VCPU_MSRS] = XR_VCPU_MSRS + 1,
	};

	if (type == XR_REC_PV_INFO)
		p->width = length >= 8 && (body[0] == 4 || body[0] == 8) ? body[0] : 0;
	if (type == XR_REC_PV_P2M_FRAMES)
		return read_p2m(p, body, length);
	if (type == XR_REC_PAGE_DATA)
		return read_pages(p, body, length);
	if (type == XR_REC_SHARED_INFO)
		p->shared = length == PAGE ? body : NULL;
	if (type == XR_REC_VERIFY)
		p->verify = true;
	if (type < sizeof(state_of) / sizeof(state_of[0]) && state_of[type] && length > 8 &&
	    word32(body) < PVREF_VCPUS)
		p->vcpu[word32(body)][state_of[type] - 1] =
			(struct pvref_blob){ body + 8, length - 8 };
	return true;
}

static void each_entry(struct pvref *p, const unsigned char *page)
{
	for (unsigned int i = 0; i < PTES; i++) {
		uint64_t e;

		memcpy(&e, page + 8ul * i, sizeof(e));
		if ((e & 1) && (e & PTE_FRAME) >> 12 <= p->max_pfn)
			p->at[(e & PTE_FRAME) >> 12].backed = true;
	}
}

static void count(struct pvref *p)
{
	for (uint64_t pfn = 0; pfn <= p->max_pfn; pfn++)
		if (p->at[pfn].page && p->at[pfn].table && is_table(p->at[pfn].type))
			each_entry(p, p->at[pfn].page);
	p->backed = 0;
	for (uint64_t pfn = 0; pfn <= p->max_pfn; pfn++)
		p->backed += p->at[pfn].backed;
}

bool pvref_read(struct pvref *p, const void *stream, size_t size, size_t offset)
{
	const unsigned char *at = (const unsigned char *)stream + offset + 40;
	const unsigned char *end = (const unsigned char *)stream + size;
	uint32_t type = 1, length;

	memset(p, 0, sizeof(*p));
	for (; type && end - at >= 8; at += 8 + ((length + 7ull) & ~7ull)) {
		type = word32(at);
		length = word32(at + 4);
		if ((uint64_t)(end - at) < 8 + ((length + 7ull) & ~7ull) ||
		    !read_record(p, type, at + 8, length))
			return false;
	}
	p->end = (size_t)(at - (const unsigned char *)stream);
	if (type || !p->at || !p->width)
		return false;
	count(p);
	return true;
}

void pvref_free(struct pvref *p)
{
	free(p->at);
	free(p->frame);
}

struct check {
	const struct pvref *p;
	struct xr_model *m;
	const struct pvref_ports *ports;
	uint64_t store_gfn, console_gfn;
	char *why;
	size_t room;
};

static bool wrong(const struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static bool wrong(const struct check *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->why, c->room, fmt, args);
	va_end(args);
	return false;
}

/* The frame of this pfn, and nothing but it. */
static bool names(const struct check *c, uint64_t mfn, uint64_t pfn)
{
	return mfn != ~0ull && xr_model_mfn(c->m, pfn) == mfn && xr_model_pfn(c->m, mfn) == pfn;
}

static uint64_t start_pfn(const struct pvref *p)
{
	const struct pvref_blob *b = &p->vcpu[0][XR_VCPU_BASIC];

	return b->size ? word(p, b->data + of(p)->rdx) : ~0ull;
}

static bool is_p2m_frame(const struct pvref *p, uint64_t pfn)
{
	for (size_t i = 0; i < p->nframes; i++)
		if (p->frame[i] == pfn)
			return true;
	return false;
}

static bool check_table(const struct check *c, uint64_t pfn, const unsigned char *is)
{
	const struct pvref_page *want = &c->p->at[pfn];
	uint64_t w[PTES], g[PTES];
	bool pinned;

	memcpy(w, want->page, PAGE);
	memcpy(g, is, PAGE);
	for (unsigned int i = 0; i < PTES; i++) {
		if (!(w[i] & 1)
			    ? w[i] != g[i]
			    : (w[i] & ~PTE_FRAME) != (g[i] & ~PTE_FRAME) ||
				      !names(c, (g[i] & PTE_FRAME) >> 12, (w[i] & PTE_FRAME) >> 12))
			return wrong(c, "entry %u of the table at pfn %#lx is %#lx, came as %#lx",
				     i, pfn, g[i], w[i]);
	}
	xr_model_table(c->m, pfn, &pinned);
	if (pinned != !!(want->type & 8))
		return wrong(c, "pfn %#lx is pinned: %d", pfn, pinned);
	return true;
}

/* `is`, but for fields that a restore sets, which are put back to what came. */
static bool check_start(const struct check *c, unsigned char *is, const unsigned char *came)
{
	const struct offsets *o = of(c->p);
	const unsigned int w = c->p->width;
	struct xr_host *h;
	struct xr_dominfo info = { 0 };

	if (xr_host_model_open(&h, c->m) || h->ops->info(h, &info))
		return wrong(c, "no info");
	h->ops->close(h);
	if (word(c->p, is + o->nr_pages) != c->p->max_pfn + 1 ||
	    word(c->p, is + o->shared) != info.shared_info_gfn << 12 || word32(is + o->flags) ||
	    word32(is + o->store_port) != c->ports->store ||
	    word32(is + o->console_port) != c->ports->console)
		return wrong(c, "the start info has wrong numbers");
	if (!names(c, word(c->p, is + o->store), word(c->p, came + o->store)) ||
	    !names(c, word(c->p, is + o->console), word(c->p, came + o->console)) ||
	    word(c->p, is + o->store) != c->store_gfn ||
	    word(c->p, is + o->console) != c->console_gfn)
		return wrong(c, "the start info has wrong rings");
	memcpy(is + o->nr_pages, came + o->nr_pages, w);
	memcpy(is + o->shared, came + o->shared, w);
	memcpy(is + o->flags, came + o->flags, 4);
	memcpy(is + o->store, came + o->store, w);
	memcpy(is + o->console, came + o->console, w);
	memcpy(is + o->store_port, came + o->store_port, 4);
	memcpy(is + o->console_port, came + o->console_port, 4);
	return memcmp(is, came, PAGE) == 0 || wrong(c, "the start info is another one");
}

static bool check_page(const struct check *c, uint64_t pfn)
{
	const struct pvref_page *want = &c->p->at[pfn];
	unsigned char is[PAGE];

	if ((xr_model_mfn(c->m, pfn) != ~0ull) != want->backed)
		return wrong(c, "pfn %#lx is backed: %d", pfn, !want->backed);
	if (!want->page || is_p2m_frame(c->p, pfn))
		return true;
	if (xr_model_peek(c->m, pfn, is))
		return wrong(c, "pfn %#lx can't be read", pfn);
	if (want->table)
		return check_table(c, pfn, is);
	if (pfn == start_pfn(c->p))
		return check_start(c, is, want->page);
	return memcmp(is, want->page, PAGE) == 0 || wrong(c, "pfn %#lx has other contents", pfn);
}

/* Frames that the list names twice hold what was written last. */
static bool check_p2m(const struct check *c)
{
	const uint64_t per = PAGE / c->p->width;
	unsigned char page[PAGE];

	for (size_t f = 0; f < c->p->nframes; f++) {
		const uint64_t from = f * per;

		if (xr_model_peek(c->m, c->p->frame[f], page))
			return wrong(c, "frame %zu of the p2m can't be read", f);
		for (uint64_t i = 0; i < per && from + i <= c->p->max_pfn; i++) {
			const uint64_t mfn = word(c->p, page + i * c->p->width);
			const uint64_t none = c->p->width == 4 ? ~0u : ~0ull;

			if (c->p->at[from + i].backed ? !names(c, mfn, from + i) : mfn != none)
				return wrong(c, "the p2m has %#lx for pfn %#lx", mfn, from + i);
		}
	}
	return true;
}

static bool check_shared(const struct check *c)
{
	const struct offsets *o = of(c->p);
	unsigned char is[PAGE], want[PAGE];

	if (!c->p->shared)
		return true;
	if (xr_model_shared_info(c->m, is))
		return wrong(c, "no shared info");
	memset(want, 0, sizeof(want)); /* as the model makes it */
	memcpy(want, c->p->shared, 2048);
	for (unsigned int v = 0; v < 32; v++)
		memset(want + v * 64 + o->sel, 0, c->p->width);
	memset(want + o->mask, 0xff, o->ports);
	memcpy(want + o->arch, c->p->shared + o->arch, o->arch_bytes);
	memset(want + o->list, 0, c->p->width);
	return memcmp(is, want, PAGE) == 0 || wrong(c, "the shared info is wrong");
}

static uint64_t frame_of_cr3(const struct pvref *p, uint64_t cr3)
{
	return p->width == 8 ? cr3 >> 12 : cr3 >> 12 | (cr3 & 0xfff) << 20;
}

static bool check_context(const struct check *c, uint32_t vcpu, const struct pvref_blob *b)
{
	const struct offsets *o = of(c->p);
	const unsigned int w = c->p->width, cr1 = o->ctrlreg + w, cr3 = o->ctrlreg + 3 * w;
	unsigned char is[XR_VCPU_BASIC_BYTES], want[XR_VCPU_BASIC_BYTES] = { 0 };
	uint64_t ents;

	if (xr_model_vcpu(c->m, vcpu, XR_VCPU_BASIC, is, sizeof(is)) != sizeof(is))
		return wrong(c, "vcpu %u has no registers", vcpu);
	memcpy(want, b->data, b->size);
	want[512] |= 1u << 5;
	ents = word(c->p, want + o->gdt_ents);
	if (!vcpu && !names(c, word(c->p, is + o->rdx), word(c->p, want + o->rdx)))
		return wrong(c, "the start info is named wrongly");
	for (uint64_t i = 0; i < (ents + 511) / 512; i++)
		if (!names(c, word(c->p, is + o->gdt_frames + i * w),
			   word(c->p, want + o->gdt_frames + i * w)))
			return wrong(c, "GDT frame %lu of vcpu %u is wrong", i, vcpu);
	if (!names(c, frame_of_cr3(c->p, word(c->p, is + cr3)),
		   frame_of_cr3(c->p, word(c->p, want + cr3))))
		return wrong(c, "cr3 of vcpu %u is wrong", vcpu);
	if (w == 8 && (word(c->p, want + cr1) & 1) &&
	    ((is[cr1] & 1) || !names(c, word(c->p, is + cr1) >> 12, word(c->p, want + cr1) >> 12)))
		return wrong(c, "the user's cr3 of vcpu %u is wrong", vcpu);
	if (!vcpu)
		memcpy(is + o->rdx, want + o->rdx, w);
	memcpy(is + o->gdt_frames, want + o->gdt_frames, (ents + 511) / 512 * w);
	memcpy(is + cr3, want + cr3, w);
	if (w == 8 && (word(c->p, want + cr1) & 1))
		memcpy(is + cr1, want + cr1, w);
	/* libxenguest hands Xen whatever lies behind a 32-bit guest's */
	return memcmp(is, want, b->size) == 0 || wrong(c, "registers of vcpu %u are others", vcpu);
}

static bool check_vcpu(const struct check *c, uint32_t vcpu)
{
	const struct pvref_blob *b = c->p->vcpu[vcpu];
	static unsigned char is[16384];

	if (!b[XR_VCPU_BASIC].size)
		return xr_model_vcpu(c->m, vcpu, XR_VCPU_BASIC, is, 1) == -ENOENT ||
		       wrong(c, "vcpu %u should be offline", vcpu);
	for (unsigned int s = XR_VCPU_EXTENDED; s < XR_VCPU_STATES; s++) {
		if (!b[s].size)
			continue;
		if (xr_model_vcpu(c->m, vcpu, s, is, sizeof(is)) != (int)b[s].size ||
		    memcmp(is, b[s].data, b[s].size) != 0)
			return wrong(c, "state %u of vcpu %u is wrong", s, vcpu);
	}
	return check_context(c, vcpu, &b[XR_VCPU_BASIC]);
}

bool pvref_check(const struct pvref *p, struct xr_model *m, const struct pvref_ports *ports,
		 uint64_t store_gfn, uint64_t console_gfn, char *why, size_t room)
{
	const struct check c = { p, m, ports, store_gfn, console_gfn, why, room };
	struct xr_model_stats st;
	struct xr_model_given given;

	xr_model_stats(m, &st);
	xr_model_given(m, &given);
	if (st.tot_pages != p->backed || st.live_mappings || st.leaked || st.released_empty ||
	    st.released_mapped || st.released_dirty)
		return wrong(&c, "%lu pages, not %lu; %lu mapped, %lu leaked", st.tot_pages,
			     p->backed, st.live_mappings, st.leaked);
	if (xr_model_width(m) != p->width)
		return wrong(&c, "the width is %u", xr_model_width(m));
	for (uint64_t pfn = 0; pfn <= p->max_pfn; pfn++)
		if (!check_page(&c, pfn))
			return false;
	for (uint32_t v = 0; v < PVREF_VCPUS; v++)
		if (!check_vcpu(&c, v))
			return false;
	if (given.console_gfn != console_gfn || given.store_gfn != store_gfn)
		return wrong(&c, "other frames are granted");
	return check_p2m(&c) && check_shared(&c);
}

struct walk {
	const struct pvref *p;
	struct xr_model *m;
	uint64_t at;
};

static int next_page(void *opaque, uint64_t *pfn, void *page)
{
	struct walk *w = opaque;
	const struct pvref *p = w->p;

	while (w->at <= p->max_pfn && (!p->at[w->at].backed || p->at[w->at].table))
		w->at++;
	*pfn = w->at++;
	if (*pfn > p->max_pfn)
		return 0;
	if (!p->at[*pfn].page)
		memset(page, 0, PAGE);
	else if (*pfn == start_pfn(p) || is_p2m_frame(p, *pfn))
		memcpy(page, p->at[*pfn].page, PAGE);
	else
		return xr_model_peek(w->m, *pfn, page) ? -EIO : 1;
	return 1;
}

int pvref_digest(const struct pvref *p, struct xr_model *m, char hex[65])
{
	struct walk w = { p, m, 0 };

	return digest_pages(next_page, &w, hex);
}
