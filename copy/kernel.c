/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy/kernel.h"

#include "host/host.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static size_t source_page(const struct xr_contents *c, size_t i)
{
	return c->page ? c->page[i] : i;
}

/* How many frames from i on lie in one stretch of the source; at most max. */
static size_t run_length(const struct xr_contents *c, size_t i, size_t max)
{
	size_t n = 1, left = c->n - i;

	if (left > max)
		left = max;
	if (!c->page)
		return left;
	while (n < left && c->page[i + n] == c->page[i] + n)
		n++;
	return n;
}

static int read_failed(const struct xr_contents *c, size_t i, uint64_t at, int error,
		       struct xr_error *err)
{
	errno = error;
	/* The kernel could not store into the frame: the mapping is at fault, not the file. */
	if (error == EFAULT)
		return xr_fail_host(err, -error, XR_STAGE_COPY, c->where, c->pfns[i],
				    "cannot write to pfn 0x%llx of the guest: %m",
				    (unsigned long long)c->pfns[i]);
	if (c->ours)
		return xr_fail_host(err, -error, XR_STAGE_COPY, c->where, c->pfns[i],
				    "cannot read back page contents that were kept: %m");
	return (xr_stream_lost(-error) ? xr_fail : xr_fail_host)(
		err, -error, XR_STAGE_STREAM, c->where, c->pfns[i],
		"cannot read page contents at file offset %llu: %m", (unsigned long long)at);
}

/* Frames [i, i + n), one stretch of the file, into `to`. */
static int read_run(const struct xr_contents *c, size_t i, size_t n, unsigned char *to,
		    struct xr_error *err)
{
	uint64_t at = c->offset + (uint64_t)source_page(c, i) * XR_PAGE_SIZE;
	size_t done = 0, bytes = n * XR_PAGE_SIZE;

	while (done < bytes) {
		ssize_t got = pread(c->fd, to + done, bytes - done, (off_t)(at + done));
		size_t frame = i + done / XR_PAGE_SIZE;

		if (got > 0)
			done += (size_t)got;
		else if (got == 0 && c->ours)
			return read_failed(c, frame, at + done, EIO, err);
		else if (got == 0)
			return xr_fail(err, -ENODATA, XR_STAGE_STREAM, c->where, c->pfns[frame],
				       "the file was truncated: it ends at offset %llu, in the "
				       "contents of pfn 0x%llx",
				       (unsigned long long)(at + done),
				       (unsigned long long)c->pfns[frame]);
		else if (errno != EINTR)
			return read_failed(c, frame, at + done, errno, err);
	}
	return 0;
}

/*
 * What the kernel has put into a fresh mapping is dear to look at where page tables are shadowed:
 * the first touch from here is paid once more.
 */
static int read_through(const struct xr_contents *c, size_t i, size_t n, unsigned char *to,
			struct xr_error *err)
{
	const int rc = read_run(c, i, n, c->scratch, err);

	if (!rc)
		memcpy(to, c->scratch, n * XR_PAGE_SIZE);
	return rc;
}

int xr_contents_write(const struct xr_contents *c, struct xr_error *err)
{
	const bool through = c->looked_at && !c->from;
	size_t run;
	int rc;

	for (size_t i = 0; i < c->n; i += run) {
		unsigned char *to = c->to + i * XR_PAGE_SIZE;

		run = run_length(c, i, through ? XR_SCRATCH_PAGES : c->n);
		if (c->from) {
			memcpy(to, c->from + source_page(c, i) * XR_PAGE_SIZE, run * XR_PAGE_SIZE);
			continue;
		}
		rc = through ? read_through(c, i, run, to, err) : read_run(c, i, run, to, err);
		if (rc)
			return rc;
	}
	return 0;
}

static void note_differing(struct xr_differing *found, uint64_t pfn)
{
	found->n++;
	if (pfn < found->lowest)
		found->lowest = pfn;
}

int xr_contents_compare(const struct xr_contents *c, struct xr_differing *found,
			struct xr_error *err)
{
	size_t run;
	int rc;

	for (size_t i = 0; i < c->n; i += run) {
		const unsigned char *is = c->to + i * XR_PAGE_SIZE, *want = c->scratch;

		run = run_length(c, i, XR_SCRATCH_PAGES);
		if (c->from) {
			want = c->from + source_page(c, i) * XR_PAGE_SIZE;
		} else {
			rc = read_run(c, i, run, c->scratch, err);
			if (rc)
				return rc;
		}
		for (size_t k = 0; k < run; k++)
			if (memcmp(is + k * XR_PAGE_SIZE, want + k * XR_PAGE_SIZE, XR_PAGE_SIZE))
				note_differing(found, c->pfns[i + k]);
	}
	return 0;
}
