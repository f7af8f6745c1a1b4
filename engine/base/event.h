/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping until something changed: an event count (ck_ec) that works between processes that share
 * the memory it lies in. Use: seen = xr_event_value(e); look whether there is work; if not,
 * xr_event_wait(e, seen, ms). The other side makes its work visible, then calls xr_event_signal().
 * No wake-up is lost, a signal without a sleeper makes no system call. Only a signaller that is
 * killed in the middle may owe one: that is why every wait has an end.
 */
#ifndef XR_EVENT_H
#define XR_EVENT_H

#include <ck_ec.h>
#include <stdbool.h>
#include <stdint.h>

struct xr_event {
	struct ck_ec32 ec;
};

void xr_event_init(struct xr_event *e);
uint32_t xr_event_value(const struct xr_event *e);
void xr_event_signal(struct xr_event *e);

/* Wait until the value differs from seen, or ms milliseconds have passed. True if it differs. */
bool xr_event_wait(struct xr_event *e, uint32_t seen, unsigned int ms);

#endif
