/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What shells complete, written from the table of commands; run when the program is built. */
#include "cli/completions.h"

#include "cli/command.h"

#include <string.h>

static const struct xr_option *options_of(const struct xr_command *c)
{
	static const struct xr_option none[] = { XR_OPTIONS_END };

	return c->options ?: none;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): they declare what they name */
#define each_command(c, commands)                                                                  \
	for (const struct xr_command *const *c##_at = (commands), *c; (c = *c##_at) != NULL;       \
	     c##_at++)                                                                             \
		if (!c->hidden)
#define each_option(o, c)                                                                          \
	for (const struct xr_option *o = options_of(c); !xr_option_is_end(o); o++)                 \
		if (o->name)
/* NOLINTEND(bugprone-macro-parentheses) */

static void words(FILE *to, const struct xr_option *o)
{
	for (unsigned int i = 0; o->words && o->words[i]; i++)
		fprintf(to, "%s%s", i ? " " : "", o->words[i]);
}

/* In single quotes; brackets, which zsh gives a meaning, are escaped where asked for. */
static void quoted(FILE *to, const char *text, bool brackets)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", to);
		else if (brackets && (*text == '[' || *text == ']' || *text == ':'))
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

/* --- bash ----------------------------------------------------------------------------------- */

static void bash_values(FILE *to, const struct xr_command *c)
{
	each_option(o, c)
	{
		if (!o->arg)
			continue;
		fprintf(to, "\t%s:--%s", c->name, o->name);
		if (o->letter)
			fprintf(to, "|%s:-%c", c->name, o->letter);
		fputs(") ", to);
		if (o->words) {
			fputs("COMPREPLY=($(compgen -W '", to);
			words(to, o);
			fputs("' -- \"$cur\")); ", to);
		} else if (o->kind == XR_OPTION_FILE) {
			fputs("IFS=$'\\n'; COMPREPLY=($(compgen -f -- \"$cur\")); ", to);
		}
		fputs("return ;;\n", to);
	}
}

static void bash_options(FILE *to, const struct xr_command *c)
{
	fprintf(to, "\t%s) options='--help", c->name);
	each_option(o, c) fprintf(to, " --%s", o->name);
	fputs("' ;;\n", to);
}

static void bash(FILE *to, const struct xr_command *const *commands)
{
	fputs("# bash completion for xenrestore\n"
	      "_xenrestore()\n{\n"
	      "\tlocal IFS=$' \\t\\n' options=\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tCOMPREPLY=()\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '",
	      to);
	each_command(c, commands) fprintf(to, "%s ", c->name);
	fputs("--help --version' -- \"$cur\"))\n\t\treturn\n\tfi\n"
	      "\tif [ \"$cur\" = = ]; then\n\t\tcur=\n"
	      "\telif [ \"$prev\" = = ]; then\n\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n\tfi\n"
	      "\tcase ${COMP_WORDS[1]}:$prev in\n",
	      to);
	each_command(c, commands) bash_values(to, c);
	fputs("\tesac\n\tcase ${COMP_WORDS[1]} in\n", to);
	each_command(c, commands) bash_options(to, c);
	fputs("\tesac\n"
	      "\tcase $cur in\n"
	      "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
	      "\t*) IFS=$'\\n'; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	      "\tesac\n}\n"
	      "complete -o filenames -F _xenrestore xenrestore\n",
	      to);
}

/* --- zsh ------------------------------------------------------------------------------------ */

static void zsh_option(FILE *to, const struct xr_option *o)
{
	fputs(" \\\n\t\t\t", to);
	if (o->letter)
		fprintf(to, "{-%c,--%s%s}", o->letter, o->name, o->arg ? "=" : "");
	else
		fprintf(to, "--%s%s", o->name, o->arg ? "=" : "");
	fputs("'[", to);
	quoted(to, o->help, true);
	fputc(']', to);
	if (o->arg)
		fprintf(to, ":%s:", o->arg);
	if (o->words) {
		fputc('(', to);
		words(to, o);
		fputc(')', to);
	} else if (o->kind == XR_OPTION_FILE) {
		fputs("_files", to);
	}
	fputc('\'', to);
}

static void zsh_command(FILE *to, const struct xr_command *c)
{
	fprintf(to, "\t%s)\n\t\t_arguments", c->name);
	each_option(o, c) zsh_option(to, o);
	fputs(" \\\n\t\t\t{-h,--help}'[print help]' '*:file:_files'\n\t\t;;\n", to);
}

static void zsh(FILE *to, const struct xr_command *const *commands)
{
	fputs("#compdef xenrestore\n"
	      "local -a commands\ncommands=(\n",
	      to);
	each_command(c, commands)
	{
		fprintf(to, "\t'%s:", c->name);
		quoted(to, c->what, false);
		fputs("'\n", to);
	}
	fputs(")\nif (( CURRENT == 2 )); then\n\t_describe command commands\n\treturn\nfi\n"
	      "shift words\n(( CURRENT-- ))\ncase $words[1] in\n",
	      to);
	each_command(c, commands) zsh_command(to, c);
	fputs("esac\n", to);
}

/* --- fish ----------------------------------------------------------------------------------- */

static void fish_option(FILE *to, const struct xr_command *c, const struct xr_option *o)
{
	fprintf(to, "complete -c xenrestore -n '__fish_seen_subcommand_from %s' -l %s", c->name,
		o->name);
	if (o->letter)
		fprintf(to, " -s %c", o->letter);
	if (o->kind == XR_OPTION_FILE)
		fputs(" -r -F", to);
	else if (o->arg)
		fputs(" -x", to);
	if (o->words) {
		fputs(" -a '", to);
		words(to, o);
		fputc('\'', to);
	}
	fputs(" -d '", to);
	quoted(to, o->help, false);
	fputs("'\n", to);
}

static void fish(FILE *to, const struct xr_command *const *commands)
{
	fputs("# fish completion for xenrestore\n", to);
	each_command(c, commands)
	{
		fprintf(to, "complete -c xenrestore -f -n __fish_use_subcommand -a %s -d '",
			c->name);
		quoted(to, c->what, false);
		fputs("'\n", to);
		each_option(o, c) fish_option(to, c, o);
	}
}

/* For those who check that nothing is left out: "restore --fd". */
static void names(FILE *to, const struct xr_command *const *commands)
{
	each_command(c, commands)
	{
		each_option(o, c) fprintf(to, "%s --%s\n", c->name, o->name);
	}
}

int xr_completions(FILE *to, const struct xr_command *const *commands, const char *what)
{
	static const struct {
		const char *what;
		void (*write)(FILE *to, const struct xr_command *const *commands);
	} all[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish }, { "names", names } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i].what, what))
			continue;
		all[i].write(to, commands);
		return fflush(to) ? XR_EXIT_HOST : XR_EXIT_OK;
	}
	return XR_EXIT_USAGE;
}
