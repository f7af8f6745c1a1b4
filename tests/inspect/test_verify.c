/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict beside that of Xen's own verify-stream-v2, where Debian's xen-utils are installed or
 * lie unpacked in the cache of tests/xen; XR_XEN_PYTHON names another place. What it refuses is
 * refused. The reverse need not hold: it knows no order of records, no limits and no contexts.
 */
#include "inspect/look.h"

#include "lib/rng.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 240u

TestSuite(verify, .timeout = 300);

/* What it is right not to object to. */
static const char *const stricter[] = {
	"STATIC_DATA_END",
	"CHECKPOINT",
	"HVM_CONTEXT",
	"beyond",
	"in the stream of",
	"X86_PV_INFO",
	"X86_PV_P2M_FRAMES",
	"ends too early",
	"more than",
	"above 32 bits",
	"at most",
	"is needed",
	"libxl stream goes on",
	"X86_PV_VCPU_BASIC",
};

static bool library(char *path, size_t room)
{
	const char *given = getenv("XR_XEN_PYTHON"), *cache = getenv("XDG_CACHE_HOME");
	char lab[512];
	const char *places[] = { given ?: "/usr/lib/xen-*/lib/python", lab };
	bool found = false;

	snprintf(lab, sizeof(lab), "%s%s/xenrestore-lab/sysroot/usr/lib/xen-*/lib/python",
		 cache ?: getenv("HOME") ?: "", cache ? "" : "/.cache");
	for (unsigned int i = 0; !found && i < 2; i++) {
		glob_t g;

		if (!glob(places[i], 0, NULL, &g)) {
			snprintf(path, room, "%s", g.gl_pathv[0]);
			found = true;
		}
		globfree(&g);
	}
	return found && !system("python3 -c 1 >/dev/null 2>&1");
}

static void put(const char *dir, unsigned int i, const void *bytes, size_t n)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%u", dir, i);
	f = fopen(path, "we");
	cr_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

static bool is_stricter(const struct inspect *in)
{
	for (size_t k = 0; k < sizeof(stricter) / sizeof(stricter[0]); k++)
		if (problem(in, INSPECT_BAD, stricter[k]))
			return true;
	return false;
}

/* One bit of the records' heads is changed in three of four streams. */
static void break_it(struct random_stream *s, struct rng *r)
{
	size_t at = s->b.libxc_offset + 40;

	for (unsigned int i = (unsigned int)rng_below(r, 12); i; i--) {
		uint32_t head[2];

		memcpy(head, builder_data(&s->b) + at, 8);
		if (head[0])
			at += 8 + ((head[1] + 7) & ~7u);
	}
	if (rng_chance(r, 1, 5))
		at = s->b.libxc_offset;
	s->b.sink.data[at + rng_below(r, 32)] ^= (unsigned char)(1u << rng_below(r, 8));
}

static struct inspect *make(unsigned int i, const char *dir, FILE *list)
{
	struct rng r = rng_seed(i);
	struct random_options o;
	struct random_stream s;
	struct inspect *in;
	bool libxl;

	random_options_default(&o, i);
	o.max_data = 40;
	o.max_pfns = 900;
	o.features &= ~(unsigned int)(i % 4 ? 0 : RANDOM_OPTIONAL);
	random_stream_make(&s, &o);
	if (i % 4)
		break_it(&s, &r);
	libxl = s.layer != XR_EMIT_BARE;
	in = look(FEED_PIPE, builder_data(&s.b), builder_size(&s.b), i);
	put(dir, i, builder_data(&s.b), builder_size(&s.b));
	/* The libxl stream begins 24 bytes before the libxc stream. */
	fprintf(list, "%s %zu %s/%u\n", libxl ? "libxl" : "libxc",
		libxl ? s.b.libxc_offset - 24 : 0, dir, i);
	random_stream_free(&s);
	return in;
}

Test(verify, what_xen_refuses_is_refused)
{
	static struct inspect *in[MANY];
	char dir[] = "/tmp/xr-verify-XXXXXX", python[512], line[1024], word[16];
	unsigned int refused = 0, agreed = 0;
	FILE *f;

	if (!library(python, sizeof(python)))
		cr_skip_test("no xen-utils with verify-stream-v2 here");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(line, sizeof(line), "%s/list", dir);
	f = fopen(line, "we");
	cr_assert_not_null(f);
	for (unsigned int i = 0; i < MANY; i++)
		in[i] = make(i, dir, f);
	fclose(f);
	snprintf(line, sizeof(line), "python3 %s %s <%s/list", VERIFY_MANY, python, dir);
	f = popen(line, "re");
	for (unsigned int i = 0; i < MANY; i++) {
		bool good;

		cr_assert_eq(fscanf(f, "%15s", word), 1);
		good = !strcmp(word, "good");
		refused += !good;
		agreed += good == (in[i]->worst == INSPECT_NOTE);
		if (!good)
			cr_expect_neq(in[i]->worst, INSPECT_NOTE, "stream %u: Xen refuses it", i);
		else if (in[i]->worst != INSPECT_NOTE)
			cr_expect(is_stricter(in[i]), "stream %u: Xen takes it: %s", i,
				  in[i]->problems[0].what.text);
		unlook(in[i]);
	}
	pclose(f);
	cr_expect_gt(refused, MANY / 6);
	cr_expect_gt(agreed, MANY / 2);
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	cr_expect_eq(system(line), 0);
}
