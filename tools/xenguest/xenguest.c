/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xc_domain_restore() of libxenguest 4.17 upon this engine, to be preloaded into a toolstack that
 * calls it. What the engine does not restore (Remus, COLO) goes on to the real function, before a
 * byte of the stream is read.
 */
#include "xenrestore.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xentoollog.h>

__attribute__((visibility("default"))) int xc_domain_restore(
	xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_port,
	unsigned long *store_mfn, uint32_t store_domid, unsigned int console_port,
	unsigned long *console_gfn, uint32_t console_domid, xc_stream_type_t stream_type,
	struct restore_callbacks *callbacks, int send_back_fd);

typedef int (*restore_fn)(xc_interface *, int, uint32_t, unsigned int, unsigned long *, uint32_t,
			  unsigned int, unsigned long *, uint32_t, xc_stream_type_t,
			  struct restore_callbacks *, int);

static restore_fn real_restore(void)
{
	void *sym = dlvsym(RTLD_NEXT, "xc_domain_restore", "VERS_4.17.0");

	return (restore_fn)(uintptr_t)sym;
}

static int static_data_done(unsigned int missing, void *opaque)
{
	const struct restore_callbacks *cb = opaque;

	return cb && cb->static_data_done ? cb->static_data_done(missing, cb->data) : 0;
}

/* An xc_interface does not tell its logger, so the one line goes where libxenctrl's default does.
 */
static void tell(const struct xr_error *e)
{
	fprintf(stderr, "xc: error: xenrestore: %s: %s (offset %" PRId64 ", record %" PRId64 ")\n",
		xr_stage_name(e->stage), e->text, (int64_t)e->offset, (int64_t)e->record);
}

static int restore(const struct xr_settings *s, struct xr_result *res)
{
	struct xr_restore *r;
	struct xr_error err;
	int rc = xr_open(&r, s, &err);

	if (!rc)
		rc = xr_run(r, res, &err);
	xr_close(&r);
	if (!rc)
		return 0;
	tell(&err);
	errno = -rc;
	return -1;
}

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_port,
		      unsigned long *store_mfn, uint32_t store_domid, unsigned int console_port,
		      unsigned long *console_gfn, uint32_t console_domid,
		      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
		      int send_back_fd)
{
	struct xr_settings s;
	struct xr_result res;

	if (stream_type != XC_STREAM_PLAIN) {
		restore_fn real = real_restore();

		if (real)
			return real(xch, io_fd, dom, store_port, store_mfn, store_domid,
				    console_port, console_gfn, console_domid, stream_type,
				    callbacks, send_back_fd);
		errno = ENOSYS;
		return -1;
	}
	xr_settings_default(&s);
	s.fd = io_fd;
	s.layer = XR_LAYER_LIBXC;
	s.domid = dom;
	s.store_port = store_port;
	s.store_domid = store_domid;
	s.console_port = console_port;
	s.console_domid = console_domid;
	s.callbacks.static_data_done = static_data_done;
	s.opaque = callbacks;
	if (restore(&s, &res))
		return -1;
	*store_mfn = res.store_gfn == XR_NO_PFN ? 0 : res.store_gfn;
	*console_gfn = res.console_gfn == XR_NO_PFN ? 0 : res.console_gfn;
	return 0;
}
