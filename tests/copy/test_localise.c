/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page tables of PV guests: what becomes of their entries, alone and by the workers. */
#include "copy/localise.h"
#include "host/model.h"
#include "lib/isolate.h"
#include "lib/sanitizer.h"

#include "copy/copy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PRESENT 1ull
#define HIGH_BITS 0xfff0000000000000ull
#define FRAMES 3000u

static struct xr_p2m *small_guest(void)
{
	struct xr_p2m *p = xr_p2m_create();

	cr_assert_not_null(p);
	xr_p2m_raise(p, 99);
	xr_p2m_set(p, 10, 0xabcdef0123ull, 20);
	return p;
}

Test(localise, present_entries_get_their_mfn_and_keep_the_rest)
{
	struct xr_p2m *p = small_guest();
	uint64_t e[512] = { 0 }, pfn = 0;

	e[0] = 10ull << 12 | 0xe67 | HIGH_BITS;
	e[1] = 50ull << 12 | 0xffe; /* not present: may name anything */
	e[2] = ~1ull;
	e[511] = 29ull << 12 | PRESENT;
	cr_assert_eq(xr_localise(e, p, &pfn), 0);
	cr_assert_eq(e[0], 0xabcdef0123ull << 12 | 0xe67 | HIGH_BITS);
	cr_assert_eq(e[1], 50ull << 12 | 0xffe);
	cr_assert_eq(e[2], ~1ull);
	cr_assert_eq(e[511], (0xabcdef0123ull + 19) << 12 | PRESENT);
	xr_p2m_destroy(p);
}

Test(localise, a_pfn_without_a_frame_leaves_the_page_alone)
{
	struct xr_p2m *p = small_guest();
	uint64_t e[512] = { 10ull << 12 | 1, 99ull << 12 | 1, 98ull << 12 | 1 }, was[512], pfn = 0;

	memcpy(was, e, sizeof(e));
	cr_assert_eq(xr_localise(e, p, &pfn), -ENOENT);
	cr_assert_eq(pfn, 99);
	cr_assert_arr_eq(e, was, sizeof(e));
	xr_p2m_destroy(p);
}

Test(localise, a_pfn_behind_the_guest_is_told_first)
{
	static const uint64_t beyond[] = { 100, 1ull << 32, (1ull << 40) - 1 };
	struct xr_p2m *p = small_guest();

	xr_p2m_set(p, 100, 5, 1); /* guessed, say */
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		uint64_t e[512] = { 10ull << 12 | 1, 99ull << 12 | 1, beyond[i] << 12 | 1 };
		uint64_t was[512], pfn = 0;

		memcpy(was, e, sizeof(e));
		cr_assert_eq(xr_localise(e, p, &pfn), -ERANGE);
		cr_assert_eq(pfn, beyond[i]);
		cr_assert_arr_eq(e, was, sizeof(e));
	}
	xr_p2m_destroy(p);
}

struct stage {
	struct xr_model *m;
	struct xr_host *h;
	struct xr_p2m *p2m;
	struct xr_copy *c;
	struct xr_error err;
};

/* A page table at every third pfn; its entries refer to the pfns behind it. */
static bool is_table(uint64_t pfn)
{
	return pfn % 3 == 0;
}

static uint64_t raw_entry(uint64_t pfn, unsigned int i)
{
	return i % 5 ? ((pfn + i) % FRAMES) << 12 | 0x63 | HIGH_BITS : 0;
}

static bool fill(struct stage *s)
{
	uint64_t pfns[FRAMES], mfns[FRAMES], e[512];

	for (uint64_t i = 0; i < FRAMES; i++)
		pfns[i] = i;
	if (s->h->ops->populate(s->h, 0, FRAMES, pfns, mfns) != FRAMES)
		return false;
	for (uint64_t pfn = 0; pfn < FRAMES; pfn++) {
		for (unsigned int i = 0; i < 512; i++)
			e[i] = raw_entry(pfn, i);
		xr_p2m_set(s->p2m, pfn, mfns[pfn], 1);
		xr_p2m_set_raw(s->p2m, pfn, is_table(pfn));
		if (xr_model_poke(s->m, pfn, e))
			return false;
	}
	xr_p2m_raise(s->p2m, FRAMES - 1);
	return true;
}

static bool open_stage(struct stage *s, enum xr_worker_kind kind)
{
	struct xr_copy_config cfg = { .workers = 3, .kind = kind, .ordered = true, .fd = -1 };
	struct xr_model_settings ms;

	xr_model_settings_default(&ms);
	ms.pv = true;
	ms.no_huge = true;
	memset(s, 0, sizeof(*s));
	s->p2m = xr_p2m_create();
	cfg.p2m = s->p2m;
	if (xr_model_create(&s->m, &ms) || xr_host_model_open(&s->h, s->m) ||
	    xr_copy_open(&s->c, s->h, &cfg, &s->err))
		return false;
	xr_copy_set_pv(s->c, true);
	return fill(s);
}

static void close_stage(struct stage *s)
{
	xr_copy_close(&s->c);
	s->h->ops->close(s->h);
	xr_model_destroy(&s->m);
	xr_p2m_destroy(s->p2m);
}

static int localise_tables(struct stage *s)
{
	uint64_t pfns[FRAMES];
	size_t n = 0;
	int rc = 0;

	for (uint64_t pfn = 0; pfn < FRAMES; pfn++)
		if (is_table(pfn))
			pfns[n++] = pfn;
	for (size_t at = 0; !rc && at < n; at += 300)
		rc = xr_copy_localise(s->c, NULL, pfns + at, n - at < 300 ? n - at : 300, &s->err);
	return rc ? rc : xr_copy_drain(s->c, &s->err);
}

/* Tables that refer to pfn `without` stay as they are. */
static bool is_right(struct stage *s, uint64_t pfn, uint64_t without)
{
	bool lacks = false;
	uint64_t e[512];

	if (xr_model_peek(s->m, pfn, e))
		return false;
	for (unsigned int i = 0; i < 512; i++)
		lacks |= raw_entry(pfn, i) && (pfn + i) % FRAMES == without;
	if (xr_p2m_is_raw(s->p2m, pfn) != (is_table(pfn) && lacks))
		return false;
	for (unsigned int i = 0; i < 512; i++) {
		const uint64_t raw = raw_entry(pfn, i);
		const uint64_t mfn = xr_model_mfn(s->m, (pfn + i) % FRAMES);

		if (e[i] != (is_table(pfn) && !lacks && raw
				     ? (raw & ~0xffffffffff000ull) | mfn << 12
				     : raw))
			return false;
	}
	return true;
}

struct job {
	enum xr_worker_kind kind;
	uint64_t without;
};

static bool by_workers(void *arg, char *why, size_t room)
{
	const struct job *j = arg;
	struct xr_model_stats st;
	struct xr_copy_stats cs;
	struct stage s;
	bool ok = true;

	if (!open_stage(&s, j->kind))
		return snprintf(why, room, "no stage: %s", s.err.text), false;
	if (j->without < FRAMES)
		xr_p2m_unset(s.p2m, j->without, 1);
	if (localise_tables(&s))
		return snprintf(why, room, "%s", s.err.text), false;
	xr_copy_stats(s.c, &cs);
	for (uint64_t pfn = 0; ok && pfn < FRAMES; pfn++) {
		/* the frame that is left out has no entry to be raw by */
		ok = pfn == j->without || is_right(&s, pfn, j->without);
		if (!ok)
			snprintf(why, room, "pfn %lu is wrong", pfn);
	}
	xr_model_stats(s.m, &st);
	if (ok && (st.live_mappings || cs.tables_localised + cs.tables_lacking != FRAMES / 3 ||
		   !cs.tables_lacking != (j->without >= FRAMES)))
		ok = snprintf(why, room, "%lu mapped, %lu localised, %lu lacking", st.live_mappings,
			      cs.tables_localised, cs.tables_lacking) < 0;
	close_stage(&s);
	return ok;
}

Test(localise, workers_do_it_in_place)
{
	char why[ISOLATE_WHY];

	for (int processes = 0; processes <= !NO_PROCESSES; processes++) {
		struct job j = { processes ? XR_WORKER_PROCESS : XR_WORKER_THREAD, FRAMES };

		cr_assert(isolated(by_workers, &j, why), "%s", why);
		j.without = 1000; /* no table */
		cr_assert(isolated(by_workers, &j, why), "%s", why);
	}
}

static bool with_a_hostile_entry(void *arg, char *why, size_t room)
{
	const struct job *j = arg;
	uint64_t e[512] = { 1, (uint64_t)FRAMES << 12 | 1 };
	struct stage s;
	bool ok;

	if (!open_stage(&s, j->kind) || xr_model_poke(s.m, 333, e))
		return false;
	ok = localise_tables(&s) == -EBADMSG && s.err.pfn == 333 && !s.err.host_failed &&
	     strstr(s.err.text, "0xbb8");
	if (!ok)
		snprintf(why, room, "%d, %s", s.err.code, s.err.text);
	close_stage(&s);
	return ok;
}

Test(localise, a_hostile_entry_is_an_error_that_names_the_table)
{
	char why[ISOLATE_WHY];

	for (int processes = 0; processes <= !NO_PROCESSES; processes++) {
		struct job j = { processes ? XR_WORKER_PROCESS : XR_WORKER_THREAD, FRAMES };

		cr_assert(isolated(with_a_hostile_entry, &j, why), "%s", why);
	}
}
