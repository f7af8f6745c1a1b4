/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A receipt from its file; whoever wrote it. */
#include "receipt/receipt.h"

#include "base/digests.h"
#include "base/pfnset.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEX 16u
#define WORDS 8u

static bool hex_word(const char *text, uint64_t *out)
{
	*out = 0;
	for (unsigned int i = 0; i < HEX; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = text[i] ? strchr(digits, text[i]) : NULL;

		if (!at)
			return false;
		*out = *out << 4 | (uint64_t)(at - digits);
	}
	return true;
}

static bool digest(const json_t *j, uint64_t *out)
{
	const char *text = json_string_value(j);

	return text && strlen(text) == HEX && hex_word(text, out);
}

static bool bits(const json_t *j, uint64_t out[WORDS])
{
	const char *text = json_string_value(j);
	bool ok = text && strlen(text) == WORDS * HEX;

	for (unsigned int i = 0; ok && i < WORDS; i++)
		ok = hex_word(text + (size_t)(WORDS - 1 - i) * HEX, &out[i]);
	return ok;
}

static bool number(const json_t *j, uint64_t *out)
{
	const char *text = json_string_value(j);
	char *end;

	if (!text || !*text)
		return false;
	errno = 0;
	*out = strtoull(text, &end, 16);
	return !*end && !errno;
}

static bool region(const json_t *j, struct xr_region *r)
{
	const size_t n = json_array_size(j);

	memset(r, 0, sizeof(*r));
	if (n < 2 || n > 4 || !number(json_array_get(j, 0), &r->first) ||
	    !digest(json_array_get(j, 1), &r->digest))
		return false;
	memset(r->written, 0xff, sizeof(r->written));
	if (n > 2 && !bits(json_array_get(j, 2), r->written))
		return false;
	if (n > 3 && !bits(json_array_get(j, 3), r->own))
		return false;
	return r->first % XR_REGION_PAGES == 0 && r->first < XR_PFN_LIMIT;
}

static bool regions(struct receipt *r, const json_t *list)
{
	const size_t n = json_array_size(list);

	r->region = calloc(n ? n : 1, sizeof(*r->region));
	if (!r->region)
		return false;
	for (; r->n < n; r->n++) {
		struct xr_region *at = &r->region[r->n];

		if (!region(json_array_get(list, r->n), at) || (r->n && at->first <= at[-1].first))
			return false;
	}
	return true;
}

/* What its own digest says, so that a receipt that was changed is none. */
static bool is_whole(const struct receipt *r)
{
	uint64_t contents = 0;

	for (size_t i = 0; i < r->n; i++)
		contents = xr_digest_add_region(contents, &r->region[i]);
	return contents == r->stream.contents;
}

static uint64_t gfn(const json_t *j)
{
	uint64_t v;

	return number(j, &v) ? v : XR_NO_PFN;
}

static const char *take(struct receipt *r, json_t *j)
{
	struct receipt_stream *s = &r->stream;
	json_t *control, *contents, *list, *store = NULL, *console = NULL;
	json_int_t format, bytes, records;
	const char *guest;

	if (json_unpack(j, "{s:I}", "receipt", &format))
		return "it is not a receipt";
	if (format != RECEIPT_FORMAT)
		return "it is of a version that this program does not know";
	if (json_unpack(j, "{s:{s:s,s:I,s:I},s:{s:o,s:o},s:{s?o,s?o},s:o}", "stream", "guest",
			&guest, "bytes", &bytes, "records", &records, "digests", "contents",
			&contents, "control", &control, "restore", "store", &store, "console",
			&console, "regions", &list) ||
	    !digest(contents, &s->contents) || !digest(control, &s->control) ||
	    !json_is_array(list))
		return "it lacks what a receipt has";
	s->pv = !strcmp(guest, "pv");
	s->bytes = (uint64_t)bytes;
	s->records = (uint64_t)records;
	s->store_gfn = gfn(store);
	s->console_gfn = gfn(console);
	if (!regions(r, list))
		return "its list of regions is broken";
	return is_whole(r) ? NULL : "its regions are not those that its digest is of";
}

bool receipt_read(struct receipt *r, const char *path, char why[RECEIPT_TEXT])
{
	const char *wrong;
	json_error_t e;
	json_t *j;

	memset(r, 0, sizeof(*r));
	j = json_load_file(path, 0, &e);
	if (!j) {
		snprintf(why, RECEIPT_TEXT, "%s", e.text);
		return false;
	}
	wrong = take(r, j);
	json_decref(j);
	if (wrong)
		snprintf(why, RECEIPT_TEXT, "%s", wrong);
	return !wrong;
}

void receipt_free(struct receipt *r)
{
	free(r->region);
	r->region = NULL;
	r->n = 0;
}
