/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a recipe, and damage to what the operations (recipe_ops.c) made. */
#include "fuzz/recipe_ops.h"

#include <errno.h>
#include <string.h>

#define HURTS 3u
#define RECIPE_KIND 33u /* behind all else in the head */

enum hurt { HURT_NONE, HURT_XOR, HURT_CUT, HURT_REMOVE, HURT_REPEAT, HURT_KINDS };

struct damage {
	enum hurt hurt;
	bool from_end;
	uint64_t at;
	uint8_t value;
};

/* Letters, few and far: what an input had here before there were kinds stays a plain HVM guest. */
static void read_kind(struct recipe *r, struct fuzz_input *in)
{
	static const unsigned int buffers[] = { 1, 0, 128, 0 };
	const uint64_t kind = fuzz_take(in, 1), how = fuzz_take(in, 1);

	r->checkpointed = kind == 'I' || kind == 'L' || kind == 'M';
	r->pv = kind >= 'J' && kind <= 'M';
	r->width = kind == 'J' || kind == 'L' ? 8 : 4;
	r->buffer_mib = buffers[how & 3];
	r->answer = how & 0x80 ? XR_ANSWER_ERROR : XR_ANSWER_FAIL_OVER;
	r->answer_at = how >> 2 & 0x1f;
}

/* Calls that fail; those of PV guests and of COLO come last. */
static enum xr_model_call fault_of(const struct recipe *r, uint64_t call)
{
	return (enum xr_model_call)(call % (r->pv ? XR_CALL_DIRTY : XR_CALL_UNMAP + 1));
}

static void read_fault(struct recipe *r, struct recipe_fault *f, struct fuzz_input *in)
{
	const uint64_t call = fuzz_take(in, 1), nth = fuzz_take(in, 1), arg = fuzz_take(in, 1);

	f->call = fault_of(r, call);
	f->nth = call & 0x80 ? nth : 0;
	f->order = -1;
	f->arg = arg < 128 ? -ENOMEM : (int)(arg - 128);
	if (f->call != XR_CALL_POPULATE && f->call != XR_CALL_RELEASE && f->call != XR_CALL_MAP)
		f->arg = -ENOMEM;
}

static void read_trap(struct recipe *r, struct fuzz_input *in)
{
	const uint64_t kind = fuzz_take(in, 1);

	r->traps = (kind & 0xc0) == 0x40;
	r->reads = (kind & 0xc0) == 0x80;
	r->trap = (enum trap_call)(kind % 64 % TRAP_CALLS);
	r->read = (enum trap_read)(kind % 64 % TRAP_READS);
	r->trap_at = fuzz_take(in, 3);
	if (r->traps)
		r->trap_at = r->trap_at % 64 + 1;
}

static void read_restore(struct recipe *r, struct fuzz_input *in)
{
	static const unsigned int orders[] = { 9, 9, 0, 18 }, aheads[] = { 64, 0, 1, 4 };
	static const int rooms[] = { 2500, 0, 1 << 19, -1 };
	const uint64_t how = fuzz_take(in, 1), sizes = fuzz_take(in, 1), room = fuzz_take(in, 1);

	r->pipe = how & 1;
	r->uring = (how & 0x0e) == 0x0e;
	r->policy = (enum xr_policy)((how >> 4 & 3) % 3);
	r->memory = (how & 0xc0) != 0xc0;
	r->max_order = orders[sizes & 3];
	r->ahead_mib = aheads[sizes >> 2 & 3];
	r->room = rooms[room & 3];
	if (r->room < 0)
		r->room = -(int)(room >> 2);
	r->fail_from = sizes & 0x80 ? (sizes & 0x40 ? 9 : 18) : 255;
	r->start = (unsigned int)fuzz_take(in, 1) * 37;
	r->start_pages = (unsigned int)fuzz_take(in, 1) % 20;
	if (!r->pv)
		return;
	r->start_pages = 0; /* the width of a domain with memory can't be changed */
	r->memory = true;
}

static void read_damage(struct damage *d, struct fuzz_input *in)
{
	const uint64_t kind = fuzz_take(in, 1);

	d->hurt = kind & 0x80 ? (enum hurt)(kind % HURT_KINDS) : HURT_NONE;
	d->from_end = kind & 0x40;
	d->at = fuzz_take(in, 3);
	d->value = (uint8_t)fuzz_take(in, 1);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void hurt(struct recipe *r, const struct damage *d)
{
	size_t at, n;

	if (!r->size || d->hurt == HURT_NONE)
		return;
	at = (size_t)d->at % r->size;
	if (d->from_end)
		at = r->size - 1 - at;
	n = least(d->value + 1ul, r->size - at);
	for (unsigned int i = 0; i < r->good; i++)
		if (r->cp.resume[i] > at)
			r->good = i;
	r->cut = r->sound && d->hurt == HURT_CUT && at < r->end;
	r->sound = r->sound && at >= r->end;
	switch (d->hurt) {
	case HURT_XOR:
		r->bytes[at] ^= d->value;
		break;
	case HURT_CUT:
		r->size = at;
		break;
	case HURT_REMOVE:
		memmove(r->bytes + at, r->bytes + at + n, r->size - at - n);
		r->size -= n;
		break;
	default: /* there is room: recipe_read() */
		memmove(r->bytes + at + n, r->bytes + at, r->size - at);
		r->size += n;
		break;
	}
}

/* Damage may take away what stood before it. */
static size_t find_libxc(const struct recipe *r)
{
	static const unsigned char magic[] = { 255, 255, 255, 255, 255, 255,
					       255, 255, 'X', 'E', 'N', 'F' };
	const unsigned char *at = memmem(r->bytes, r->size, magic, sizeof(magic));

	return at ? (size_t)(at - r->bytes) : r->b.libxc_offset;
}

void recipe_read(struct recipe *r, const uint8_t *data, size_t size)
{
	struct fuzz_input head = { data, size < RECIPE_HEAD ? size : RECIPE_HEAD };
	struct fuzz_input rest = { data + head.left, size - head.left };
	struct fuzz_input kind = head;
	struct damage damage[HURTS];

	memset(r, 0, sizeof(*r));
	fuzz_skip(&kind, RECIPE_KIND);
	read_kind(r, &kind);
	read_restore(r, &head);
	for (unsigned int i = 0; i < HURTS; i++)
		read_damage(&damage[i], &head);
	for (unsigned int i = 0; i < RECIPE_FAULTS; i++)
		read_fault(r, &r->fault[i], &head);
	read_trap(r, &head);
	recipe_cook(r, &rest);
	r->size = builder_size(&r->b);
	r->end = r->b.end_offset;
	r->bytes = malloc(r->size + HURTS * 256);
	fuzz_claim(r->bytes, "no memory");
	memcpy(r->bytes, builder_data(&r->b), r->size);
	for (unsigned int i = 0; i < HURTS; i++)
		hurt(r, &damage[i]);
	r->libxc = find_libxc(r);
}

void recipe_free(struct recipe *r)
{
	builder_free(&r->b);
	free(r->bytes);
}
