/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A picture of the guest's memory: rows of cells from the lowest pfn on, rows without any RAM left
 * out. The cells grow with the guest, so that the picture does not. Left: which memory there is and
 * in what pages; right: what was sent again.
 */
#include "inspect/inspect.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS 128u
#define ROWS_MAX 96u
#define CELL 5u
#define ROW_HEIGHT 7u
#define SKIP_HEIGHT 14u /* where rows are left out */
#define LABEL 96u
#define GAP 40u
#define TOP 86u
#define PANEL (COLUMNS * CELL)

enum shade { NONE, SOME, MOST, ALL_4K, IN_2M, IN_1G, SHADES };

static const char *const colours[SHADES] = { "#eceff1", "#c8e6c9", "#81c784",
					     "#388e3c", "#1e88e5", "#5e35b1" };
static const char *const meanings[SHADES] = { "hole",	     "under half RAM", "over half RAM",
					      "all RAM, 4K", "2M extents",     "1G extents" };
static const char *const heats[] = { "#eceff1", "#ffe0b2", "#ffb74d", "#f57c00", "#b71c1c" };
#define HEATS (sizeof(heats) / sizeof(heats[0]))
static const char *const heat_meanings[HEATS] = { "never", "up to 1/8", "up to 1/2", "up to twice",
						  "more" };

struct picture {
	FILE *to;
	const struct inspect *in;
	unsigned int order; /* a cell is 2^order pfns */
	uint64_t end;	    /* pfns from here on are not drawn */
	unsigned int y;
	bool resent; /* there is a panel at the right */
};

static uint64_t row_pfns(const struct picture *p)
{
	return (uint64_t)COLUMNS << p->order;
}

/* The first row from pfn on that holds RAM; false: there is none. */
static bool next_row(const struct picture *p, uint64_t *pfn)
{
	const uint64_t next = xr_pfnset_next(p->in->ram, *pfn, false);

	*pfn = next & ~(row_pfns(p) - 1);
	return next < p->end;
}

static unsigned int count_rows(const struct picture *p)
{
	unsigned int n = 0;

	for (uint64_t pfn = 0; n <= ROWS_MAX && next_row(p, &pfn); pfn += row_pfns(p))
		n++;
	return n;
}

static uint64_t ram_in(const struct inspect *in, uint64_t pfn, uint64_t n)
{
	const uint64_t end = pfn + n;
	uint64_t sum = 0;

	while ((pfn = xr_pfnset_next(in->ram, pfn, false)) < end) {
		uint64_t to = xr_pfnset_next(in->ram, pfn, true);

		to = to < end ? to : end;
		sum += to - pfn;
		pfn = to;
	}
	return sum;
}

/* Is most of the cell in extents of this size? */
static bool mostly(const struct xr_pfnset *set, uint64_t pfn, uint64_t n, unsigned int order)
{
	const uint64_t first = pfn >> order, end = (pfn + n - 1) >> order;
	uint64_t have = 0;

	if (!set)
		return false;
	for (uint64_t i = first; i <= end; i++)
		have += xr_pfnset_has(set, i);
	return 2 * have > end - first + 1;
}

static unsigned int shade_of(const struct picture *p, uint64_t pfn)
{
	const uint64_t n = 1ull << p->order, ram = ram_in(p->in, pfn, n);

	if (!ram)
		return NONE;
	if (mostly(p->in->plan.large_1g, pfn, n, 18))
		return IN_1G;
	if (mostly(p->in->plan.large_2m, pfn, n, 9))
		return IN_2M;
	if (ram == n)
		return ALL_4K;
	return 2 * ram >= n ? MOST : SOME;
}

static unsigned int heat_of(const struct picture *p, uint64_t pfn)
{
	const uint64_t n = 1ull << p->order;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < HEAT_PASSES; i++)
		sum += heat_sum(&p->in->heat, i, pfn, n);
	if (!sum)
		return 0;
	if (8 * sum < n)
		return 1;
	if (2 * sum < n)
		return 2;
	return sum < 2 * n ? 3 : 4;
}

/* What of [pfn, end) each later pass sent. */
static void tell_heat(const struct picture *p, uint64_t pfn, uint64_t end)
{
	for (unsigned int i = 0; i < HEAT_PASSES; i++) {
		const uint64_t n = heat_sum(&p->in->heat, i, pfn, end - pfn);

		if (n)
			fprintf(p->to, ", pass %u%s: %" PRIu64, i + 2,
				i + 1 == HEAT_PASSES ? " and later" : "", n);
	}
}

static void draw_run(const struct picture *p, unsigned int x, uint64_t row, unsigned int from,
		     unsigned int to, const char *colour, bool heat)
{
	const uint64_t first = row + ((uint64_t)from << p->order);
	const uint64_t end = row + ((uint64_t)to << p->order);

	fprintf(p->to,
		"<rect x='%u' y='%u' width='%u' height='%u' fill='%s'><title>pfn %#" PRIx64
		" to %#" PRIx64,
		x + from * CELL, p->y, (to - from) * CELL, ROW_HEIGHT - 1, colour, first, end - 1);
	if (heat)
		tell_heat(p, first, end);
	fputs("</title></rect>\n", p->to);
}

/* A row of cells, neighbours of one colour as one rectangle. */
static void draw_cells(const struct picture *p, bool heat, uint64_t pfn)
{
	unsigned int (*const look)(const struct picture *p, uint64_t pfn) =
		heat ? heat_of : shade_of;
	const char *const *palette = heat ? heats : colours;
	const unsigned int x = heat ? LABEL + PANEL + GAP : LABEL;
	unsigned int from = 0, shade = look(p, pfn);

	for (unsigned int i = 1; i <= COLUMNS; i++) {
		const unsigned int next =
			i < COLUMNS ? look(p, pfn + ((uint64_t)i << p->order)) : ~0u;

		if (next == shade)
			continue;
		draw_run(p, x, pfn, from, i, palette[shade], heat);
		from = i;
		shade = next;
	}
}

static void size_text(uint64_t pages, char text[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double v = 4 * (double)pages;
	unsigned int i = 0;

	for (; v >= 1024 && i < 3; i++)
		v /= 1024;
	snprintf(text, 32, "%.4g %s", v, units[i]);
}

static void draw_rows(struct picture *p)
{
	unsigned int free_from = 0; /* y where a label meets none above */
	uint64_t expected = 0;

	for (uint64_t pfn = 0; next_row(p, &pfn); pfn += row_pfns(p)) {
		if (pfn != expected) {
			char text[32];

			size_text(pfn - expected, text);
			fprintf(p->to, "<text class='gap' x='%u' y='%u'>%s without memory</text>\n",
				LABEL, p->y + 10, text);
			p->y += SKIP_HEIGHT;
		}
		if (p->y >= free_from) {
			fprintf(p->to, "<text class='at' x='%u' y='%u'>%#" PRIx64 "</text>\n",
				LABEL - 6, p->y + ROW_HEIGHT - 1, pfn);
			free_from = p->y + 2 * ROW_HEIGHT;
		}
		draw_cells(p, false, pfn);
		if (p->resent)
			draw_cells(p, true, pfn);
		p->y += ROW_HEIGHT;
		expected = pfn + row_pfns(p);
	}
}

static void legend(const struct picture *p, unsigned int x, unsigned int y, const char *title,
		   const char *const *palette, const char *const *texts, unsigned int n)
{
	fprintf(p->to, "<text x='%u' y='%u'>%s</text>\n", x, y, title);
	for (unsigned int i = 0; i < n; i++)
		fprintf(p->to,
			"<rect x='%u' y='%u' width='10' height='10' fill='%s'/><text class='key' "
			"x='%u' y='%u'>%s</text>\n",
			x + i * PANEL / n, y + 8, palette[i], x + i * PANEL / n + 14, y + 17,
			texts[i]);
}

/* What each pass sent, as bars; behind each there is room for its number. */
static void draw_passes(struct picture *p)
{
	const struct inspect *in = p->in;
	const unsigned int n = in->npasses < INSPECT_PASSES ? in->npasses : INSPECT_PASSES;
	const double full = PANEL - 100;
	uint64_t most = 1;

	for (unsigned int i = 0; i < n; i++)
		most = in->passes[i].contents > most ? in->passes[i].contents : most;
	p->y += 24;
	fprintf(p->to, "<text x='%u' y='%u'>contents sent in each pass</text>\n", LABEL, p->y);
	p->y += 8;
	for (unsigned int i = 0; i < n; i++, p->y += 14) {
		const double width = full * (double)in->passes[i].contents / (double)most;

		fprintf(p->to,
			"<text class='at' x='%u' y='%u'>%u%s</text><rect x='%u' y='%u' width='%.1f' "
			"height='11' fill='%s'/><text class='key' x='%.1f' y='%u'>%" PRIu64
			" pages</text>\n",
			LABEL - 6, p->y + 10, i + 1,
			i + 1 == INSPECT_PASSES && in->npasses > n ? "+" : "", LABEL, p->y, width,
			i ? heats[3] : colours[IN_2M], LABEL + 6 + width, p->y + 10,
			in->passes[i].contents);
	}
}

static void put_escaped(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (*s == '<' || *s == '&' || *s == '>' || (*s & 0x80) || *s < ' ')
			fprintf(to, *s == '<' ? "&lt;" : *s == '&' ? "&amp;" : "?");
		else
			fputc(*s, to);
	}
}

/* Two lines of text at 0,0 to the rows. */
static void head(const struct picture *p, const char *source)
{
	char cell[32], ram[32];

	size_text(1ull << p->order, cell);
	size_text(xr_pfnset_count(p->in->ram), ram);
	fprintf(p->to, "<text class='title' x='%u' y='20'>", LABEL);
	put_escaped(p->to, strcmp(source, "-") ? source : "standard input");
	fprintf(p->to,
		"</text>\n<text x='%u' y='38'>%s of RAM; a cell is %s, a row %u cells from the pfn "
		"at its left</text>\n",
		LABEL, ram, cell, COLUMNS);
	legend(p, LABEL, 56, "memory at the end of the stream", colours, meanings, SHADES);
	if (p->resent)
		legend(p, LABEL + PANEL + GAP, 56, "sent again, as a share of the cell", heats,
		       heat_meanings, HEATS);
}

static unsigned int count_gaps(const struct picture *p)
{
	uint64_t expected = 0;
	unsigned int n = 0;

	for (uint64_t pfn = 0; next_row(p, &pfn); pfn += row_pfns(p)) {
		n += pfn != expected;
		expected = pfn + row_pfns(p);
	}
	return n;
}

int inspect_svg(FILE *to, const struct inspect *in, const char *source)
{
	struct picture p = { .to = to, .in = in, .order = in->heat.order, .y = TOP };
	const unsigned int bars = in->npasses < INSPECT_PASSES ? in->npasses : INSPECT_PASSES;
	unsigned int width, height;

	p.end = XR_PFN_LIMIT;
	for (unsigned int i = 0; i < HEAT_PASSES; i++)
		p.resent |= in->heat.count[i] != NULL;
	while (count_rows(&p) > ROWS_MAX)
		p.order++;
	width = LABEL + PANEL + 24 + (p.resent ? GAP + PANEL : 0);
	height = TOP + count_rows(&p) * ROW_HEIGHT + count_gaps(&p) * SKIP_HEIGHT + 40 + bars * 14;
	fprintf(to,
		"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %u %u' width='%u' "
		"height='%u'>\n<style>text{font:12px sans-serif;fill:#263238}.title{font-weight:"
		"bold;font-size:15px}.at{text-anchor:end;font:9px monospace}.gap{font-size:10px;"
		"fill:#78909c}.key{font-size:10px}</style>\n<rect width='100%%' height='100%%' "
		"fill='white'/>\n",
		width, height, width, height);
	head(&p, source);
	draw_rows(&p);
	draw_passes(&p);
	fputs("</svg>\n", to);
	return ferror(to) ? -1 : 0;
}
