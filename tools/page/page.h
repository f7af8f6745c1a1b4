/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages with plots, each in one file: page.html, into which a script and its figures are put. */
#ifndef XR_PAGE_H
#define XR_PAGE_H

#include <jansson.h>
#include <stdio.h>

/* The script finds the figures in `d`, and what draws in page.html. 0 or a negative errno. */
int xr_page_write(FILE *to, const char *title, const char *script, const json_t *figures);

#endif
