/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/checkpoints.h"

#include "stream/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADERS 40u

void checkpoints_put(struct checkpoints *c, struct builder *b, size_t others)
{
	unsigned char byte;

	if (c->n == CHECKPOINTS_MAX) {
		fprintf(stderr, "checkpoints: too many\n");
		abort();
	}
	builder_record(b, XR_REC_CHECKPOINT, NULL, 0);
	c->end[c->n] = builder_size(b);
	for (size_t i = 0; i < others; i++) {
		byte = (unsigned char)(i * 7 + c->n * 31 + 1);
		builder_raw(b, &byte, 1);
	}
	c->resume[c->n++] = builder_size(b);
}

unsigned int checkpoints_in(const struct checkpoints *c, size_t size)
{
	unsigned int n = 0;

	while (n < c->n && c->resume[n] <= size)
		n++;
	return n;
}

void checkpoints_ref(const struct checkpoints *c, const struct builder *b, unsigned int n,
		     struct refmodel *ref)
{
	const unsigned char *bytes = builder_data(b);
	size_t at = b->libxc_offset + HEADERS;

	refmodel_init(ref);
	for (unsigned int i = 0; i < n; i++) {
		while (at < c->end[i]) {
			uint32_t head[2];

			memcpy(head, bytes + at, sizeof(head));
			if (!refmodel_record(ref, head[0], bytes + at + 8, head[1])) {
				fprintf(stderr, "checkpoints: %s\n", ref->broken);
				abort();
			}
			at += 8 + ((head[1] + 7ul) & ~7ul);
		}
		at = c->resume[i];
	}
	refmodel_finish(ref);
}

static int answer(struct toolstack *t, char question)
{
	const size_t n = strlen(t->asked);

	if (n + 1 < sizeof(t->asked))
		t->asked[n] = question;
	return ++t->questions == t->at ? t->answer : XR_ANSWER_GO_ON;
}

/* As libxl: reads what is its own; without it the checkpoint is none. */
static int checkpoint(void *opaque)
{
	struct toolstack *t = opaque;
	const unsigned int i = t->seen++;
	const unsigned char *want;
	unsigned char byte;
	size_t left;

	if (i >= t->c->n) {
		t->wrong = "asked for a checkpoint that is not in the stream";
		return XR_ANSWER_ERROR;
	}
	want = builder_data(t->b) + t->c->end[i];
	for (left = t->c->resume[i] - t->c->end[i]; left; left--, want++) {
		ssize_t got;

		do
			got = read(t->fd, &byte, 1);
		while (got < 0 && errno == EINTR);
		if (got != 1) {
			answer(t, 'c');
			return XR_ANSWER_FAIL_OVER;
		}
		if (byte != *want)
			t->wrong = "the stream's fd does not stand behind the CHECKPOINT record";
	}
	return answer(t, 'c');
}

static void results(uint64_t store_gfn, uint64_t console_gfn, void *opaque)
{
	struct toolstack *t = opaque;

	t->asked[strlen(t->asked)] = 'r';
	t->store_gfn = store_gfn;
	t->console_gfn = console_gfn;
}

static int postcopy(void *opaque)
{
	return answer(opaque, 'p');
}

static int wait_checkpoint(void *opaque)
{
	return answer(opaque, 'w');
}

static int suspend(void *opaque)
{
	struct toolstack *t = opaque;

	if (t->before_suspend)
		t->before_suspend(t->arg);
	return answer(t, 's');
}

void toolstack_install(struct toolstack *t, struct xr_settings *set)
{
	set->callbacks.checkpoint = checkpoint;
	set->callbacks.restore_results = results;
	set->callbacks.postcopy = postcopy;
	set->callbacks.wait_checkpoint = wait_checkpoint;
	set->callbacks.suspend = suspend;
	set->opaque = t;
}
