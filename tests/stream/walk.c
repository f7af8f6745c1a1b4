/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/walk.h"

#include "base/pfnset.h"
#include "stream/layers.h"
#include "stream/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Copies to blocks of the exact size, so that a sanitizer sees a read that goes too far. */
static void *exact(const unsigned char *bytes, size_t n)
{
	void *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, n);
	return copy;
}

static void digest(struct walk *w, const void *bytes, size_t n)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < n; i++)
		w->digest = (w->digest ^ b[i]) * 0x100000001b3ull;
}

static int walk_layers(const unsigned char *bytes, size_t n, size_t *at, struct xr_error *err)
{
	struct xr_layers l;
	int rc = 0;

	xr_layers_init(&l, XR_LAYER_AUTO);
	while (!rc && l.want) {
		const uint32_t want = l.want;
		void *copy;

		if (n - *at < want)
			return -ENODATA;
		copy = l.skip ? NULL : exact(bytes + *at, want);
		rc = xr_layers_step(&l, copy, 0, err);
		free(copy);
		*at += want;
	}
	return rc;
}

static int walk_pages(struct walk *w, const struct xr_record *rec, const unsigned char *body,
		      struct xr_error *err)
{
	struct xr_pages p;
	size_t at = 8;
	int rc = xr_decode_pages(rec, body, &p, err);

	while (!rc && p.done < p.count) {
		const uint32_t left = p.count - p.done, n = left < 3 ? left : 3;
		uint64_t *entries = exact(body + at, 8 * (size_t)n);

		rc = xr_decode_entries(&w->dec, rec, &p, entries, n, entries, err);
		if (!rc)
			digest(w, entries, 8 * (size_t)n);
		free(entries);
		at += 8 * (size_t)n;
	}
	if (rc)
		return rc;
	w->entries += p.count;
	w->pages += p.data;
	digest(w, body + at, rec->length - at);
	return 0;
}

static int walk_body(struct walk *w, const struct xr_record *rec, const unsigned char *bytes,
		     struct xr_error *err)
{
	unsigned char *body = exact(bytes, rec->length);
	int rc = 0;

	if (rec->kind == XR_RECORD_CONTROL) {
		rc = xr_decode_body(&w->dec, rec, body, err);
		digest(w, &rec->where.type, 4);
		digest(w, body, rec->length);
	} else if (rec->kind == XR_RECORD_PAGES) {
		rc = walk_pages(w, rec, body, err);
	}
	free(body);
	return rc;
}

static int walk_records(struct walk *w, const unsigned char *bytes, size_t n, size_t at,
			struct xr_error *err)
{
	struct xr_record rec;
	int rc;

	for (;;) {
		unsigned char *head;

		if (n - at < 8)
			return -ENODATA;
		head = exact(bytes + at, 8);
		rc = xr_decode_header(&w->dec, head, at, &rec, err);
		free(head);
		if (rc)
			return rc;
		at += 8;
		if (n - at < rec.padded)
			return -ENODATA;
		rc = walk_body(w, &rec, bytes + at, err);
		if (rc)
			return rc;
		at += rec.padded;
		w->records++;
		w->end = at;
		if (rec.kind == XR_RECORD_END || rec.kind == XR_RECORD_CHECKPOINT)
			return 0;
	}
}

int walk_stream(struct walk *w, const unsigned char *bytes, size_t n, bool checkpointed,
		struct xr_error *err)
{
	unsigned char *head;
	size_t at = 0;
	int rc;

	memset(w, 0, sizeof(*w));
	w->digest = 0xcbf29ce484222325ull;
	xr_decoder_init(&w->dec, checkpointed, XR_PFN_LIMIT - 1);
	rc = walk_layers(bytes, n, &at, err);
	if (rc)
		return rc;
	at -= 8;
	if (n - at < 40)
		return -ENODATA;
	head = exact(bytes + at, 40);
	rc = xr_decode_image(&w->dec, head, at, err);
	if (!rc)
		rc = xr_decode_domain(&w->dec, head + 24, at + 24, err);
	free(head);
	return rc ? rc : walk_records(w, bytes, n, at + 40, err);
}
