/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xc_domain_restore() of libxenguest 4.17 upon this engine, to be preloaded into a toolstack that
 * calls it.
 */
#include "place.h"

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

static unsigned long gfn_or_zero(uint64_t gfn)
{
	return gfn == XR_NO_PFN ? 0 : gfn;
}

static int static_data_done(unsigned int missing, void *opaque)
{
	const struct restore_callbacks *cb = ((const struct caller *)opaque)->callbacks;

	return cb && cb->static_data_done ? cb->static_data_done(missing, cb->data) : 0;
}

static const struct restore_callbacks *callbacks_of(void *opaque)
{
	return ((const struct caller *)opaque)->callbacks;
}

/* The numbers that are answered are the same here and there. */
static int checkpoint(void *opaque)
{
	return callbacks_of(opaque)->checkpoint(callbacks_of(opaque)->data);
}

static int postcopy(void *opaque)
{
	return callbacks_of(opaque)->postcopy(callbacks_of(opaque)->data);
}

static int wait_checkpoint(void *opaque)
{
	return callbacks_of(opaque)->wait_checkpoint(callbacks_of(opaque)->data);
}

static int suspend(void *opaque)
{
	return callbacks_of(opaque)->suspend(callbacks_of(opaque)->data);
}

static void restore_results(uint64_t store_gfn, uint64_t console_gfn, void *opaque)
{
	callbacks_of(opaque)->restore_results(gfn_or_zero(store_gfn), gfn_or_zero(console_gfn),
					      callbacks_of(opaque)->data);
}

/* Without a total there is nothing to be shown as a share. */
static void progress(const struct xr_progress *p, void *opaque)
{
	const struct caller *c = opaque;

	if (p->bytes_total)
		xc_report_progress_step(c->xch, p->bytes_done >> 12, p->bytes_total >> 12);
}

/* What the caller does not offer the engine must not call. */
static void set_callbacks(struct xr_callbacks *to, const struct restore_callbacks *from)
{
	to->static_data_done = static_data_done;
	to->progress = progress;
	if (!from)
		return;
	to->checkpoint = from->checkpoint ? checkpoint : NULL;
	to->postcopy = from->postcopy ? postcopy : NULL;
	to->wait_checkpoint = from->wait_checkpoint ? wait_checkpoint : NULL;
	to->suspend = from->suspend ? suspend : NULL;
	to->restore_results = from->restore_results ? restore_results : NULL;
}

static void tell(xc_interface *xch, const struct xr_error *e)
{
	const char *next = xr_error_next_step(e);
	char where[XR_PLACE_TEXT];

	xr_error_place(e, where);
	xc_report_error(xch, XC_INTERNAL_ERROR, "xenrestore: %s: %s%s%s%s%s",
			xr_stage_name(e->stage), e->text, where, next ? " (" : "", next ?: "",
			next ? ")" : "");
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

	xr_settings_default(&s);
	s.fd = io_fd;
	s.layer = XR_LAYER_LIBXC;
	s.type = (enum xr_stream_type)stream_type;
	s.send_back_fd = send_back_fd;
	s.domid = dom;
	s.store_port = store_port;
	s.store_domid = store_domid;
	s.console_port = console_port;
	s.console_domid = console_domid;
	set_callbacks(&s.callbacks, callbacks);
	s.opaque = &caller;
	if (restore(xch, &s, &res))
		return -1;
	*store_mfn = gfn_or_zero(res.store_gfn);
	*console_gfn = gfn_or_zero(res.console_gfn);
	return 0;
}
