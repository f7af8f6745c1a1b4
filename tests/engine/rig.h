/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One restore of a hand-made stream on a model host, for tests of the engine. */
#ifndef XR_TEST_RIG_H
#define XR_TEST_RIG_H

#include "host/model.h"
#include "lib/builder.h"
#include "lib/feed.h"
#include "lib/refmodel.h"
#include "xenrestore.h"

struct rig {
	struct builder b;
	struct xr_model *model;
	struct xr_settings set;
	struct feed feed;
	struct xr_result res;
	struct xr_error err;
};

/* A model with so many pages, a builder for an HVM stream of that version, default settings. */
void rig_init(struct rig *g, uint64_t max_pages, uint32_t version);

/* The same for a PV guest of two vcpus, which pvguest.h fills. */
void rig_init_pv(struct rig *g, uint64_t max_pages);

/* The tail of a saver: TSC, context, store (pfn 1) and console (pfn 2) parameters, END. */
void rig_tail(struct rig *g);

/* The builder's bytes through this kind of fd. Returns what xr_open() or xr_run() did. */
int rig_run(struct rig *g, enum feed_kind kind);

/* The model after a restore: no mapping, no leak, no misuse. */
void rig_expect_clean(struct rig *g);

/* This frame holds builder_fill(pfn, serial), or zeros. */
void rig_expect_page(struct rig *g, uint64_t pfn, uint64_t serial);
void rig_expect_zero(struct rig *g, uint64_t pfn);

void rig_free(struct rig *g);

#endif
