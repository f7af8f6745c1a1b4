/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of real guests must restore to what their manifest says. The small one of the repository
 * always, and those of a directory that environment XR_STREAMS names.
 */
#include "lib/digest.h"
#include "lib/feed.h"
#include "lib/isolate.h"
#include "lib/pvref.h"
#include "lib/sanitizer.h"
#include "props/check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

struct entry {
	char file[128], guest[32], sha256[65];
	uint64_t libxc_offset, end_offset, populated, whole_2m, store_gfn, console_gfn, trailing,
		pages;
};

struct bytes {
	unsigned char *at;
	size_t size;
};

/* A stream, and one way to restore it. */
struct job {
	struct entry e;
	struct bytes b;
	enum feed_kind kind;
	enum xr_policy policy;
	enum xr_worker_kind workers;
};

/* The value behind "key": on a manifest's line; enough of JSON for lines that a program wrote. */
static const char *value_of(const char *line, const char *key)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
	at = strstr(line, quoted);
	return at ? at + strlen(quoted) : "";
}

static uint64_t number_of(const char *line, const char *key)
{
	return strtoull(value_of(line, key), NULL, 10);
}

static void text_of(const char *line, const char *key, char *out, size_t room)
{
	const char *from = value_of(line, key), *end;

	cr_assert_eq(*from, '"', "the manifest lacks %s: %s", key, line);
	end = strchr(++from, '"');
	cr_assert(end && (size_t)(end - from) < room);
	memcpy(out, from, (size_t)(end - from));
	out[end - from] = 0;
}

static struct entry parse(const char *line)
{
	struct entry e;

	text_of(line, "file", e.file, sizeof(e.file));
	text_of(line, "guest", e.guest, sizeof(e.guest));
	text_of(line, "sha256", e.sha256, sizeof(e.sha256));
	e.libxc_offset = number_of(line, "libxc_offset");
	e.end_offset = number_of(line, "end_offset");
	e.populated = number_of(line, "populated");
	e.whole_2m = number_of(line, "whole_2m_regions");
	e.store_gfn = number_of(line, "store_gfn");
	e.console_gfn = number_of(line, "console_gfn");
	e.trailing = number_of(line, "trailing_bytes");
	e.pages = number_of(line, "pages_with_data");
	return e;
}

static struct bytes map_file(int fd)
{
	struct bytes b = { .size = (size_t)lseek(fd, 0, SEEK_END) };

	b.at = mmap(NULL, b.size, PROT_READ, MAP_PRIVATE, fd, 0);
	cr_assert_neq((void *)b.at, MAP_FAILED);
	return b;
}

static struct bytes decompress(const char *path)
{
	static unsigned char in[1 << 16], out[1 << 20];
	FILE *from = fopen(path, "rb"), *to = tmpfile();
	ZSTD_DStream *z = ZSTD_createDStream();
	struct bytes b;
	size_t left = 1;

	cr_assert(from && to && z, "can't open %s", path);
	for (ZSTD_inBuffer i = { in, 0, 0 };;) {
		ZSTD_outBuffer o = { out, sizeof(out), 0 };

		if (i.pos == i.size) {
			i = (ZSTD_inBuffer){ in, fread(in, 1, sizeof(in), from), 0 };
			if (!i.size)
				break;
		}
		left = ZSTD_decompressStream(z, &o, &i);
		cr_assert_not(ZSTD_isError(left), "%s: %s", path, ZSTD_getErrorName(left));
		cr_assert_eq(fwrite(out, 1, o.pos, to), o.pos);
	}
	cr_assert_eq(left, 0, "%s is cut off", path);
	cr_assert_eq(fflush(to), 0);
	b = map_file(fileno(to));
	ZSTD_freeDStream(z);
	fclose(from);
	fclose(to);
	return b;
}

struct walk {
	struct xr_model *m;
	uint64_t at, seen, whole, run;
};

static int next_frame(void *opaque, uint64_t *pfn, void *page)
{
	struct walk *w = opaque;

	*pfn = xr_model_next(w->m, w->at);
	if (*pfn == ~0ull)
		return 0;
	w->run = *pfn == w->at && *pfn % 512 ? w->run + 1 : 1;
	w->whole += *pfn % 512 == 511 && w->run == 512;
	w->at = *pfn + 1;
	w->seen++;
	return xr_model_peek(w->m, *pfn, page) ? -1 : 1;
}

static bool check_guest_digest(const struct why *why, struct xr_model *m, const struct entry *e)
{
	struct walk w = { .m = m };
	char hex[65];

	if (digest_pages(next_frame, &w, hex))
		return why_not(why, "a backed frame can't be read");
	if (w.seen != e->populated)
		return why_not(why, "%lu frames, not %lu", w.seen, e->populated);
	if (w.whole != e->whole_2m)
		return why_not(why, "%lu whole regions, not %lu", w.whole, e->whole_2m);
	return !strcmp(hex, e->sha256) || why_not(why, "sha256 is %s, not %s", hex, e->sha256);
}

static bool check_numbers(const struct why *w, const struct xr_result *res, const struct entry *e)
{
	if (res->pages_populated != e->populated || res->pages_received != e->pages)
		return why_not(w, "%lu pages populated, %lu received", res->pages_populated,
			       res->pages_received);
	if (res->store_gfn != e->store_gfn || res->console_gfn != e->console_gfn)
		return why_not(w, "store at %#lx, console at %#lx", res->store_gfn,
			       res->console_gfn);
	return true;
}

static bool check_rest(const struct why *w, struct feed *f, const struct job *j)
{
	unsigned char rest[64];
	ssize_t n = feed_rest(f, rest, sizeof(rest));

	return (n == (ssize_t)j->e.trailing &&
		!memcmp(rest, j->b.at + j->e.end_offset, (size_t)n)) ||
	       why_not(w, "%zd bytes are left, not %lu, or others", n, j->e.trailing);
}

/* All whole regions, but those where Xen should have no superpage. */
static bool check_layout(const struct why *w, struct xr_model *m, const struct job *j)
{
	struct xr_model_stats st;

	xr_model_stats(m, &st);
	return j->policy != XR_POLICY_EXACT || st.whole_2m + 3 >= j->e.whole_2m ||
	       why_not(w, "only %lu superpages", st.whole_2m);
}

/* A PV guest lies where Xen put it: what it is, is compared as a whole. */
static bool check_pv(const struct why *why, struct xr_model *m, const struct xr_result *res,
		     const struct job *j)
{
	const struct pvref_ports none = { 0, 0 };
	struct xr_model_stats st;
	struct pvref ref;
	char hex[65];
	bool ok;

	if (!pvref_read(&ref, j->b.at, j->b.size, j->e.libxc_offset))
		return why_not(why, "the stream can't be read");
	ok = pvref_check(&ref, m, &none, res->store_gfn, res->console_gfn, why->text, why->room);
	if (ok && (res->pages_populated != j->e.populated || res->pages_received != j->e.pages ||
		   ref.end != j->e.end_offset))
		ok = why_not(why, "%lu pages populated, %lu received", res->pages_populated,
			     res->pages_received);
	if (ok && (pvref_digest(&ref, m, hex) || strcmp(hex, j->e.sha256) != 0))
		ok = why_not(why, "sha256 is %s, not %s", hex, j->e.sha256);
	xr_model_stats(m, &st);
	if (ok && j->policy == XR_POLICY_EXACT && st.whole_2m != j->e.whole_2m)
		ok = why_not(why, "%lu superpages", st.whole_2m);
	pvref_free(&ref);
	return ok;
}

static bool is_pv(const struct job *j)
{
	return !strcmp(j->e.guest, "x86 PV");
}

static bool restore(void *arg, char *text, size_t room)
{
	const struct job *j = arg;
	struct why w = { text, room };
	struct xr_restore *handle = NULL;
	struct xr_model_settings set;
	struct xr_model *model = NULL;
	struct xr_settings s;
	struct xr_result res;
	struct xr_error err;
	bool ok = false;
	struct feed f;

	if (feed_open(&f, j->kind, j->b.at, j->b.size, 1))
		return why_not(&w, "no source");
	xr_model_settings_default(&set);
	set.max_pages = j->e.populated + 256; /* what libxl leaves */
	set.fill = REF_FILL;
	set.pv = is_pv(j);
	xr_settings_default(&s);
	s.fd = f.fd;
	s.host = XR_HOST_MODEL;
	s.policy = j->policy;
	s.workers = 2;
	s.worker_kind = j->workers;
	if (xr_model_create(&model, &set)) {
		why_not(&w, "no model");
		goto out;
	}
	s.model = model;
	if (xr_open(&handle, &s, &err) || xr_run(handle, &res, &err)) {
		why_not(&w, "%s", err.text);
		goto out;
	}
	if (is_pv(j))
		ok = check_pv(&w, model, &res, j) && check_rest(&w, &f, j);
	else
		ok = check_guest_digest(&w, model, &j->e) && check_habits(&w, model) &&
		     check_numbers(&w, &res, &j->e) && check_rest(&w, &f, j) &&
		     check_layout(&w, model, j);
out:
	xr_close(&handle);
	feed_close(&f);
	xr_model_destroy(&model);
	return ok;
}

static void check_job(struct job j, enum feed_kind kind, enum xr_policy policy,
		      enum xr_worker_kind workers)
{
	char why[ISOLATE_WHY];

	j.kind = kind;
	j.policy = policy;
	j.workers = NO_PROCESSES ? XR_WORKER_THREAD : workers;
	cr_assert(isolated(restore, &j, why), "%s by %s, policy %u, workers %u: %s", j.e.file,
		  feed_kind_name(kind), policy, workers, why);
}

static void restore_all_ways(const char *folder, const struct entry *e)
{
	struct job j = { .e = *e };
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.zst", folder, e->file);
	j.b = decompress(path);
	cr_assert_eq(j.b.size, e->end_offset + e->trailing);
	check_job(j, FEED_FILE, XR_POLICY_EXACT, XR_WORKER_PROCESS);
	check_job(j, FEED_PIPE, XR_POLICY_EXACT, XR_WORKER_PROCESS);
	check_job(j, FEED_PIPE, XR_POLICY_EXACT, XR_WORKER_THREAD);
	check_job(j, FEED_SOCKET, XR_POLICY_SPECULATIVE, XR_WORKER_THREAD);
	check_job(j, FEED_FILE, XR_POLICY_4K, XR_WORKER_THREAD);
	munmap(j.b.at, j.b.size);
}

static unsigned int restore_folder(const char *folder)
{
	char path[4096], line[4096];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/MANIFEST.jsonl", folder);
	f = fopen(path, "r");
	cr_assert_not_null(f, "no %s", path);
	while (fgets(line, sizeof(line), f)) {
		struct entry e = parse(line);

		restore_all_ways(folder, &e);
		n++;
	}
	fclose(f);
	return n;
}

Test(real, the_streams_of_the_repository)
{
	cr_assert_eq(restore_folder(XR_TEST_DATA), 1);
}

Test(real, the_streams_at_hand)
{
	const char *folder = getenv("XR_STREAMS");

	if (!folder)
		cr_skip("XR_STREAMS names no folder");
	cr_assert_gt(restore_folder(folder), 0);
}
