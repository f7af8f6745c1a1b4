/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xc_domain_restore() of libxenguest 4.17 upon this engine, to be preloaded into a toolstack that
 * calls it. What the engine does not restore (Remus, COLO) goes on to the real function, before a
 * byte of the stream is read.
 */
#include "base/error.h"

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

/* How libxenguest reaches the logger of an xc_interface: exported, in no public header. */
void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *xc_set_progress_prefix(xc_interface *xch, const char *doing);
void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total);

struct caller {
	xc_interface *xch;
	struct restore_callbacks *callbacks;
};

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
	const struct restore_callbacks *cb = ((const struct caller *)opaque)->callbacks;

	return cb && cb->static_data_done ? cb->static_data_done(missing, cb->data) : 0;
}

/* Without a total there is nothing to be shown as a share. */
static void progress(const struct xr_progress *p, void *opaque)
{
	const struct caller *c = opaque;

	if (p->bytes_total)
		xc_report_progress_step(c->xch, p->bytes_done >> 12, p->bytes_total >> 12);
}

static void tell(xc_interface *xch, const struct xr_error *e)
{
	char where[XR_PLACE_TEXT];

	xr_error_place(e, where);
	xc_report_error(xch, XC_INTERNAL_ERROR, "xenrestore: %s: %s%s", xr_stage_name(e->stage),
			e->text, where);
}

static int restore(xc_interface *xch, const struct xr_settings *s, struct xr_result *res)
{
	const char *doing = xc_set_progress_prefix(xch, "xenrestore");
	struct xr_restore *r;
	struct xr_error err;
	int rc = xr_open(&r, s, &err);

	if (!rc)
		rc = xr_run(r, res, &err);
	xr_close(&r);
	xc_set_progress_prefix(xch, doing);
	if (!rc)
		return 0;
	tell(xch, &err);
	errno = -rc;
	return -1;
}

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_port,
		      unsigned long *store_mfn, uint32_t store_domid, unsigned int console_port,
		      unsigned long *console_gfn, uint32_t console_domid,
		      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
		      int send_back_fd)
{
	struct caller caller = { xch, callbacks };
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
	s.callbacks.progress = progress;
	s.opaque = &caller;
	if (restore(xch, &s, &res))
		return -1;
	*store_mfn = res.store_gfn == XR_NO_PFN ? 0 : res.store_gfn;
	*console_gfn = res.console_gfn == XR_NO_PFN ? 0 : res.console_gfn;
	return 0;
}
