/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What follows the libxc stream: the rest of the libxl stream. */
#include "inspect/walk.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static int read_tail(struct walk *w, void *dst, size_t n, const char *what)
{
	const struct xr_where at = { w->f.rd.pos, XR_NO_RECORD, XR_NO_TYPE };
	const int rc = dst ? xr_reader_get(&w->f.rd, dst, n, 0) : xr_reader_skip(&w->f.rd, n);

	if (!rc && (!w->in->file || w->f.rd.pos <= w->f.rd.size))
		return 0;
	if (rc && rc != -ENODATA)
		return xr_fail(w->err, rc, XR_STAGE_STREAM, &at, XR_NO_PFN,
			       "cannot read the stream at byte %llu, in %s: %s",
			       (unsigned long long)w->f.rd.pos, what, strerror(-rc));
	inspect_blame(w->in, INSPECT_BAD, &at, "the stream ends too early, in %s", what);
	return WALK_OVER;
}

/* Strings of an emulator's xenstore data come in pairs, each with its NUL. */
static bool is_pairs(const unsigned char *s, size_t n)
{
	size_t strings = 0;

	for (size_t i = 0; i < n; i++)
		strings += !s[i];
	return !n || (!s[n - 1] && strings % 2 == 0);
}

static int libxl_body(struct walk *w, const struct xr_wire_record *h, const struct xr_where *at)
{
	const uint32_t left = h->length < WALK_PIECE ? h->length : WALK_PIECE;
	const uint64_t rest = (uint64_t)h->length - left;
	unsigned char padding[8] = { 0 };
	uint32_t id = 0;
	int rc;

	rc = read_tail(w, w->piece, left, "a libxl record");
	if (!rc)
		rc = read_tail(w, NULL, rest, "a libxl record");
	if (!rc)
		rc = read_tail(w, padding, -h->length & 7, "a libxl record");
	if (rc)
		return rc;
	if (memcmp(padding, (unsigned char[8]){ 0 }, 8))
		inspect_blame(w->in, INSPECT_ODD, at, "the padding of a libxl record is not zero");
	if (h->type < 2 || h->type > 3)
		return 0;
	w->in->emulator_bytes += h->length;
	memcpy(&id, w->piece, left < 4 ? left : 4);
	if (h->length < 8 || le32toh(id) > 2)
		inspect_blame(w->in, INSPECT_BAD, at,
			      "libxl's emulator record names no emulator that is known");
	else if (h->type == 2 && !rest && !is_pairs(w->piece + 8, h->length - 8))
		inspect_blame(w->in, INSPECT_BAD, at,
			      "libxl's emulator xenstore data are no pairs of strings");
	return 0;
}

/* libxl's records behind the libxc stream: 2 and 3 of the emulator, 4 and 5 of checkpoints, END. */
static int libxl_record(struct walk *w)
{
	const struct xr_where at = { w->f.rd.pos, XR_NO_RECORD, XR_NO_TYPE };
	struct xr_wire_record h;
	int rc = read_tail(w, &h, sizeof(h), "the libxl stream behind the libxc stream");

	if (rc)
		return rc;
	h.type = le32toh(h.type);
	h.length = le32toh(h.length);
	if (h.type == 1 || h.type > 5) {
		inspect_blame(w->in, INSPECT_BAD, &at,
			      "the libxl stream goes on with a record of type %#x", h.type);
		return WALK_OVER;
	}
	if ((h.type == 0 || h.type == 4 ? h.length : h.type == 5 && !h.length))
		inspect_blame(w->in, INSPECT_BAD, &at, "libxl record of type %u has length %u",
			      h.type, h.length);
	rc = libxl_body(w, &h, &at);
	w->in->libxl_ended |= !rc && h.type == 0;
	return rc ? rc : h.type == 0 ? WALK_OVER : 0;
}

int inspect_tail(struct walk *w)
{
	struct inspect *in = w->in;
	int rc = in->layers.libxl ? 0 : WALK_OVER;

	while (!rc)
		rc = libxl_record(w);
	if (rc != WALK_OVER)
		return rc;
	in->libxl_end = w->f.rd.pos;
	if (in->file && w->f.rd.size > w->f.rd.pos)
		in->trailing = w->f.rd.size - w->f.rd.pos;
	return 0;
}
