/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of a record with a body: the last one, END or CHECKPOINT, has none. */
static uint64_t ahead_of(const struct xr_frame *f)
{
	return f->end - f->rd.pos + sizeof(struct xr_wire_record);
}

static int blame_read(struct xr_frame *f, int code, const struct xr_where *at, const char *what)
{
	/* What is skipped in a file is not read: this may be behind its end. */
	const uint64_t where = f->rd.failed_at < f->rd.size ? f->rd.failed_at : f->rd.size;

	if (code == -ECANCELED)
		return xr_fail(f->err, code, XR_STAGE_STREAM, at, XR_NO_PFN,
			       "cancelled while reading %s", what);
	if (code == -ENODATA)
		return xr_fail(f->err, code, XR_STAGE_STREAM, at, XR_NO_PFN,
			       "the stream ends too early: at byte %" PRIu64 ", in %s", where,
			       what);
	return (xr_stream_lost(code) ? xr_fail : xr_fail_host)(
		f->err, code, XR_STAGE_STREAM, at, XR_NO_PFN,
		"cannot read the stream at byte %" PRIu64 ", in %s: %s", where, what,
		strerrordesc_np(-code) ?: "unknown error");
}

int xr_frame_bad(struct xr_frame *f, const char *text)
{
	return xr_fail(f->err, -EBADMSG, XR_STAGE_STREAM, &f->rec.where, XR_NO_PFN, "%s", text);
}

static int step_layers(struct xr_frame *f, struct xr_layers *l, uint64_t base)
{
	const uint64_t pos = f->rd.pos < f->rd.size ? f->rd.pos : f->rd.size;
	const struct xr_where at = { pos, XR_NO_RECORD, XR_NO_TYPE };
	unsigned char bytes[XR_LAYERS_STEP];
	int rc;

	if (l->skip)
		rc = xr_reader_skip(&f->rd, l->want);
	else
		rc = xr_reader_get(&f->rd, bytes, l->want, 0);
	if (rc)
		return blame_read(f, rc, &at, "the headers before the libxc stream");
	return xr_layers_step(l, l->skip ? NULL : bytes, base, f->err);
}

int xr_frame_headers(struct xr_frame *f, enum xr_layer layer, struct xr_stream_info *info)
{
	const uint64_t base = f->rd.pos;
	struct xr_layers l;
	struct xr_where at;
	int rc = 0;

	xr_layers_init(&l, layer);
	while (l.want && !rc)
		rc = step_layers(f, &l, base);
	if (rc)
		return rc;
	f->layers = l.seen;
	at = (struct xr_where){ f->rd.pos - 8, XR_NO_RECORD, XR_NO_TYPE };
	memset(f->head, 0xff, 8);
	rc = xr_reader_get(&f->rd, f->head + 8, sizeof(f->head) - 8, sizeof(struct xr_wire_record));
	if (rc)
		return blame_read(f, rc, &at, "the libxc headers");
	rc = xr_decode_image(&f->dec, f->head, at.offset, f->err);
	if (!rc)
		rc = xr_decode_domain(&f->dec, f->head + sizeof(struct xr_wire_image),
				      at.offset + sizeof(struct xr_wire_image), f->err);
	if (rc)
		return rc;
	info->version = f->dec.version;
	info->pv = f->dec.pv;
	info->xen_major = f->dec.xen_major;
	info->xen_minor = f->dec.xen_minor;
	info->libxc_offset = at.offset - info->start_offset;
	f->end = f->rd.pos;
	f->front = XR_CHUNK;
	return 0;
}

static int skip_rest(struct xr_frame *f)
{
	const uint64_t left = f->end - f->rd.pos;
	const int rc = left ? xr_reader_skip(&f->rd, left) : 0;

	if (!rc)
		return 0;
	return blame_read(f, rc, &f->rec.where, xr_record_name(f->rec.where.type));
}

int xr_frame_next(struct xr_frame *f)
{
	unsigned char head[sizeof(struct xr_wire_record)];
	struct xr_where at;
	int rc;

	rc = skip_rest(f);
	if (rc)
		return rc;
	at = (struct xr_where){ f->rd.pos, f->dec.records, XR_NO_TYPE };
	rc = xr_reader_get(&f->rd, head, sizeof(head), 0);
	if (rc == -ENODATA && at.offset > f->rd.size)
		return blame_read(f, rc, &f->rec.where, xr_record_name(f->rec.where.type));
	if (rc)
		return blame_read(f, rc, &at, "a record header");
	rc = xr_decode_header(&f->dec, head, at.offset, &f->rec, f->err);
	if (!rc)
		f->end = f->rd.pos + f->rec.padded;
	return rc;
}

int xr_frame_take(struct xr_frame *f, void *dst, size_t n, size_t ahead)
{
	const uint64_t most = ahead_of(f) - n;
	const int rc = xr_reader_get(&f->rd, dst, n, ahead < most ? ahead : (size_t)most);

	if (!rc)
		return 0;
	return blame_read(f, rc, &f->rec.where, xr_record_name(f->rec.where.type));
}

int xr_frame_body(struct xr_frame *f, void **body)
{
	int rc = 0;

	*body = NULL;
	if (f->rec.length) {
		*body = malloc(f->rec.padded);
		if (!*body)
			return xr_fail_host(f->err, -ENOMEM, XR_STAGE_STREAM, &f->rec.where,
					    XR_NO_PFN, "no memory for the body of %s, %u bytes",
					    xr_record_name(f->rec.where.type), f->rec.length);
		rc = xr_frame_take(f, *body, f->rec.padded, sizeof(struct xr_wire_record));
	}
	if (!rc)
		rc = xr_decode_body(&f->dec, &f->rec, *body, f->err);
	if (rc) {
		free(*body);
		*body = NULL;
	}
	return rc;
}

int xr_frame_pages(struct xr_frame *f, struct xr_pages *p)
{
	const size_t front =
		sizeof(struct xr_wire_record) + sizeof(struct xr_wire_pages) + 8 * (size_t)f->front;
	unsigned char head[sizeof(struct xr_wire_pages)];
	int rc;

	rc = xr_frame_take(f, head, sizeof(head), 8 * (size_t)f->front);
	if (!rc)
		rc = xr_decode_pages(&f->rec, head, p, f->err);
	if (rc)
		return rc;
	f->front = p->count;
	xr_reader_expect(&f->rd, f->end, f->end - f->rec.where.offset, front);
	return 0;
}

int xr_frame_entries(struct xr_frame *f, struct xr_pages *p, uint64_t *entries, size_t n)
{
	const size_t rest = 8 * (p->count - p->done - n);
	const size_t header = rest || p->room ? 0 : sizeof(struct xr_wire_record);
	const int rc = xr_frame_take(f, entries, 8 * n, rest + header);

	return rc ? rc : xr_decode_entries(&f->dec, &f->rec, p, entries, n, entries, f->err);
}
