/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams with what stands before them through the reader, out of memory that is as unhelpful as a
 * kernel may be: short reads, interrupted ones, failing ones, on a pipe and on a file. What comes
 * out must be what the decoder alone makes of the same bytes, and on a pipe no byte behind the end
 * may be asked for.
 */
#include "base/pfnset.h"
#include "fuzz/fuzz.h"
#include "stream/fake_io.h"
#include "stream/frame.h"
#include "stream/walk.h"

#include <errno.h>

#define BLOCK 512u

/* How the bytes are read: the first of the input. */
struct way {
	bool file, checkpointed, passes_over, bare;
	struct fake_io io;
};

struct told {
	uint64_t records, entries, pages, end;
};

static void choose_way(struct way *way, struct fuzz_input *in)
{
	static const int fails[] = { 0, -EINTR, -EAGAIN, -EIO };
	const uint64_t flags = fuzz_take(in, 1);
	const uint64_t step = fuzz_take(in, 2), at = fuzz_take(in, 3), random = fuzz_take(in, 1);

	*way = (struct way){
		.file = flags & 1,
		.checkpointed = flags & 2,
		.passes_over = flags & 4,
		.bare = flags & 8,
		.io = { .limit = UINT64_MAX, .step = step ? step : 1 << 20, .open = true },
	};
	way->io.file = way->file;
	way->io.random = way->file ? random : 0;
	way->io.fail_at = at ? at : UINT64_MAX;
	way->io.fail = fails[flags >> 4 & 3];
	way->io.bytes = in->at;
	way->io.n = in->left;
}

static int read_pages(struct xr_frame *f, const struct way *way, struct told *told)
{
	uint64_t entries[BLOCK];
	unsigned char page[XR_WIRE_PAGE];
	struct xr_pages p;
	int rc = xr_frame_pages(f, &p);

	while (!rc && p.done < p.count) {
		const uint32_t left = p.count - p.done;

		rc = xr_frame_entries(f, &p, entries, left < BLOCK ? left : BLOCK);
	}
	for (uint32_t i = 0; !rc && i < p.room && !way->passes_over; i++)
		rc = xr_frame_take(f, page, sizeof(page), sizeof(struct xr_wire_record));
	if (rc)
		return rc;
	told->entries += p.count;
	told->pages += p.data;
	return 0;
}

static int read_record(struct xr_frame *f, const struct way *way, struct told *told)
{
	void *body = NULL;
	int rc = xr_frame_next(f);

	if (!rc && f->rec.kind == XR_RECORD_CONTROL)
		rc = xr_frame_body(f, &body);
	else if (!rc && f->rec.kind == XR_RECORD_PAGES)
		rc = read_pages(f, way, told);
	free(body);
	if (rc)
		return rc;
	told->records++;
	told->end = f->end;
	return 0;
}

static int read_stream(struct way *way, struct told *told, struct xr_error *err)
{
	struct xr_stream_info info = { .seekable = way->file };
	struct xr_frame f = { .err = err };
	int rc = xr_reader_init(&f.rd, &fake_ops, &way->io, way->file, 0);

	if (way->file)
		f.rd.size = way->io.n;
	xr_decoder_init(&f.dec, way->checkpointed, XR_PFN_LIMIT - 1);
	if (!rc)
		rc = xr_frame_headers(&f, way->bare ? XR_LAYER_LIBXC : XR_LAYER_AUTO, &info);
	do {
		if (!rc)
			rc = read_record(&f, way, told);
	} while (!rc && f.rec.kind != XR_RECORD_END && f.rec.kind != XR_RECORD_CHECKPOINT);
	xr_reader_close(&f.rd);
	return rc;
}

static void check_error(int rc, const struct xr_error *err)
{
	fuzz_claim(rc == err->code, "returned %d, the error has %d", rc, err->code);
	fuzz_claim(!rc || (err->stage == XR_STAGE_STREAM && err->text[0]), "%d: says nothing", rc);
	fuzz_claim(rc == 0 || rc == -EBADMSG || rc == -EOPNOTSUPP || rc == -ENODATA || rc == -EIO,
		   "an error that cannot be: %d, %s", rc, err->text);
}

/* Against the decoder alone. It looks at whole records only, so may find an end where the reader
 * finds fault. */
static void compare(const struct way *way, int rc, const struct told *told,
		    const struct xr_error *err)
{
	struct xr_error alone;
	struct walk w;
	int want;

	xr_error_clear(&alone);
	want = walk_stream(&w, way->io.bytes, way->io.n, way->checkpointed, &alone);
	if (way->io.failed &&
	    (way->io.fail == -EIO || !way->io.fail)) /* ahead in a file: no matter */
		fuzz_claim(rc || way->file, "went on behind the end of the stream");
	else if (want == -ENODATA)
		fuzz_claim(rc == -ENODATA || rc == -EBADMSG, "%d where bytes are missing: %s", rc,
			   err->text);
	else
		fuzz_claim(rc == want && (!rc || err->offset == alone.offset),
			   "%d at %#llx, the decoder alone says %d at %#llx", rc,
			   (unsigned long long)err->offset, want, (unsigned long long)alone.offset);
	if (!rc)
		fuzz_claim(told->records == w.records && told->entries == w.entries &&
				   told->pages == w.pages && told->end == w.end,
			   "counts differ from the decoder's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct told told = { 0 };
	struct xr_error err;
	struct walk w;
	struct way way;
	int rc;

	choose_way(&way, &in);
	xr_error_clear(&err);
	if (!way.file && !walk_stream(&w, way.io.bytes, way.io.n, way.checkpointed, &err))
		way.io.limit = w.end;
	xr_error_clear(&err);
	rc = read_stream(&way, &told, &err);
	check_error(rc, &err);
	fuzz_claim(!way.io.open, "the input was not given back");
	if (!way.bare)
		compare(&way, rc, &told, &err);
	return 0;
}
