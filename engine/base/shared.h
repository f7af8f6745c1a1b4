/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that several processes share: inherited over fork, or over exec by its fd. */
#ifndef XR_SHARED_H
#define XR_SHARED_H

#include <stddef.h>

/* Zeroed, taken from the machine only where it is touched. *fd is closed over exec. NULL with
 * errno. */
void *xr_shared_create(const char *name, size_t bytes, int *fd);

/* All of it, at another address. NULL with errno. */
void *xr_shared_attach(int fd, size_t *bytes);

void xr_shared_destroy(void *at, size_t bytes, int fd);

#endif
