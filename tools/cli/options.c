/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/options.h"

#include "cli/command.h"
#include "cli/size.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define OPTIONS_MAX 64u
#define LONG_BASE 256
#define HELP_COLUMN 26

int xr_usage(const struct xr_command *c, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "xenrestore %s: ", c->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " ('xenrestore %s --help' tells the options)\n", c->name);
	return XR_EXIT_USAGE;
}

static const struct option *longs(const struct xr_command *c, struct option *to, char *letters)
{
	unsigned int n = 0;

	for (const struct xr_option *o = c->options; o && !xr_option_is_end(o); o++) {
		if (!o->name || n == OPTIONS_MAX)
			continue;
		to[n++] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL,
					   LONG_BASE + (int)(o - c->options) };
		if (o->letter) {
			*letters++ = o->letter;
			if (o->arg)
				*letters++ = ':';
		}
	}
	to[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	to[n] = (struct option){ NULL, 0, NULL, 0 };
	letters[0] = 'h';
	letters[1] = 0;
	return to;
}

static const struct xr_option *find(const struct xr_command *c, int opt)
{
	const struct xr_option *o = c->options;

	if (opt >= LONG_BASE)
		return &c->options[opt - LONG_BASE];
	while (o->letter != opt)
		o++;
	return o;
}

static int number(const struct xr_command *c, const struct xr_option *o, const char *arg,
		  uint64_t *out)
{
	const char *end;

	if (xr_take_size(arg, &end, out) && !*end && *out >= o->min && *out <= o->max)
		return 0;
	return xr_usage(c, "--%s takes a number from %llu to %llu, not '%s'", o->name,
			(unsigned long long)o->min, (unsigned long long)o->max, arg);
}

static void list_words(const char *const *words, char *to, size_t room)
{
	size_t n = 0;

	for (unsigned int i = 0; words[i] && n < room; i++)
		n += (size_t)snprintf(to + n, room - n, "%s%s", i ? ", " : "", words[i]);
}

/* The index of the word that is the n characters at arg; -1: none. */
static int word_at(const char *const *words, const char *arg, size_t n)
{
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == n && !strncmp(words[i], arg, n))
			return i;
	return -1;
}

static int not_a_word(const struct xr_command *c, const struct xr_option *o, const char *arg)
{
	char list[256] = "";

	list_words(o->words, list, sizeof(list));
	return xr_usage(c, "--%s takes %s%s, not '%s'", o->name,
			o->kind == XR_OPTION_WORDS ? "some of " : "one of ", list, arg);
}

static int words(const struct xr_command *c, const struct xr_option *o, const char *arg,
		 unsigned int *out)
{
	*out = 0;
	for (const char *p = arg;; p++) {
		const size_t n = strcspn(p, ",");
		const int i = word_at(o->words, p, n);

		if (i < 0)
			return not_a_word(c, o, arg);
		*out |= 1u << i;
		p += n;
		if (!*p)
			return 0;
	}
}

static int call(const struct xr_command *c, const struct xr_option *o, void *options,
		const char *arg)
{
	const char *why = NULL;

	if (!o->take(options, o, arg, &why))
		return 0;
	return xr_usage(c, "--%s %s, not '%s'", o->name, why, arg);
}

static int set(const struct xr_command *c, const struct xr_option *o, void *options,
	       const char *arg)
{
	void *field = (char *)options + o->at;
	uint64_t v = 0;
	int rc, i;

	switch (o->kind) {
	case XR_OPTION_HEADING:
		break;
	case XR_OPTION_FLAG:
		*(bool *)field = true;
		break;
	case XR_OPTION_COUNT:
		++*(unsigned int *)field;
		break;
	case XR_OPTION_INT:
		rc = number(c, o, arg, &v);
		if (rc)
			return rc;
		*(unsigned int *)field = (unsigned int)v;
		break;
	case XR_OPTION_U64:
		return number(c, o, arg, field);
	case XR_OPTION_WORD:
		i = word_at(o->words, arg, strlen(arg));
		if (i < 0)
			return not_a_word(c, o, arg);
		*(unsigned int *)field = (unsigned int)i;
		break;
	case XR_OPTION_WORDS:
		return words(c, o, arg, field);
	case XR_OPTION_TEXT:
	case XR_OPTION_FILE:
		*(const char **)field = arg;
		break;
	case XR_OPTION_CALL:
		return call(c, o, options, arg);
	}
	return 0;
}

int xr_options_parse(const struct xr_command *c, void *options, int argc, char **argv, int *rest)
{
	struct option list[OPTIONS_MAX + 2];
	char letters[2 * OPTIONS_MAX + 2];
	int opt, rc = 0;

	longs(c, list, letters);
	optind = 0; /* begin anew, whatever was parsed before */
	opterr = 0;
	while (!rc && (opt = getopt_long(argc, argv, letters, list, NULL)) != -1) {
		if (opt == 'h') {
			xr_options_help(stdout, c);
			return XR_EXIT_OK + 1;
		}
		if (opt == '?')
			rc = xr_usage(c, "no such option, or its value is missing: %s",
				      argv[optind - 1]);
		else
			rc = set(c, find(c, opt), options, optarg);
	}
	*rest = optind;
	return rc ? rc + 1 : 0;
}

/* --- help ----------------------------------------------------------------------------------- */

static void help_row(FILE *to, const char *left, const char *help, const char *standard)
{
	const bool apart = strlen(left) >= HELP_COLUMN;

	fprintf(to, "%-*s%s%*s%s", HELP_COLUMN, left, apart ? "\n" : "", apart ? HELP_COLUMN : 0,
		"", help);
	if (standard)
		fprintf(to, " (%s)", standard);
	fputc('\n', to);
}

void xr_options_help(FILE *to, const struct xr_command *c)
{
	fprintf(to, "usage: xenrestore %s%s%s%s\n\n", c->name, c->options ? " [options]" : "",
		*c->args ? " " : "", c->args);
	fprintf(to, "%s\n\n", c->about ?: c->what);
	for (const struct xr_option *o = c->options; o && !xr_option_is_end(o); o++) {
		const char letter[] = { '-', o->letter, ',', ' ', '\0' };
		char left[64];

		if (!o->name) {
			fprintf(to, "%s\n", o->help);
			continue;
		}
		snprintf(left, sizeof(left), "  %s--%s%s%s", o->letter ? letter : "    ", o->name,
			 o->arg ? " " : "", o->arg ?: "");
		help_row(to, left, o->help, o->standard);
	}
	help_row(to, "  -h, --help", "print this", NULL);
}

int xr_options_parse_one(const struct xr_command *c, void *options, int argc, char **argv,
			 const char *what, const char **operand)
{
	int rest, rc = xr_options_parse(c, options, argc, argv, &rest);

	if (rc)
		return rc;
	if (rest + 1 != argc)
		return xr_usage(c, "%s", what) + 1;
	*operand = argv[rest];
	return 0;
}
