/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compare a paused domain's memory with the last contents that its stream has for each frame. That
 * separates the two who can be at fault: what the saver did not send, no restorer can restore.
 */
#include "stream.h"
#include "xr-lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/params.h>
#include <xenforeignmemory.h>

#define BATCH 1024u
#define NAMED 16u

struct memory {
	const uint8_t **last; /* per pfn: its contents, NULL if there are none */
	uint64_t end;	      /* above the highest pfn */
	unsigned long frames, differ, missing;
};

static void add_pages(struct memory *m, const struct record *r)
{
	const uint32_t n = u32(r->body);
	const uint8_t *page = r->body + 8 + 8 * (size_t)n;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t e = record_entry(r, i), pfn = PFN(e);

		m->last[pfn] = NULL; /* gone, or about to be replaced */
		if (pfn >= m->end)
			m->end = pfn + 1;
		if (!has_data(e))
			continue;
		m->last[pfn] = page;
		page += PAGE;
	}
}

/* A restore empties the pages by which a domain talks to others. */
static void leave_out_rings(struct memory *m, const struct record *r)
{
	for (uint32_t i = 0; i < u32(r->body); i++) {
		const uint64_t index = u64(r->body + 8 + 16 * (size_t)i),
			       value = u64(r->body + 16 + 16 * (size_t)i);

		if ((index == HVM_PARAM_STORE_PFN || index == HVM_PARAM_CONSOLE_PFN ||
		     index == HVM_PARAM_IOREQ_PFN || index == HVM_PARAM_BUFIOREQ_PFN) &&
		    value < MAX_PFN)
			m->last[value] = NULL;
	}
}

static void name(struct memory *m, uint64_t pfn, const char *how)
{
	if (m->differ + m->missing < NAMED)
		fprintf(stderr, "frame 0x%lx: %s\n", (unsigned long)pfn, how);
}

static bool compare(struct memory *m, xenforeignmemory_handle *fmem, uint32_t domid,
		    const xen_pfn_t *gfns, size_t n)
{
	int err[BATCH];
	const uint8_t *at = xenforeignmemory_map(fmem, domid, PROT_READ, n, gfns, err);

	if (!at)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (err[i]) {
			name(m, gfns[i], "no memory there");
			m->missing++;
		} else if (memcmp(at + i * PAGE, m->last[gfns[i]], PAGE)) {
			name(m, gfns[i], "not what the stream said last");
			m->differ++;
		}
	}
	m->frames += n;
	return !xenforeignmemory_unmap(fmem, (void *)at, n);
}

static bool compare_all(struct memory *m, uint32_t domid)
{
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	xen_pfn_t gfns[BATCH];
	bool ok = fmem;
	size_t n = 0;

	for (uint64_t pfn = 0; ok && pfn < m->end; pfn++) {
		if (m->last[pfn])
			gfns[n++] = pfn;
		if (n && (n == BATCH || pfn + 1 == m->end)) {
			ok = compare(m, fmem, domid, gfns, n);
			n = 0;
		}
	}
	if (fmem)
		xenforeignmemory_close(fmem);
	return ok;
}

int memory_print(uint32_t domid, const char *path)
{
	struct memory m = { .last = calloc(MAX_PFN, sizeof(*m.last)) };
	struct record r = { 0 };
	struct stream s;
	bool ok;

	/* a PV domain's frames are known by machine frame number only */
	if (!m.last || !stream_open(&s, path, false) || s.pv)
		return 1;
	for (r.at = s.start; record_get(&s, &r) && r.type != REC_END; record_step(&s, &r)) {
		if (r.type == REC_PAGE_DATA)
			add_pages(&m, &r);
		else if (r.type == REC_HVM_PARAMS)
			leave_out_rings(&m, &r);
	}
	ok = compare_all(&m, domid);
	printf("frames=%lu differ=%lu missing=%lu\n", m.frames, m.differ, m.missing);
	return ok && m.frames && !m.differ && !m.missing ? 0 : 1;
}
