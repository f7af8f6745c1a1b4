/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is made from the table of options, or must agree with it: completions, manuals, help. */
#include "cli/shell.h"

#include <criterion/criterion.h>
#include <string.h>

CLI_SUITE(table);

/* What bash offers for a line, the last word of which is to be completed. */
static struct outcome offered(const char *words, const char *last)
{
	return sh(
		"$P completions bash >$D/c; bash -c 'source \"$0\"; COMP_WORDS=(xenrestore %s \"%s\"); "
		"COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _xenrestore; echo \"${COMPREPLY[*]}\"' $D/c",
		words, last);
}

Test(cli_table, bash_completes_from_the_table)
{
	cr_expect_str_eq(offered("", "re").out, "restore\n");
	cr_expect_str_eq(offered("restore", "--worker-k").out, "--worker-kind\n");
	cr_expect_str_eq(offered("restore --policy", "s").out, "speculative\n");
	cr_expect_str_eq(offered("restore --policy =", "s").out, "speculative\n");
	cr_expect_str_eq(offered("restore --domid", "").out, "\n");
	cr_expect_str_eq(offered("inspect --rec", "--rec").out, "--records\n");
	cr_expect_str_eq(offered("generate --layer", "libv").out, "libvirt\n");
	cr_expect_str_eq(offered("bench --max-order", "1").out, "18\n");
	cr_expect_not_null(
		strstr(offered("inspect", XR_TEST_DATA "/read_str").out, "read_stream.py"));
}

/* A file's name is one word, whatever is in it. */
Test(cli_table, bash_completes_names_with_blanks)
{
	static const char *const before[] = { "inspect", "restore --receipt" };

	for (size_t i = 0; i < 2; i++) {
		struct outcome o =
			sh("$P completions bash >$D/c; : >\"$D/a b c\"; "
			   "bash -c 'source \"$0\"; COMP_WORDS=(xenrestore %s \"$1\"); "
			   "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _xenrestore; "
			   "echo \"${#COMPREPLY[@]} ${COMPREPLY[0]##*/}\"' $D/c \"$D/a\"",
			   before[i]);

		cr_expect_str_eq(o.out, "1 a b c\n", "%s: %s", before[i], o.err);
	}
}

Test(cli_table, completions_name_every_option)
{
	struct outcome o = sh(
		"for s in bash zsh fish names; do $P completions $s >$D/$s; done; "
		"for c in $(cut -d ' ' -f 1 $D/names | sort -u); do $P $c --help >$D/help-$c; done; "
		"while read -r c n; do "
		"grep -q -e \"$n\\b\" $D/help-$c || echo help $c $n; "
		"grep -q -e \"$c) .*$n\\b\" $D/bash || echo bash $c $n; "
		"grep -q -e \"$n\\b\" $D/zsh || echo zsh $c $n; "
		"grep -q -e \"$c. -l ${n#--}\\b\" $D/fish || echo fish $c $n; done <$D/names");

	cr_expect_str_eq(o.out, "", "not there: %s", o.out);
	cr_expect_gt(lines(sh("$P completions names").out), 70);
	o = sh("$P completions bash | bash -n");
	cr_expect_eq(o.code, 0, "%s", o.err);
	o = sh("for s in zsh fish; do command -v $s >/dev/null || continue; "
	       "$P completions $s >$D/c; $s -n $D/c || echo $s; done");
	cr_expect_str_eq(o.out, "", "%s", o.err);
	cr_expect_eq(sh("$P completions tcsh").code, 2);
}

/* An option that is not in its page, or only there, is an error; so is a page that groff minds. */
Test(cli_table, manual_pages_have_the_options_of_the_table)
{
	struct outcome o = sh(
		"for c in restore inspect verify generate bench; do $P $c --help | grep -o -e '^  .*--[a-z0-9-]*' | "
		"grep -o -e '--[a-z0-9-]*' | sort -u >$D/a; test -s $D/a || echo $c has none; "
		"grep '^\\*-' %s/xenrestore-$c.1.scd | grep -o -e '--[a-z0-9-]*' | sort -u >$D/b; "
		"diff $D/a $D/b; done",
		MANUALS);

	cr_expect_str_eq(o.out, "");
	o = sh("command -v scdoc man >/dev/null || exit 0; for f in %s/*.scd; do "
	       "scdoc <$f >$D/page && man --warnings -l $D/page >/dev/null || echo $f; done",
	       MANUALS);
	cr_expect_eq(o.code, 0);
	cr_expect_str_eq(o.out, "");
	cr_expect_str_eq(o.err, "");
}

Test(cli_table, library_calls_have_pages)
{
	struct outcome o = sh(
		"grep -o '^\txr_[a-z_]*' %s/../../engine/libxenrestore.map | while read -r f; do "
		"grep -q \"'$f'\\|'$f[.]3'\" %s/meson.build || echo $f has no page; "
		"grep -q \"\\*[a-z_ ]*[ *]*$f(\" %s/*.3.scd || echo $f is in no page; done",
		MANUALS, MANUALS, MANUALS);

	cr_expect_str_eq(o.out, "", "%s", o.err);
	cr_expect_str_eq(o.err, "");
}

Test(cli_table, exit_codes_are_in_help_and_manual)
{
	struct outcome o =
		sh("$P help | sed -n '/^Exit/,$p' | grep -o '^  [0-9]' | tr -d ' ' >$D/a; "
		   "grep -o '^|.* [0-9]$' %s/xenrestore.1.scd | grep -o '[0-9]$' >$D/b; "
		   "diff $D/a $D/b && wc -l <$D/a",
		   MANUALS);

	cr_expect_str_eq(o.out, "6\n", "%s", o.out);
}

Test(cli_table, failures_tell_what_to_do_next)
{
	cr_expect_not_null(strstr(sh("head -c 2000000 $S | $P restore -").err, "(copy or save"));
	cr_expect_not_null(strstr(sh("$P restore /dev/zero").err, "('xenrestore inspect'"));
	cr_expect_not_null(strstr(sh("$P restore --maxmem 4 $S").err, "raise its maxmem"));
	cr_expect_not_null(
		strstr(sh("$P restore --frobnicate").err, "('xenrestore restore --help'"));
	cr_expect_not_null(strstr(sh("$P bench --runs 0").err, "('xenrestore bench --help'"));
	cr_expect_not_null(strstr(sh("$P generate").err, "('xenrestore generate --help'"));
}

Test(cli_table, help_and_version_are_on_stdout)
{
	cr_expect_not_null(strstr(sh("$P help").out, "restore"));
	cr_expect_not_null(strstr(sh("$P --version").out, "xenrestore 0."));
	cr_expect_not_null(strstr(sh("$P restore --help").out, "--max-order"));
	cr_expect_eq(sh("$P").code, 2);
	cr_expect_eq(sh("$P frobnicate").code, 2);
}
