/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generate/options.h"

#include "generate/size.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct entry {
	int opt;
	const char *name;
	char letter;
	size_t at, size; /* of the field */
	const char *argument, *meaning;
} entries[] = {
#define ENTRY(id, name, letter, field, argument, meaning)                                          \
	{ XR_GEN_OPT(id, letter),                                                                  \
	  name,                                                                                    \
	  letter,                                                                                  \
	  offsetof(struct xr_gen_options, field),                                                  \
	  sizeof(((struct xr_gen_options *)0)->field),                                             \
	  argument,                                                                                \
	  meaning },
	XR_GEN_OPTIONS(ENTRY)
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

static bool set(struct xr_gen_options *o, const struct entry *e, uint64_t value)
{
	const unsigned int narrow = (unsigned int)value;
	char *field = (char *)o + e->at;

	if (e->size == sizeof(value))
		memcpy(field, &value, sizeof(value));
	else if (value == narrow)
		memcpy(field, &narrow, sizeof(narrow));
	else
		return false;
	return true;
}

static uint64_t get(const struct xr_gen_options *o, const struct entry *e)
{
	const char *field = (const char *)o + e->at;
	unsigned int narrow;
	uint64_t value;

	if (e->size == sizeof(value)) {
		memcpy(&value, field, sizeof(value));
		return value;
	}
	memcpy(&narrow, field, sizeof(narrow));
	return narrow;
}

int xr_gen_option(struct xr_gen_options *o, int opt, const char *arg)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct entry *e = &entries[i];
		const char *end;
		uint64_t value;

		if (opt != e->opt)
			continue;
		return xr_take_size(arg, &end, &value) && !*end && set(o, e, value) ? 1 : -EINVAL;
	}
	return 0;
}

/* As one would type it: 256M, not 268435456; but 1024, not 1K. */
static void put_number(FILE *to, uint64_t n)
{
	static const char units[] = "\0KMGT";
	const unsigned int most = n >> 20 ? 4 : 0;
	unsigned int unit = 0;

	while (unit < most && n % 1024 == 0) {
		n /= 1024;
		unit++;
	}
	fprintf(to, "%llu%.1s", (unsigned long long)n, &units[unit]);
}

void xr_gen_options_help(FILE *to, const struct xr_gen_options *o)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct entry *e = &entries[i];
		char letter[8] = "    ", option[32];

		if (e->letter)
			snprintf(letter, sizeof(letter), "-%c, ", e->letter);
		snprintf(option, sizeof(option), "--%s %s", e->name, e->argument);
		fprintf(to, "  %s%-18s %s (", letter, option, e->meaning);
		put_number(to, get(o, e));
		fputs(")\n", to);
	}
}
