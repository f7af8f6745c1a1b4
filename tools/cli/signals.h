/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGINT, SIGTERM and SIGHUP cancel a restore; those that the caller ignores stay ignored. */
#ifndef XR_SIGNALS_H
#define XR_SIGNALS_H

#include "xenrestore.h"

#include <stdbool.h>

/*
 * From here on a signal is noted. One that comes a second after the first or later, when a cancel
 * should long have been done, ends the program at once.
 */
void xr_signals_catch(void);

/* Has one come? */
bool xr_signals_came(void);

/* A signal cancels this restore, also one that came before. NULL: none is to be cancelled. */
void xr_signals_cancel(struct xr_restore *r);

/* Before the handle is closed: signals do again what they did. For who leaves no guest behind. */
void xr_signals_release(void);

#endif
