/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options by table: a row says what an option is called, what it takes, what it is by default, and
 * where its value goes. From the same rows come the parser, --help, the shell completions and the
 * lists that the manual pages are checked against.
 *
 * A command's values live in one struct; rows name a field by offsetof(). --help is every command's
 * and in no table. Defaults are set by the command before it parses; their texts are for people.
 */
#ifndef XR_OPTIONS_H
#define XR_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum xr_option_kind {
	XR_OPTION_HEADING, /* no option: help is a line between groups */
	XR_OPTION_FLAG,	   /* bool; takes nothing, sets true */
	XR_OPTION_COUNT,   /* unsigned int; takes nothing, adds one */
	XR_OPTION_INT,	   /* int or unsigned int; a number from min to max */
	XR_OPTION_U64,	   /* uint64_t; likewise */
	XR_OPTION_WORD,	   /* unsigned int or enum; the index of one of words */
	XR_OPTION_WORDS,   /* unsigned int; a bit for each of words, with commas between */
	XR_OPTION_TEXT,	   /* const char *; as it is */
	XR_OPTION_FILE,	   /* const char *; the name of a file */
	XR_OPTION_CALL,	   /* take() makes of it what it likes */
};

struct xr_option {
	enum xr_option_kind kind;
	const char *name;	  /* without its dashes */
	char letter;		  /* or 0 */
	const char *arg;	  /* what stands for the value in help; NULL: takes none */
	size_t at;		  /* offset of the field */
	uint64_t min, max;	  /* numbers; may end in K, M, G or T (powers of 1024) */
	const char *const *words; /* NULL-terminated */
	const char *standard;	  /* the default, as help tells it; NULL: says itself */
	const char *help;	  /* a line */
	int (*take)(void *options, const struct xr_option *o, const char *arg, const char **why);
};

/* Rows, by kind. */
#define XR_HEADING(text)                                                                           \
	{                                                                                          \
		.kind = XR_OPTION_HEADING, .help = (text)                                          \
	}
#define XR_OPTION(kind_, name_, letter_, arg_, at_, standard_, help_, ...)                         \
	{                                                                                          \
		.kind = XR_OPTION_##kind_, .name = (name_), .letter = (letter_), .arg = (arg_),    \
		.at = (at_), .standard = (standard_), .help = (help_), ##__VA_ARGS__               \
	}
#define XR_OPTIONS_END                                                                             \
	{                                                                                          \
		.kind = XR_OPTION_HEADING                                                          \
	}

static inline int xr_option_is_end(const struct xr_option *o)
{
	return !o->name && !o->help;
}

/* A command of the program. run gets argv[0] = its name and returns an exit code. */
struct xr_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;		 /* what follows the options: "FILE|-" */
	const char *what;		 /* a line, for the list of commands */
	const char *about;		 /* lines for its own help; NULL: none */
	const struct xr_option *options; /* NULL: takes none */
	const char *operands;		 /* "file", "command" or NULL: what a shell completes */
	int hidden;
};

/*
 * Parse argv into *options. 0: go on, and *rest is the index of the first operand; else the exit
 * code + 1: help was printed, or a usage error told.
 */
int xr_options_parse(const struct xr_command *c, void *options, int argc, char **argv, int *rest);

/* The same for a command with one operand, which becomes *operand; `what` is said where it is
 * missing, or not alone. */
int xr_options_parse_one(const struct xr_command *c, void *options, int argc, char **argv,
			 const char *what, const char **operand);

/* Tell of a usage error, in one line, with what to do next. Returns XR_EXIT_USAGE. */
int xr_usage(const struct xr_command *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* --help */
void xr_options_help(FILE *to, const struct xr_command *c);

#endif
