/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Defaults, and the check of what a caller asks for. */
#include "settings.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

const char *xr_version(void)
{
	return XR_VERSION;
}

void xr_settings_default(struct xr_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->max_order = XR_ORDER_2M;
	s->ahead_mib = 64;
	s->buffer_mib = 128;
	s->send_back_fd = -1;
}

/* A process costs as much as some four thousand pages before it has copied one. */
#define PAGES_PER_WORKER (64u << (20 - XR_PAGE_SHIFT))

unsigned int xr_default_workers(uint64_t pages)
{
	uint64_t most = pages / PAGES_PER_WORKER + 1;
	cpu_set_t set;
	int n = 1;

	if (!sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	if (most > 8)
		most = 8;
	return n < 1 ? 1 : (uint64_t)n > most ? (unsigned int)most : (unsigned int)n;
}

static bool zero(const uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i])
			return false;
	return true;
}

static const char *fault(const struct xr_settings *s)
{
	if (s->fd < 0)
		return "no stream: fd is negative";
	if ((unsigned int)s->layer > XR_LAYER_LIBXC || (unsigned int)s->io > XR_IO_PLAIN ||
	    (unsigned int)s->policy > XR_POLICY_4K || (unsigned int)s->type > XR_STREAM_COLO ||
	    (unsigned int)s->host > XR_HOST_MODEL ||
	    (unsigned int)s->worker_kind > XR_WORKER_THREAD)
		return "a setting has a value that is not in its enum";
	if (s->max_order != XR_ORDER_4K && s->max_order != XR_ORDER_2M &&
	    s->max_order != XR_ORDER_1G)
		return "max_order is none of 0, 9 and 18";
	if (s->workers > 64)
		return "more than 64 workers";
	if (s->ahead_mib > 1u << 20)
		return "ahead_mib is above 1 TiB";
	if (s->buffer_mib > 1u << 20)
		return "buffer_mib is above 1 TiB";
	if (s->receipt && s->type != XR_STREAM_PLAIN)
		return "a receipt is for plain streams";
	if (s->model && s->host != XR_HOST_MODEL)
		return "a model is given, but the host is not MODEL";
	for (size_t i = 0; i < sizeof(s->callbacks.reserved) / sizeof(void *); i++)
		if (s->callbacks.reserved[i])
			return "a reserved callback is not NULL: start from xr_settings_default()";
	if (!zero(s->reserved, sizeof(s->reserved) / sizeof(s->reserved[0])))
		return "a reserved field is not zero: start from xr_settings_default()";
	return NULL;
}

/* What a type of stream cannot do without. */
static const char *lack(const struct xr_settings *s)
{
	const struct xr_callbacks *cb = &s->callbacks;

	if (s->type == XR_STREAM_PLAIN)
		return NULL;
	if (!cb->checkpoint)
		return "a checkpointed stream needs the checkpoint callback";
	if (s->type == XR_STREAM_REMUS)
		return NULL;
	if (!cb->restore_results || !cb->postcopy || !cb->wait_checkpoint || !cb->suspend)
		return "a COLO stream needs the callbacks restore_results, postcopy, "
		       "wait_checkpoint and suspend";
	return s->send_back_fd < 0 ? "a COLO stream needs send_back_fd" : NULL;
}

int xr_settings_check(const struct xr_settings *s, struct xr_error *err)
{
	const char *why = fault(s);

	if (!why)
		why = lack(s);
	if (why)
		return xr_fail(err, -EINVAL, XR_STAGE_SETUP, NULL, XR_NO_PFN, "%s", why);
	return 0;
}
