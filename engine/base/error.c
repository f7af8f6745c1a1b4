/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void xr_error_clear(struct xr_error *err)
{
	if (!err)
		return;
	memset(err, 0, sizeof(*err));
	err->offset = XR_NO_OFFSET;
	err->record = XR_NO_RECORD;
	err->type = XR_NO_TYPE;
	err->pfn = XR_NO_PFN;
}

static void fill(struct xr_error *err, int code, enum xr_stage stage, const struct xr_where *where,
		 uint64_t pfn, const char *fmt, va_list args)
{
	xr_error_clear(err);
	err->code = code;
	err->stage = stage;
	err->pfn = pfn;
	if (where) {
		err->offset = where->offset;
		err->record = where->record;
		err->type = where->type;
	}
	vsnprintf(err->text, sizeof(err->text), fmt, args);
}

int xr_fail(struct xr_error *err, int code, enum xr_stage stage, const struct xr_where *where,
	    uint64_t pfn, const char *fmt, ...)
{
	va_list args;

	if (!err || err->code)
		return code;
	va_start(args, fmt);
	fill(err, code, stage, where, pfn, fmt, args);
	va_end(args);
	return code;
}

int xr_fail_host(struct xr_error *err, int code, enum xr_stage stage, const struct xr_where *where,
		 uint64_t pfn, const char *fmt, ...)
{
	va_list args;

	if (!err || err->code)
		return code;
	va_start(args, fmt);
	fill(err, code, stage, where, pfn, fmt, args);
	va_end(args);
	err->host_failed = true;
	return code;
}

const char *xr_stage_name(enum xr_stage stage)
{
	static const char *const names[] = {
		[XR_STAGE_NONE] = "none",     [XR_STAGE_SETUP] = "setup",
		[XR_STAGE_STREAM] = "stream", [XR_STAGE_POPULATE] = "populate",
		[XR_STAGE_COPY] = "copy",     [XR_STAGE_ENGINE] = "engine",
	};

	return (unsigned int)stage < sizeof(names) / sizeof(names[0]) ? names[stage] : "unknown";
}

static bool is_in(int code, const int *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (code == -codes[i])
			return true;
	return false;
}

bool xr_peer_gone(int code)
{
	/* Among them what ICMP told of a peer that answers no more. Not EACCES: that may be this
	 * side's security module. */
	static const int codes[] = { EPIPE,    ECONNRESET,   ECONNABORTED, ETIMEDOUT,	 ENOTCONN,
				     ENETDOWN, ENETRESET,    ENETUNREACH,  EHOSTUNREACH, EHOSTDOWN,
				     ENONET,   ECONNREFUSED, ENOPROTOOPT,  EPROTO };

	return is_in(code, codes, sizeof(codes) / sizeof(codes[0]));
}

bool xr_stream_lost(int code)
{
	static const int codes[] = { EIO,     ENODATA, ESTALE, EREMOTEIO, EISDIR,
				     EBADMSG, EUCLEAN, EILSEQ, ENOLINK };

	return xr_peer_gone(code) || is_in(code, codes, sizeof(codes) / sizeof(codes[0]));
}
