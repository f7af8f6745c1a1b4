/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/engine_options.h"

#include "xenrestore.h"

#include <stdlib.h>
#include <string.h>

const char *const xr_host_words[] = {
	[XR_HOST_XEN] = "xen",
	[XR_HOST_MODEL] = "model",
	NULL,
};

const char *const xr_policy_words[] = {
	[XR_POLICY_EXACT] = "exact",
	[XR_POLICY_SPECULATIVE] = "speculative",
	[XR_POLICY_4K] = "4k",
	NULL,
};

const char *const xr_worker_kind_words[] = {
	[XR_WORKER_AUTO] = "auto",
	[XR_WORKER_PROCESS] = "process",
	[XR_WORKER_THREAD] = "thread",
	NULL,
};

const char *const xr_io_words[] = {
	[XR_IO_AUTO] = "auto",
	[XR_IO_URING] = "uring",
	[XR_IO_PLAIN] = "plain",
	NULL,
};

const char *const xr_type_words[] = {
	[XR_STREAM_PLAIN] = "plain",
	[XR_STREAM_REMUS] = "remus",
	NULL,
};

const char *const xr_max_order_words[] = { "0", "9", "18", NULL };

int xr_take_max_order(void *options, const struct xr_option *o, const char *arg, const char **why)
{
	for (unsigned int i = 0; o->words[i]; i++) {
		if (strcmp(arg, o->words[i]) != 0)
			continue;
		*(unsigned int *)((char *)options + o->at) = (unsigned int)atoi(arg);
		return 0;
	}
	*why = "takes 0 (4K), 9 (2M) or 18 (1G)";
	return 1;
}
