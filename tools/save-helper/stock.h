/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The save helper that Xen brings along, and how it takes over. */
#ifndef XR_STOCK_H
#define XR_STOCK_H

/*
 * Become the stock helper of the Xen that runs, with the same arguments and environment. It is the
 * one that XENRESTORE_STOCK_HELPER names, else the first that exists where distributions put it.
 * Returns 1, after a word on stderr, if that cannot be; this program itself is no stock helper.
 */
int xr_exec_stock(char **argv);

#endif
