/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records as reader and decoder find them together: what is said when a read fails. */
#include "base/pfnset.h"
#include "stream/fake_io.h"
#include "stream/frame.h"
#include "stream/samples.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* The error of a stream whose reads fail at byte `at`, in its headers or in the first record's. */
static struct xr_error read_error(uint64_t at, int fail)
{
	struct xr_stream_info info = { .seekable = false };
	struct xr_error err = { .code = 0 };
	struct xr_frame f = { .err = &err };
	struct fake_io io = {
		.limit = UINT64_MAX, .step = 4096, .fail_at = at, .fail = fail, .open = true
	};
	struct builder b;
	int rc;

	sample_make(&b, SAMPLE_HVM3, XR_EMIT_BARE, 0);
	io.bytes = builder_data(&b);
	io.n = builder_size(&b);
	rc = xr_reader_init(&f.rd, &fake_ops, &io, false, 0);
	cr_assert_eq(rc, 0);
	xr_decoder_init(&f.dec, false, XR_PFN_LIMIT - 1);
	rc = xr_frame_headers(&f, XR_LAYER_AUTO, &info);
	if (!rc)
		rc = xr_frame_next(&f);
	cr_assert_eq(rc, err.code);
	xr_reader_close(&f.rd);
	builder_free(&b);
	return err;
}

Test(frame, a_failed_read_is_named)
{
	static const struct {
		uint64_t at;
		int fail, code;
		const char *says;
	} cases[] = {
		{ 3, -EIO, -EIO, "in the headers before the libxc stream: Input/output error" },
		{ 20, -EIO, -EIO, "in the libxc headers: Input/output error" },
		{ 44, -EIO, -EIO, "in a record header: Input/output error" },
		{ 44, 0, -ENODATA, "ends too early: at byte 44, in a record header" },
		{ 44, -ECANCELED, -ECANCELED, "cancelled while reading a record header" },
		{ 44, -4000, -4000, "in a record header: unknown error" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct xr_error e = read_error(cases[i].at, cases[i].fail);

		cr_assert_eq(e.code, cases[i].code, "%zu: %s", i, e.text);
		cr_assert_not_null(strstr(e.text, cases[i].says), "%zu: %s", i, e.text);
	}
}

/* A sender that is gone and this side's want of memory are told apart. */
Test(frame, a_failed_read_is_the_stream_s_or_this_side_s)
{
	static const int streams[] = { -EIO, 0, -ECONNRESET, -ETIMEDOUT, -EBADMSG, -ECONNREFUSED },
			 hosts[] = { -ENOMEM, -ENOBUFS, -EBUSY, -EINVAL, -EPERM, -EACCES };

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		cr_expect_not(read_error(44, streams[i]).host_failed, "%d", streams[i]);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		cr_expect(read_error(44, hosts[i]).host_failed, "%d", hosts[i]);
}
