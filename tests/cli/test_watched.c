/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tells of a restore while it runs and afterwards: progress, report, metrics, trace, probes.
 */
#include "cli/shell.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

CLI_SUITE(watched);

/* Where <sys/sdt.h> was there at build time. */
#ifdef XR_HAVE_SDT
#define PROBES_BUILT true
#else
#define PROBES_BUILT false
#endif

/* The stream stops until a supervisor has heard of it. */
Test(cli_watched, a_supervisor_hears_from_start_to_end)
{
	struct outcome o = sh(
		"{ head -c 1000000 $S; until grep -q '\"limited_by\":\"source\"' $D/j; do :; done; "
		"tail -c +1000001 $S; } | $P restore -q --progress json --progress-fd 7 - 7>$D/j; "
		"sed -n '1p;$p' $D/j");

	cr_expect_eq(o.code, 0);
	cr_expect_not_null(strstr(o.out, "{\"event\":\"start\"}\n"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "{\"event\":\"done\",\"exit_code\":0,"), "%s", o.out);
	cr_expect_str_eq(o.err, "");
	o = sh("head -c 2000000 $S | $P restore -q --progress json --progress-fd 1 - | tail -n 1");
	cr_expect_not_null(strstr(o.out, "\"failed\",\"exit_code\":1,\"stage\":\"stream\""), "%s",
			   o.out);
	o = sh("$P restore --progress json --progress-fd 77 $S");
	expect_failure(&o, 2, "descriptor 77");
}

Test(cli_watched, a_report_is_one_page_of_a_restore)
{
	struct outcome o =
		sh("$P restore -q --report $D/page.html $S && grep -c '\"limit\":\"' $D/page.html; "
		   "grep -o -e 'https\\?://[a-z0-9.]*' $D/page.html | sort -u");

	cr_expect_str_eq(o.out, "1\nhttp://www.w3.org\n", "%s", o.err); /* SVG's name space */
	o = sh("head -c 2000000 $S | $P restore -q --report $D/page.html - 2>/dev/null; "
	       "grep -c 'ends too early' $D/page.html");
	cr_expect_str_eq(o.out, "1\n", "a failed restore has a report, too");
	o = sh("$P restore --report $D/nowhere/page $S");
	expect_failure(&o, 2, "nowhere");
}

#define METRIC(name, labels, value)                                                                \
	"grep -c '^xenrestore_" name "{host=\"model\"" labels "} " value "$' $D/m/r.prom; "

Test(cli_watched, metrics_are_replaced_as_a_whole)
{
	/* Each line a comment or a sample, no name twice, EOF last: what either parser takes. */
	static const char check[] =
		"grep -Evc '^# (TYPE xenrestore_[a-z_]+ gauge|HELP xenrestore_[a-z_]+ .*|EOF)$|"
		"^xenrestore_[a-z_]+([{]([a-z]+=\"[a-zA-Z0-9]+\",?)+[}])? [0-9.e+-]+$' $D/m/r.prom; "
		"tail -n 1 $D/m/r.prom; sed 's/ [^ ]*$//' $D/m/r.prom | grep -v '^#' | sort | uniq -d; "
		"ls -A $D/m";
	struct outcome o = sh("mkdir $D/m; echo old >$D/m/r.prom; exec 6<$D/m/r.prom; "
			      "$P restore -q --metrics $D/m/r.prom $S; cat <&6; %s",
			      check);

	cr_expect_str_eq(o.out, "old\n0\n# EOF\nr.prom\n", "%s", o.err);
	o = sh(METRIC("success", "", "1") METRIC("exit_code", "", "0") METRIC(
		"pages", ",kind=\"populated\"", "4950") METRIC("extents", ",size=\"2M\"", "7"));
	cr_expect_str_eq(o.out, "1\n1\n1\n1\n");
	o = sh("head -c 2000000 $S | $P restore -q --metrics $D/m/r.prom - 2>$D/e; %s; " METRIC(
		       "success", "", "0") METRIC("exit_code", "", "1"),
	       check);
	cr_expect_str_eq(o.out, "0\n# EOF\nr.prom\n1\n1\n");
	o = sh("cd $D/m && $P restore -q --metrics own $S && ls -A");
	cr_expect_str_eq(o.out, "own\nr.prom\n");
	o = sh("$P restore --metrics $D/nowhere/r.prom $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("$P restore -q --metrics $D/m/new $D/absent; ls -A $D/m");
	cr_expect_str_eq(o.out, "new\nown\nr.prom\n");
	o = sh("grep '^xenrestore_success' $D/m/new");
	cr_expect_not_null(strstr(o.out, "} 0\n"), "a restore that never began is told of: %s",
			   o.out);
	/* What can't be told of it takes nothing from the guest. */
	o = sh("$P restore -q --report /dev/full --metrics $D/m/r.prom $S; echo $?; " METRIC(
		"success", "", "1") METRIC("exit_code", "", "0"));
	cr_expect_str_eq(o.out, "5\n1\n1\n", "%s", o.err);
}

/* Whoever reads what is told may die: by a signal as by an error the guest would be lost. */
Test(cli_watched, no_reader_is_needed)
{
	static const char *const ways[] = { "--progress lines", "--progress bar", "--progress json",
					    "-v -v", "" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct outcome o =
			sh("{ { $P restore %s --digest $S 2>&3; echo $? >&4; } 3>&1 >$D/out "
			   "| true; } 4>&1; wc -l <$D/out",
			   ways[i]);

		cr_expect_eq(strncmp(o.out, "0\n", 2), 0, "%s: %s", ways[i], o.out);
	}
}

/* A signal comes when the guest is complete, and its trace goes to a slow reader. */
Test(cli_watched, a_guest_that_is_complete_survives_a_signal)
{
	struct outcome o = sh(
		"mkfifo $D/slow; { sleep 1; cat >/dev/null; } <$D/slow & "
		"cat $S | { exec 3<&0; $P restore -q --metrics $D/m.prom --trace $D/slow - <&3 & p=$!; "
		"while ! ls $D/m.prom >/dev/null 2>&1; do sleep 0.05; done; "
		"kill -TERM $p; wait $p; echo $?; }");

	cr_expect(!strcmp(o.out, "0\n") || !strcmp(o.out, "5\n"), "%s%s", o.out, o.err);
}

Test(cli_watched, files_are_told_apart)
{
	struct outcome o = sh("$P restore -q --report $D/one --metrics $D/one $S");

	expect_failure(&o, 2, "one: File exists");
	o = sh("cd $D && $P restore -q --report one --metrics ./one $S");
	expect_failure(&o, 2, "one: File exists");
	o = sh("echo old >$D/kept; ln -s kept $D/link; head -c 2000000 $S | $P restore -q --receipt $D/link - "
	       "2>$D/e; cat $D/kept; $P restore -q --receipt $D/link $S; head -c 1 $D/kept; "
	       "test -L $D/link && ls -A $D | grep -c new");
	cr_expect_str_eq(o.out, "old\n{0\n", "%s", o.err);
	o = sh("echo old >$D/r; chmod 600 $D/r; $P restore -q --report $D/r $S; stat -c %%a $D/r; "
	       "grep -c '<html' $D/r");
	cr_expect_str_eq(o.out, "600\n1\n", "%s", o.err);
}

/* Spans of the control loop and of the workers, within their rows one after or inside another. */
Test(cli_watched, a_trace_shows_what_happened_when)
{
	static const char check[] =
		"import json, sys\n"
		"j = json.load(open(sys.argv[1]))\n"
		"e = [x for x in j['traceEvents'] if x['ph'] == 'X']\n"
		"print({'copy', 'drain', 'item', 'map', 'populate', 'unmap'} <= {x['name'] for x in e})\n"
		"print(j['otherData']['events_lost'], min(x['dur'] for x in e) >= 0)\n"
		"print(sum(x['args']['done'] << 9 * (x['args']['extents'] == 0) for x in e"
		" if x['name'] == 'populate') > 0)\n"
		"print(len({x['tid'] for x in e if x['name'] == 'map'}), len({x['tid'] for x in e"
		" if x['name'] == 'item'}))\n"
		"bad = 0\n"
		"for row in {x['tid'] for x in e}:\n"
		"  stack = []\n"
		"  for x in sorted((x for x in e if x['tid'] == row), key=lambda x: (x['ts'], -x['dur'])):\n"
		"    while stack and stack[-1] <= x['ts'] + 0.0015: stack.pop()\n"
		"    bad += bool(stack) and x['ts'] + x['dur'] > stack[-1] + 0.002\n"
		"    stack.append(x['ts'] + x['dur'])\n"
		"print(bad, len(e) < 5 * 1027)\n"; /* so few for each record: idle, two nops each */
	struct outcome o;

	for (int i = 0; i < 2; i++) {
		o = sh("cat >$D/check <<'EOF'\n%s\nEOF\n"
		       "$P restore -q --workers 2 --worker-kind %s --trace $D/t.json - <$S && "
		       "python3 $D/check $D/t.json",
		       check, i ? "thread" : "process");
		cr_expect_str_eq(o.out, "True\n0 True\nTrue\n2 1\n0 True\n", "%s", o.err);
	}
	o = sh("$P restore -q --trace $D/nowhere/t $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("$P restore -q --trace /dev/full $S");
	expect_failure(&o, 5, "cannot write /dev/full: No space left on device");
	o = sh("echo old >$D/t; $P restore -q --trace $D/t $D/absent; cat $D/t; rm $D/t");
	cr_expect_str_eq(o.out, "old\n", "of a restore that never began");
}

/* The script for bpftrace names probes that are in the program, and all of them. */
Test(cli_watched, probes_are_those_of_the_script)
{
	struct outcome o;

	if (!PROBES_BUILT)
		cr_skip_test("no probes here");
	o = sh("readelf -n $P | grep -A1 'Provider: xenrestore' | sed -n 's/.*Name: //p' | "
	       "sort -u >$D/a; grep -o 'xenrestore:[a-z_]*$' %s/../trace/latency.bt | "
	       "sed 's/.*://' | sort -u >$D/b; diff $D/a $D/b && wc -l <$D/b",
	       MANUALS);
	cr_expect_str_eq(o.out, "18\n");
}

/* Nobody looks: each probe is a nop, and no call is made for what it would tell. */
Test(cli_watched, idle_probes_are_a_nop_each)
{
	struct outcome o;

	if (!PROBES_BUILT)
		cr_skip_test("no probes here");
	o = sh("python3 %s $P " HELPER, PROBES);
	cr_expect_str_eq(o.out, "18 in enough places\n18 in enough places\n", "%s%s", o.out, o.err);
	o = sh("cd %s/../.. && grep -rhE 'XR_SPAN_(BEGIN|END)\\(|XR_SAMPLE\\(' engine stream populate "
	       "copy --include=*.c | grep -vcE '\\([^()]*\\);$'",
	       MANUALS);
	cr_expect_str_eq(o.out, "0\n", "a call for an argument: %s", o.out);
}

Test(cli_watched, the_script_is_one_that_bpftrace_takes)
{
	struct outcome o;

	if (!PROBES_BUILT || system("command -v bpftrace >/dev/null"))
		cr_skip_test("no bpftrace, or no probes, here");
	o = sh("sed \"s|/usr/bin/xenrestore|$P|; s|/usr/libexec/xenrestore/|${P%%/*}/|\" "
	       "%s/../trace/latency.bt >$D/l.bt; bpftrace -d $D/l.bt >$D/ir; test $? = 0 -o "
	       "$(id -u) != 0 && ! grep -i '^error' $D/ir",
	       MANUALS);
	cr_expect_eq(o.code, 0, "%s%s", o.out, o.err);
}
