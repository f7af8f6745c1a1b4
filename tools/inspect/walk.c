/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walk: records one by one, by the frame reader of the stream stage. A record that is refused
 * is noted and passed over, as long as its length can be trusted; only then is the walk over.
 */
#include "inspect/walk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX (1u << 20)

void inspect_problem(struct inspect *in, enum inspect_severity severity, const struct xr_error *e)
{
	if (severity > in->worst)
		in->worst = severity;
	for (unsigned int i = 0; i < in->nproblems; i++) {
		struct inspect_problem *p = &in->problems[i];

		if (p->severity == severity && p->what.type == e->type &&
		    !strcmp(p->what.text, e->text)) {
			p->more++;
			return;
		}
	}
	if (in->nproblems == INSPECT_PROBLEMS) {
		in->unlisted++;
		return;
	}
	in->problems[in->nproblems++] = (struct inspect_problem){ severity, *e, 0 };
}

void inspect_blame(struct inspect *in, enum inspect_severity severity, const struct xr_where *at,
		   const char *fmt, ...)
{
	struct xr_error e;
	va_list args;

	xr_error_clear(&e);
	e.code = -EBADMSG;
	e.stage = XR_STAGE_STREAM;
	if (at) {
		e.offset = at->offset;
		e.record = at->record;
		e.type = at->type;
	}
	va_start(args, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, args);
	va_end(args);
	inspect_problem(in, severity, &e);
}

/* The stream is to blame: noted, 0. This machine is: the error is handed on. */
static int blame(struct walk *w)
{
	const int code = w->why.code;

	if (code != -EBADMSG && code != -ENODATA && code != -EOPNOTSUPP) {
		*w->err = w->why;
		return code;
	}
	inspect_problem(w->in, INSPECT_BAD, &w->why);
	return code == -ENODATA ? WALK_OVER : 0;
}

static int no_memory(struct walk *w)
{
	return xr_fail_host(w->err, -ENOMEM, XR_STAGE_STREAM, &w->f.rec.where, XR_NO_PFN,
			    "no memory to follow the guest's frames");
}

/* --- page data ------------------------------------------------------------------------------ */

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, XR_WIRE_PAGE - 1);
}

static int read_contents(struct walk *w, uint32_t pages)
{
	const uint32_t most = WALK_PIECE / XR_WIRE_PAGE;
	int rc = 0;

	for (uint32_t at = 0, n; !rc && at < pages; at += n) {
		n = pages - at < most ? pages - at : most;
		rc = xr_frame_take(&w->f, w->piece, (size_t)n * XR_WIRE_PAGE, 0);
		for (uint32_t i = 0; !rc && i < n; i++)
			w->in->zero_pages += is_zero(w->piece + (size_t)i * XR_WIRE_PAGE);
	}
	return rc ? blame(w) : 0;
}

static int take_entries(struct walk *w, struct xr_pages *p, size_t n)
{
	const struct xr_where *at = &w->f.rec.where;
	struct inspect *in = w->in;
	uint64_t odd = 0;
	int rc;

	rc = xr_frame_take(&w->f, w->raw, 8 * n, 8 * (p->count - p->done - n));
	for (size_t i = 0; !rc && i < n; i++)
		odd |= le64toh(w->raw[i]) & ~XR_WIRE_ENTRY_BITS;
	if (!rc && odd)
		inspect_blame(in, INSPECT_ODD, at, "PAGE_DATA: reserved bits of entries are set");
	if (!rc)
		rc = xr_decode_entries(&w->f.dec, &w->f.rec, p, w->raw, n, w->entries, &w->why);
	if (rc)
		return rc;
	if (inspect_frames(in, at, w->entries, n))
		return no_memory(w);
	return !in->indexed && !in->strewn
		       ? inspect_plan_add(in, at, w->entries, n, p->ascending, w->err)
		       : 0;
}

static int pages(struct walk *w)
{
	struct inspect_record r = { .where = w->f.rec.where, .length = w->f.rec.length };
	struct xr_pages p;
	int rc = xr_frame_pages(&w->f, &p);

	if (!rc && p.reserved)
		inspect_blame(w->in, INSPECT_ODD, &w->f.rec.where,
			      "PAGE_DATA: its reserved field is %#x, not 0", p.reserved);
	while (!rc && p.done < p.count) {
		const uint32_t left = p.count - p.done;

		rc = take_entries(w, &p, left < WALK_STEP ? left : WALK_STEP);
	}
	if (rc)
		return w->err->code ? rc : blame(w);
	r.pages = true;
	r.entries = p.count;
	r.contents = p.data;
	r.first = p.first;
	r.last = p.last;
	if (w->in->on_record)
		w->in->on_record(&r, w->in->opaque);
	return w->in->contents_read ? read_contents(w, p.room) : 0;
}

/* --- other records -------------------------------------------------------------------------- */

static void tell_record(struct walk *w)
{
	const struct inspect_record r = { .where = w->f.rec.where, .length = w->f.rec.length };

	if (w->in->on_record)
		w->in->on_record(&r, w->in->opaque);
}

static int control(struct walk *w)
{
	void *body;

	tell_record(w);
	if (xr_frame_body(&w->f, &body))
		return blame(w);
	inspect_control(w->in, &w->f.rec, body);
	free(body);
	return 0;
}

static int skipped(struct walk *w)
{
	w->in->skipped++;
	tell_record(w);
	inspect_blame(
		w->in, INSPECT_ODD, &w->f.rec.where,
		"optional record of type %#x, which no version of the format knows; a restore "
		"passes it over",
		w->f.rec.where.type);
	return 0;
}

static int checkpoint(struct walk *w)
{
	tell_record(w);
	if (!w->in->checkpoints++)
		inspect_blame(w->in, INSPECT_NOTE, &w->f.rec.where,
			      "CHECKPOINT record: a stream of Remus or COLO, which 'xenrestore "
			      "restore --type remus' takes and a restore as a plain one refuses");
	return 0;
}

static int end(struct walk *w)
{
	tell_record(w);
	w->in->ended = true;
	return xr_reader_skip(&w->f.rd, w->f.end - w->f.rd.pos) ? blame(w) : WALK_OVER;
}

/*
 * A record that the rules refuse. Pages and the end are followed all the same, as if what they
 * lack had been there, so that one omission is told once.
 */
static int refused(struct walk *w, const struct xr_decoder *before)
{
	struct xr_frame *f = &w->f;
	const struct xr_wire_record head = { htole32(f->rec.where.type), htole32(f->rec.length) };
	struct xr_error ignored;

	if (f->rec.length > XR_WIRE_BODY_MAX)
		return WALK_OVER; /* where the next one begins is anybody's guess */
	f->end = f->rd.pos + f->rec.padded;
	f->dec = *before;
	f->dec.records++;
	f->rec.kind = XR_RECORD_SKIP;
	if (f->rec.where.type == XR_REC_END)
		return end(w);
	if (f->rec.where.type != XR_REC_PAGE_DATA) {
		tell_record(w);
		return 0;
	}
	f->dec = *before;
	f->dec.static_end = true;
	if (!f->dec.pv_frames) {
		f->dec.pv_frames = true;
		f->dec.pv_max_pfn = f->dec.max_pfn;
	}
	xr_error_clear(&ignored);
	if (xr_decode_header(&f->dec, &head, f->rec.where.offset, &f->rec, &ignored)) {
		f->rec.kind = XR_RECORD_SKIP;
		return 0;
	}
	return pages(w);
}

static void count(struct inspect *in, uint32_t type)
{
	in->records++;
	if (type < INSPECT_RECORD_TYPES)
		in->by_type[type]++;
}

static int one_record(struct walk *w)
{
	const struct xr_decoder before = w->f.dec;
	int rc;

	xr_error_clear(&w->why);
	rc = xr_frame_next(&w->f);
	if (w->f.dec.records > before.records)
		count(w->in, w->f.rec.where.type);
	if (rc) {
		const bool header = w->f.dec.records > before.records;

		rc = blame(w);
		if (rc || !header)
			return rc ? rc : WALK_OVER;
		return refused(w, &before);
	}
	switch (w->f.rec.kind) {
	case XR_RECORD_CONTROL:
		return control(w);
	case XR_RECORD_PAGES:
		return pages(w);
	case XR_RECORD_CHECKPOINT:
		return checkpoint(w);
	case XR_RECORD_END:
		return end(w);
	case XR_RECORD_SKIP:
		return skipped(w);
	}
	return WALK_OVER;
}

/* --- the whole ------------------------------------------------------------------------------ */

/* What xl's configuration says of the guest: a help, no more. */
static void read_config(struct walk *w)
{
	const struct xr_layers_seen *l = &w->f.layers;
	char *text;
	ssize_t n;

	if (!w->in->file || !l->xl || l->data_length < 8 || l->data_length > CONFIG_MAX)
		return;
	text = malloc(l->data_length);
	if (!text)
		return;
	n = pread(w->in->fd, text, l->data_length, (off_t)(w->in->info.start_offset + l->data_at));
	if (n == (ssize_t)l->data_length)
		inspect_config(w->in, text + 4, l->data_length - 4);
	free(text);
}

static int walk(struct walk *w)
{
	struct inspect *in = w->in;
	int rc;

	w->f.err = &w->why;
	rc = xr_frame_headers(&w->f, XR_LAYER_AUTO, &in->info);
	in->layers = w->f.layers;
	if (rc) {
		rc = blame(w);
		return rc == WALK_OVER ? 0 : rc;
	}
	in->headers = true;
	read_config(w);
	inspect_headers(in, w->f.head);
	if (in->info.pv) /* Xen keeps no p2m for it: its pages have no size */
		in->policy = XR_POLICY_4K;
	rc = inspect_plan_open(in, w->err);
	while (!rc)
		rc = one_record(w);
	if (rc != WALK_OVER)
		return rc;
	in->end_offset = w->f.end;
	if (in->ended)
		rc = inspect_tail(w);
	return rc == WALK_OVER ? 0 : rc;
}

/* --- set-up --------------------------------------------------------------------------------- */

static int setup_fail(struct xr_error *err, int code, const char *what)
{
	return xr_fail_host(err, code, XR_STAGE_SETUP, NULL, XR_NO_PFN, "%s: %s", what,
			    strerror(-code));
}

static int open_reader(struct walk *w)
{
	static const int stop[2] = { -1, -1 };
	const struct xr_io_ops *ops = &xr_io_uring;
	struct inspect *in = w->in;
	void *io;
	int rc;

	rc = xr_io_uring_open(&io, in->fd, stop);
	if (rc) {
		ops = &xr_io_plain;
		rc = xr_io_plain_open(&io, in->fd, stop);
	}
	if (rc)
		return setup_fail(w->err, rc, "cannot set up the reader");
	rc = xr_reader_init(&w->f.rd, ops, io, in->file, in->info.start_offset);
	if (rc)
		return setup_fail(w->err, rc, "cannot set up the reader");
	if (in->file)
		w->f.rd.size = in->info.start_offset + in->size;
	return 0;
}

static int look_at_fd(struct inspect *in, struct xr_error *err)
{
	struct stat st;
	off_t at;

	if (fstat(in->fd, &st))
		return setup_fail(err, -errno, "cannot use the stream's fd");
	if (S_ISDIR(st.st_mode))
		return xr_fail(err, -EISDIR, XR_STAGE_SETUP, NULL, XR_NO_PFN,
			       "that is a directory, not a stream");
	in->file = S_ISREG(st.st_mode);
	in->contents_read = in->contents || !in->file;
	if (!in->file)
		return 0;
	at = lseek(in->fd, 0, SEEK_CUR);
	if (at < 0)
		return setup_fail(err, -errno, "cannot tell the stream file's offset");
	in->info.start_offset = (uint64_t)at;
	in->size = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
	return 0;
}

/* Would a restore plan by an index? What is wrong with the stream, the walk will find. */
static int try_index(struct inspect *in, struct xr_error *err)
{
	const struct xr_stream_config cfg = { .fd = in->fd, .max_pfn = XR_PFN_LIMIT - 1 };
	struct xr_index *index = NULL;
	struct xr_stream *s;
	struct xr_error why;
	int rc;

	if (!in->file || in->policy == XR_POLICY_SPECULATIVE)
		return 0;
	rc = xr_stream_open(&s, &cfg, -1, &why);
	if (!rc)
		rc = xr_stream_index(s, &index, &why);
	if (index) {
		in->indexed = true;
		in->live_pages = index->live_pages;
	}
	xr_index_free(index);
	xr_stream_close(&s);
	if (!rc || !why.host_failed)
		return 0;
	*err = why;
	return rc;
}

static void final_checks(struct inspect *in)
{
	if (in->ended && !in->info.pv && !in->guest.context)
		inspect_blame(in, INSPECT_BAD, NULL,
			      "there is no HVM_CONTEXT record: the guest's CPUs and devices are "
			      "missing");
	if (in->ended && !in->info.pv && !in->guest.nparams)
		inspect_blame(in, INSPECT_NOTE, NULL,
			      "there is no HVM_PARAMS record: where the rings of xenstore and "
			      "console lie is not known");
	if (in->ended && in->info.version > 2 && (!in->guest.leaves || !in->guest.nmsrs))
		inspect_blame(in, INSPECT_NOTE, NULL,
			      "the CPU policy is not complete:%s%s is missing; the toolstack must "
			      "supply it",
			      in->guest.leaves ? "" : " CPUID", in->guest.nmsrs ? "" : " MSRs");
}

int inspect_run(struct inspect *in, struct xr_error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int rc;

	xr_error_clear(err);
	in->ram = xr_pfnset_new();
	in->lost = xr_pfnset_new();
	in->highest = in->last_pfn = XR_NO_PFN;
	if (!w || !in->ram || !in->lost) {
		free(w);
		return setup_fail(err, -ENOMEM, "cannot inspect the stream");
	}
	w->in = in;
	w->err = err;
	xr_error_clear(&w->why);
	rc = look_at_fd(in, err);
	if (!rc)
		rc = try_index(in, err);
	if (!rc)
		rc = open_reader(w);
	if (!rc) {
		xr_decoder_init(&w->f.dec, true, XR_PFN_LIMIT - 1);
		rc = walk(w);
	}
	if (!rc && in->headers && !in->strewn)
		rc = inspect_plan_finish(in, err);
	if (!rc)
		final_checks(in);
	xr_reader_close(&w->f.rd);
	inspect_plan_close(in);
	free(w);
	return rc;
}

void inspect_free(struct inspect *in)
{
	xr_pfnset_free(in->ram);
	xr_pfnset_free(in->lost);
	xr_pfnset_free(in->plan.large_2m);
	xr_pfnset_free(in->plan.large_1g);
	heat_free(&in->heat);
}
