/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program as its users see it: sources, exit codes, one line for a failure, stable JSON; and on
 * the Xen host, which here is the installed libxenctrl upon the preloaded model.
 */
#include "host/model.h"
#include "lib/digest.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* As its manifest has it; an independent reader worked it out. */
#define DIGEST "8189bc0d6c5e0019075ada154e9e3fea1d63001fb34b551e1578975de7be4397"
#define POPULATED 4950
#define WHOLE_2M 7

struct outcome {
	int code; /* of exit; -1: a signal */
	char out[16384], err[4096];
};

static char dir[] = "/tmp/xr-cli-XXXXXX";

static void slurp(const char *name, char *text, size_t room)
{
	char path[64];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (f) {
		n = fread(text, 1, room - 1, f);
		fclose(f);
	}
	text[n] = '\0';
}

/* A shell line, in which $S is the real stream, $P the program and $D a folder to write to. */
static struct outcome sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct outcome sh(const char *fmt, ...)
{
	struct outcome o;
	char line[1024], all[2048];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	snprintf(all, sizeof(all), "D=%s; S=%s/s; P=%s; { %s\n} >%s/out 2>%s/err", dir, dir,
		 PROGRAM, line, dir, dir);
	status = system(all);
	o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	slurp("out", o.out, sizeof(o.out));
	slurp("err", o.err, sizeof(o.err));
	return o;
}

static void setup(void)
{
	const char *given = getenv("ASAN_OPTIONS");
	char asan[512];

	cr_assert_not_null(mkdtemp(dir));
	setenv("XR_MODEL_FILL", "0xf1e5f1e5f1e5f1e5", 1);
	/* A preloaded library comes before the sanitizer's own, which objects. */
	snprintf(asan, sizeof(asan), "%s:verify_asan_link_order=0", given ? given : "");
	setenv("ASAN_OPTIONS", asan, 1);
	cr_assert_eq(sh("zstd -dqf %s/pvh-cut.save.zst -o $S", XR_TEST_DATA).code, 0);
}

static void teardown(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	cr_assert_eq(system(line), 0);
}

TestSuite(cli, .init = setup, .fini = teardown, .timeout = 300);

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void expect_failure(const struct outcome *o, int code, const char *word)
{
	cr_expect_eq(o->code, code, "exit %d: %s", o->code, o->err);
	cr_expect_eq(lines(o->err), 1, "%s", o->err);
	cr_expect_not_null(strstr(o->err, word), "no '%s' in: %s", word, o->err);
}

Test(cli, every_source_gives_the_same_guest)
{
	static const char *const ways[] = {
		"$P restore -q --digest $S",
		"$P restore -q --digest - <$S",
		"cat $S | $P restore -q --digest -",
		"$P restore -q --digest --fd 7 7<$S",
		"cat $S | $P restore -q --digest --io plain --worker-kind thread --fd 0",
		"$P restore -q --digest --policy speculative --workers 3 $S",
		"$P restore -q --digest --policy 4k --worker-kind process $S",
		"tail -c +848 $S | $P restore -q --digest -", /* the bare libxc stream */
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct outcome o = sh("%s", ways[i]);

		cr_expect_eq(o.code, 0, "%s: %s", ways[i], o.err);
		cr_expect_str_eq(o.out, DIGEST "\n", "%s", ways[i]);
		cr_expect_str_eq(o.err, "", "%s", ways[i]);
	}
}

Test(cli, what_stands_behind_the_stream_is_left)
{
	struct outcome o = sh("{ $P restore -q - && cat; } <$S | od -An -tx1");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_str_eq(o.out, " 00 00 00 00 00 00 00 00\n"); /* libxl's END */
	o = sh("cat $S | { $P restore -q - && cat; } | od -An -tx1");
	cr_expect_str_eq(o.out, " 00 00 00 00 00 00 00 00\n");
}

Test(cli, failures_have_codes_and_one_line)
{
	struct outcome o;

	o = sh("head -c 2000000 $S >$D/cut; $P restore $D/cut");
	expect_failure(&o, 1, "offset");
	o = sh("head -c 2000000 $S | $P restore -");
	expect_failure(&o, 1, "record");
	o = sh("cp $S $D/bad; printf 'xx' | dd of=$D/bad bs=1 seek=893 conv=notrunc status=none; "
	       "$P restore $D/bad");
	expect_failure(&o, 1, "stream");
	o = sh("$P restore /dev/null");
	expect_failure(&o, 1, "stream");
	o = sh("$P restore - <&-");
	expect_failure(&o, 1, "Bad file descriptor");
	o = sh("$P restore $S >&-");
	expect_failure(&o, 3, "summary");
	o = sh("$P restore $D/none");
	expect_failure(&o, 2, "No such file");
	o = sh("$P restore --policy best $S");
	expect_failure(&o, 2, "best");
	o = sh("$P restore --max-order 4 $S");
	expect_failure(&o, 2, "max-order takes 0 (4K), 9 (2M) or 18 (1G), not '4'");
	o = sh("$P restore --host xen $S");
	expect_failure(&o, 2, "--domid");
	o = sh("$P restore --host xen --domid 1 $S");
	expect_failure(&o, 3, "privcmd");
	o = sh("$P restore --maxmem 4 $S");
	expect_failure(&o, 3, "maxmem");
	cr_expect_not_null(strstr(o.err, "pfn"));
}

Test(cli, a_signal_cancels)
{
	struct outcome o =
		sh("mkfifo $D/f; $P restore $D/f & p=$!; exec 8>$D/f; head -c 2500000 $S >&8; "
		   "kill -TERM $p; wait $p");

	expect_failure(&o, 4, "cancelled");
}

/* A FIFO that nobody writes to: opening it waits. */
#define WAIT_IN_OPEN                                                                               \
	"until grep -q '^257 ' /proc/$p/syscall && "                                               \
	"grep -qi '^sigcgt:.*[4-7c-f]...$' /proc/$p/status; do :; done; "

Test(cli, a_signal_cancels_before_there_is_a_stream)
{
	struct outcome o =
		sh("mkfifo $D/f; $P restore $D/f & p=$!; " WAIT_IN_OPEN "kill -TERM $p; wait $p");

	expect_failure(&o, 4, "cancelled");
}

/* As timeout(1) sends them: to the process and to its group. */
Test(cli, signals_that_come_together_are_one)
{
	struct outcome o =
		sh("mkfifo $D/f; $P restore $D/f & p=$!; exec 8>$D/f; head -c 1000000 $S >&8; "
		   "kill -TERM $p; kill -TERM $p; kill -HUP $p; wait $p");

	expect_failure(&o, 4, "cancelled");
}

Test(cli, an_ignored_signal_stays_ignored)
{
	struct outcome o = sh(
		"trap '' HUP; mkfifo $D/f; $P restore -q --digest $D/f & p=$!; exec 8>$D/f; "
		"head -c 1000000 $S >&8; kill -HUP $p; tail -c +1000001 $S >&8; exec 8>&-; wait $p");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_str_eq(o.out, DIGEST "\n");
}

/* The stream stops until a supervisor has heard of it. */
Test(cli, a_supervisor_hears_from_start_to_end)
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

/* A receipt without what differs from restore to restore. */
#define BODY(file) "grep -e digests -e '^  \\[' $D/" file

Test(cli, a_receipt_is_the_same_by_any_way)
{
	static const char *const ways[] = {
		"$P restore -q --receipt $D/r - <$S",
		"cat $S | $P restore -q --receipt $D/r -",
		"cat $S | $P restore -q --receipt $D/r --io plain --worker-kind thread -",
		"$P restore -q --receipt $D/r --policy speculative --workers 3 $S",
		"$P restore -q --receipt $D/r --policy 4k --worker-kind process --without-memory $S",
		"tail -c +848 $S | $P restore -q --receipt $D/r --workers 1 -",
	};
	struct outcome o = sh("$P restore -q --receipt $D/first $S && " BODY("first") " | wc -l");

	cr_expect_gt(atoi(o.out), WHOLE_2M, "%s", o.err);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		o = sh("%s && " BODY("r") " >$D/a; " BODY("first") " | cmp - $D/a", ways[i]);
		cr_expect_eq(o.code, 0, "%s: %s%s", ways[i], o.out, o.err);
	}
}

Test(cli, a_changed_byte_is_named_by_its_region)
{
	struct outcome o = sh("$P restore -q --receipt $D/r $S; $P verify $D/r --stream $S");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "as the receipt says"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "0xfeffc: xenstore ring"), "%s", o.out);
	o = sh("cp $S $D/bad; printf '\\377\\377' | dd of=$D/bad bs=1 seek=1300000 conv=notrunc status=none; "
	       "$P verify $D/r --stream $D/bad --json >$D/j; test $? = 1 && cat $D/bad | "
	       "$P verify $D/r --stream - --json | cmp - $D/j && python3 -c 'import json, sys; "
	       "j = json.load(sys.stdin); print(j[\"verdict\"], j[\"regions_differing\"], "
	       "j[\"records_differ\"])' <$D/j");
	cr_expect_str_eq(o.out, "differs 1 False\n", "%s", o.err);
	o = sh("head -c 2000000 $S | $P verify $D/r --stream -");
	expect_failure(&o, 1, "too early");
	o = sh("$P generate -q -s 8M $D/other; $P verify -q $D/r --stream $D/other");
	cr_expect_eq(o.code, 1, "%s", o.err);
}

Test(cli, a_receipt_is_written_whole_and_taken_whole)
{
	struct outcome o = sh("mkdir $D/o; $P restore -q --receipt $D/o/r $S; cp $D/o/r $D/good; "
			      "head -c 2000000 $S | $P restore -q --receipt $D/o/r -; "
			      "cmp $D/o/r $D/good && ls -A $D/o");

	cr_expect_str_eq(o.out, "r\n", "a failed restore leaves the receipt of before");
	o = sh("$P restore --receipt $D/nowhere/r $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("sed '/0x400/d' $D/good >$D/r; $P verify $D/r --stream $S");
	expect_failure(&o, 2, "not those that its digest is of");
	o = sh("$P verify $S --stream $S");
	expect_failure(&o, 2, "cannot use the receipt");
	o = sh("$P verify $D/good");
	expect_failure(&o, 2, "--domid");
	o = sh("$P verify $D/good --domid 1");
	expect_failure(&o, 3, "domain 1");
}

Test(cli, a_report_is_one_page_of_a_restore)
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

#define METRIC(name) "grep -c '^xenrestore_" name "$' $D/m/r.prom; "

Test(cli, metrics_are_replaced_as_a_whole)
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
	o = sh(METRIC("success 1") METRIC("exit_code 0") METRIC("pages{kind=\"populated\"} 4950")
		       METRIC("extents{size=\"2M\"} 7"));
	cr_expect_str_eq(o.out, "1\n1\n1\n1\n");
	o = sh("head -c 2000000 $S | $P restore -q --metrics $D/m/r.prom - 2>$D/e; %s; " METRIC(
		       "success 0") METRIC("exit_code 1"),
	       check);
	cr_expect_str_eq(o.out, "0\n# EOF\nr.prom\n1\n1\n");
	o = sh("cd $D/m && $P restore -q --metrics own $S && ls -A");
	cr_expect_str_eq(o.out, "own\nr.prom\n");
	o = sh("$P restore --metrics $D/nowhere/r.prom $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("$P restore -q --metrics $D/m/new $D/absent; ls -A $D/m");
	cr_expect_str_eq(o.out, "own\nr.prom\n", "nothing is left behind");
}

/* Spans of the control loop and of the workers, within their rows one after or inside another. */
Test(cli, a_trace_shows_what_happened_when)
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
		"print(bad)\n";
	struct outcome o;

	for (int i = 0; i < 2; i++) {
		o = sh("cat >$D/check <<'EOF'\n%s\nEOF\n"
		       "$P restore -q --workers 2 --worker-kind %s --trace $D/t.json - <$S && "
		       "python3 $D/check $D/t.json",
		       check, i ? "thread" : "process");
		cr_expect_str_eq(o.out, "True\n0 True\nTrue\n2 1\n0\n", "%s", o.err);
	}
	o = sh("$P restore -q --trace $D/nowhere/t $S");
	expect_failure(&o, 2, "nowhere");
	o = sh("$P restore -q --trace /dev/full $S");
	expect_failure(&o, 3, "/dev/full");
}

/* The script for bpftrace names probes that are in the program, and all of them. */
Test(cli, probes_are_those_of_the_script)
{
	struct outcome o =
		sh("readelf -n $P | grep -A1 'Provider: xenrestore' | sed -n 's/.*Name: //p' | "
		   "sort -u >$D/a; grep -o 'xenrestore:[a-z_]*$' %s/../trace/latency.bt | "
		   "sed 's/.*://' | sort -u >$D/b; test ! -e /usr/include/sys/sdt.h || "
		   "diff $D/a $D/b && wc -l <$D/b",
		   MANUALS);

	cr_expect_str_eq(o.out, "18\n");
}

Test(cli, the_script_is_one_that_bpftrace_takes)
{
	struct outcome o;

	if (system("command -v bpftrace >/dev/null && test -e /usr/include/sys/sdt.h"))
		cr_skip_test("no bpftrace, or no probes, here");
	o = sh("sed \"s|/usr/bin/xenrestore|$P|; s|/usr/libexec/xenrestore/|${P%%/*}/|\" "
	       "%s/../trace/latency.bt >$D/l.bt; bpftrace -d $D/l.bt >$D/ir; test $? = 0 -o "
	       "$(id -u) != 0 && ! grep -i '^error' $D/ir",
	       MANUALS);
	cr_expect_eq(o.code, 0, "%s%s", o.out, o.err);
}

#define AT ", at offset "

/* In every record's header, and beside it. */
Test(cli, a_stream_cut_at_any_record_is_a_bad_stream)
{
	static const char *const ways[] = { "$P restore $D/cut", "cat $D/cut | $P restore -" };
	size_t records = 0;
	struct outcome o;
	char path[64];
	FILE *f;
	long at = 847 + 24 + 16; /* the headers of libxl and libxc */
	uint32_t head[2];

	snprintf(path, sizeof(path), "%s/s", dir);
	f = fopen(path, "re");
	cr_assert_not_null(f);
	for (bool end = false; !end && !fseek(f, at, SEEK_SET); records++) {
		cr_assert_eq(fread(head, sizeof(head), 1, f), 1);
		end = !head[0];
		/* Those of pages look all alike. */
		for (long n = at - 1; n < at + 12; n += n == at + 1 ? 4 : 1) {
			const char *way = ways[(unsigned long)n % 2];
			const char *offset;

			if (n >= at + 8 && end)
				break;
			if (head[0] == 1 && records > 5 && records % 100)
				break;
			o = sh("head -c %ld $S >$D/cut; %s", n, way);
			expect_failure(&o, 1, "xenrestore: stream: ");
			offset = strstr(o.err, AT);
			cr_assert_not_null(offset, "%s", o.err);
			cr_expect_leq(strtol(offset + strlen(AT), NULL, 10), n,
				      "cut at %ld, %s: %s", n, way, o.err);
		}
		at += (long)sizeof(head) + ((head[1] + 7) & ~7u);
	}
	cr_expect_gt(records, 100);
	fclose(f);
}

Test(cli, json_has_stable_keys)
{
	struct outcome o = sh("$P restore --json --digest $S");
	json_t *j = json_loads(o.out, 0, NULL);
	const char *sha, *guest;
	json_int_t populated, whole, store;
	int version, calls;
	double seconds, busy;

	cr_assert_not_null(j, "%s", o.out);
	cr_assert_eq(json_unpack(j, "{s:s,s:s,s:i,s:I,s:F,s:{s:I,s:I},s:{s:{s:F}},s:{s:i}}",
				 "sha256", &sha, "guest", &guest, "stream_version", &version,
				 "store_gfn", &store, "seconds", &seconds, "pages", "populated",
				 &populated, "extents_2m", &whole, "stages", "copy", "busy_seconds",
				 &busy, "calls", "populate", &calls),
		     0);
	cr_expect_str_eq(sha, DIGEST);
	cr_expect_str_eq(guest, "hvm");
	cr_expect_eq(populated, POPULATED);
	cr_expect_eq(whole, WHOLE_2M);
	cr_expect_eq(store, 1044476);
	json_decref(j);
	cr_expect_not_null(strstr(o.out, "\"sandboxed\": true"), "%s", o.out);
	o = sh("$P restore --json --no-sandbox $S");
	cr_expect_not_null(strstr(o.out, "\"sandboxed\": false"), "%s", o.out);
}

/* Its first rows for people, its keys for programs, and the same verdict. */
Test(cli, inspect_tells_what_is_in_a_stream)
{
	struct outcome o = sh("$P inspect $S");
	json_int_t populated, whole, zero = -1;
	const char *verdict, *name;
	json_t *j;

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "0 x 1G, 7 x 2M, 1366 x 4K"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "STORE_PFN              0xfeffc"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "not counted"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "problems  none\nverdict   good\n"), "%s", o.out);
	o = sh("cat $S | $P inspect --json -");
	j = json_loads(o.out, 0, NULL);
	cr_assert_not_null(j, "%s", o.out);
	cr_assert_eq(json_unpack(j, "{s:s,s:{s:I,s:I},s:{s:I},s:{s:s}}", "verdict", &verdict,
				 "pages", "populated", &populated, "zero", &zero, "plan",
				 "whole_2m_regions", &whole, "layers", "outermost", &name),
		     0);
	cr_expect_str_eq(verdict, "good");
	cr_expect_eq(populated, POPULATED);
	cr_expect_eq(whole, WHOLE_2M);
	cr_expect_geq(zero, 0);
	cr_expect_str_eq(name, "xl");
	json_decref(j);
	o = sh("$P inspect --json --contents $S | jq -r .pages.zero 2>/dev/null || echo %lld",
	       (long long)zero);
	cr_expect_eq(strtoll(o.out, NULL, 10), zero);
}

/* The guest of the last checkpoint is that of a migration which ended there. */
Test(cli, streams_of_remus_are_made_and_restored)
{
	const char *guest = "--size 12M --compact --seed 3 --passes 5 --dirty 60 --holes 20 "
			    "--balloon-out 30 --balloon-in 300";
	struct outcome plain = sh("$P generate -q %s - | $P restore -q --digest -", guest), o;

	cr_assert_eq(plain.code, 0, "%s", plain.err);
	o = sh("$P generate -q %s --checkpoints 4 $D/r && $P restore -q --digest --type remus $D/r",
	       guest);
	cr_expect_str_eq(o.out, plain.out, "%s", o.err);
	o = sh("cat $D/r | $P restore -q --digest --type remus --buffer 0 -");
	cr_expect_str_eq(o.out, plain.out, "%s", o.err);
	o = sh("head -c -5000 $D/r | $P restore --json --type remus - | python3 -c 'import json, sys; "
	       "j = json.load(sys.stdin); print(j[\"checkpoints\"], j[\"failed_over\"])'");
	cr_expect_str_eq(o.out, "3 True\n", "%s", o.err);
	o = sh("$P restore -q $D/r");
	expect_failure(&o, 1, "CHECKPOINT");
	cr_expect_eq(sh("$P generate -q --checkpoints 2 -").code, 2);
	cr_expect_eq(sh("$P generate -q --checkpoints 1 --layer xl -").code, 2);
}

Test(cli, inspect_lists_records_and_draws)
{
	struct outcome o = sh("$P inspect --records --json $S | python3 -c 'import json, sys; "
			      "print(len(json.load(sys.stdin)[\"records\"]))'");

	cr_expect_eq(atoi(o.out), 1027, "%s", o.out);
	o = sh("$P inspect -r $S | grep -c '  PAGE_DATA  '");
	cr_expect_eq(atoi(o.out), 1020, "%s", o.out);
	o = sh("$P generate -q -s 1T --types-only --holes 50 --hole-run 100000 - | "
	       "head -c 30000000 >$D/cut; $P inspect --map $D/map -q $D/cut; echo $?; "
	       "python3 -c 'import xml.dom.minidom as m, sys; "
	       "print(len(m.parse(sys.argv[1]).getElementsByTagName(\"rect\")))' $D/map");
	cr_expect_eq(atoi(o.out), 1, "a stream that is cut: %s", o.out);
	cr_expect(atoi(o.out + 2) > 10 && atoi(o.out + 2) < 30000, "%s%s", o.out, o.err);
	o = sh("$P inspect --map - $S | tail -n 1");
	cr_expect_str_eq(o.out, "</svg>\n");
}

Test(cli, inspect_exits_by_its_verdict)
{
	cr_expect_eq(sh("head -c 2000000 $S >$D/cut; $P inspect -q $D/cut").code, 1);
	cr_expect_eq(sh("$P inspect -q /dev/null").code, 1);
	cr_expect_eq(sh("$P inspect -q $D/absent").code, 2);
	cr_expect_eq(sh("$P inspect").code, 2);
	cr_expect_eq(sh("$P inspect --max-order 5 $S").code, 2);
	cr_expect_eq(sh("$P inspect --frobnicate $S").code, 2);
	cr_expect_eq(sh("$P inspect $S >/dev/full").code, 3);
	cr_expect_eq(sh("$P inspect -q --map /nowhere/x $S").code, 3);
}

/* What bash offers for a line, the last word of which is to be completed. */
static struct outcome offered(const char *words, const char *last)
{
	return sh(
		"$P completions bash >$D/c; bash -c 'source \"$0\"; COMP_WORDS=(xenrestore %s \"%s\"); "
		"COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _xenrestore; echo \"${COMPREPLY[*]}\"' $D/c",
		words, last);
}

Test(cli, bash_completes_from_the_table)
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

Test(cli, completions_name_every_option)
{
	struct outcome o =
		sh("$P completions names | while read -r c n; do "
		   "$P $c --help | grep -q -e \"$n\\b\" || echo help $c $n; "
		   "$P completions bash | grep -q -e \"$c) .*$n\\b\" || echo bash $c $n; "
		   "$P completions zsh | grep -q -e \"$n\\b\" || echo zsh $c $n; "
		   "$P completions fish | grep -q -e \"$c. -l ${n#--}\\b\" || "
		   "echo fish $c $n; done");

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
Test(cli, manual_pages_have_the_options_of_the_table)
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

Test(cli, library_calls_have_pages)
{
	struct outcome o = sh(
		"grep -o '^\txr_[a-z_]*' %s/../../engine/libxenrestore.map | while read -r f; do "
		"grep -q \"'$f'\\|'$f[.]3'\" %s/meson.build || echo $f has no page; "
		"grep -q \"\\*[a-z_ ]*[ *]*$f(\" %s/*.3.scd || echo $f is in no page; done",
		MANUALS, MANUALS, MANUALS);

	cr_expect_str_eq(o.out, "", "%s", o.err);
	cr_expect_str_eq(o.err, "");
}

Test(cli, exit_codes_are_in_help_and_manual)
{
	struct outcome o =
		sh("$P help | sed -n '/^Exit/,$p' | grep -o '^  [0-9]' | tr -d ' ' >$D/a; "
		   "grep -o '^|.* [0-9]$' %s/xenrestore.1.scd | grep -o '[0-9]$' >$D/b; "
		   "diff $D/a $D/b && wc -l <$D/a",
		   MANUALS);

	cr_expect_str_eq(o.out, "5\n", "%s", o.out);
}

Test(cli, failures_tell_what_to_do_next)
{
	cr_expect_not_null(strstr(sh("head -c 2000000 $S | $P restore -").err, "(copy or save"));
	cr_expect_not_null(strstr(sh("$P restore /dev/zero").err, "('xenrestore inspect'"));
	cr_expect_not_null(strstr(sh("$P restore --maxmem 4 $S").err, "raise its maxmem"));
	cr_expect_not_null(
		strstr(sh("$P restore --frobnicate").err, "('xenrestore restore --help'"));
	cr_expect_not_null(strstr(sh("$P bench --runs 0").err, "('xenrestore bench --help'"));
	cr_expect_not_null(strstr(sh("$P generate").err, "('xenrestore generate --help'"));
}

Test(cli, help_and_version_are_on_stdout)
{
	cr_expect_not_null(strstr(sh("$P help").out, "restore"));
	cr_expect_not_null(strstr(sh("$P --version").out, "xenrestore 0."));
	cr_expect_not_null(strstr(sh("$P restore --help").out, "--max-order"));
	cr_expect_eq(sh("$P").code, 2);
	cr_expect_eq(sh("$P frobnicate").code, 2);
}

/* What the guest is given by the installed libxenguest, whose word counts. */
static struct xr_model_given given_by_stock(void)
{
	struct xr_model_given given;
	struct xr_model_settings set;
	struct xr_model *m;

	xr_model_settings_default(&set);
	cr_assert_eq(xr_model_create(&m, &set), 0);
	cr_assert_eq(sh("LD_PRELOAD=%s XR_MODEL_FD=%d %s -n -s 847 $S", PRELOAD, xr_model_share(m),
			STOCK_RESTORE)
			     .code,
		     0);
	xr_model_given(m, &given);
	xr_model_destroy(&m);
	return given;
}

/* The Xen host through the installed libxenctrl and libxenguest, by either kind of worker. */
Test(cli, the_xen_host_restores_through_libxenctrl)
{
	const struct xr_model_given want = given_by_stock();
	static const char *const ways[] = {
		"--worker-kind process $S",
		"--worker-kind thread $S",
		"--policy speculative $S",
		"- <$S",
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct xr_model *m;
		struct xr_model_settings set;
		struct xr_model_stats st;
		struct xr_model_given given;
		struct outcome o;
		char hex[65];

		xr_model_settings_default(&set);
		set.max_pages = POPULATED + 512;
		cr_assert_eq(xr_model_create(&m, &set), 0);
		o = sh("LD_PRELOAD=%s XR_MODEL_FD=%d $P restore -q --host xen --domid 1 "
		       "--store-evtchn 3 --console-evtchn 4 --store-domid 5 "
		       "--console-domid 6 %s",
		       PRELOAD, xr_model_share(m), ways[i]);
		cr_expect_eq(o.code, 0, "%s: %s", ways[i], o.err);
		cr_expect_str_eq(o.err, "");
		cr_assert_eq(digest_model(m, hex), 0);
		cr_expect_str_eq(hex, DIGEST, "%s", ways[i]);
		xr_model_stats(m, &st);
		cr_expect_eq(st.tot_pages, POPULATED);
		cr_expect_eq(st.whole_2m, WHOLE_2M);
		cr_expect_eq(st.live_mappings, 0);
		cr_expect_eq(st.leaked + st.released_empty + st.released_mapped, 0);
		cr_expect_eq(xr_model_param(m, 2), 3);
		cr_expect_eq(xr_model_param(m, 18), 4);
		xr_model_given(m, &given);
		cr_expect_eq(memcmp(&given, &want, sizeof(want)), 0, "%s", ways[i]);
		xr_model_destroy(&m);
	}
}

/* A domain of Xen, as it was restored and with one byte changed in it. */
Test(cli, a_domain_is_held_against_its_receipt)
{
	unsigned char page[XR_PAGE_SIZE];
	struct xr_model_settings set;
	struct xr_model *m;
	struct outcome o;
	char verify[256];

	xr_model_settings_default(&set);
	cr_assert_eq(xr_model_create(&m, &set), 0);
	snprintf(verify, sizeof(verify), "LD_PRELOAD=%s XR_MODEL_FD=%d $P", PRELOAD,
		 xr_model_share(m));
	o = sh("%s restore -q --host xen --domid 1 --receipt $D/r $S && %s verify $D/r --domid 1",
	       verify, verify);
	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "the domain is as the receipt says"), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "a paused domain that never ran"), "%s", o.out);
	/* The rings are not compared: backends may write there before the guest runs. */
	memset(page, 0x5a, sizeof(page));
	cr_assert_eq(xr_model_poke(m, 0xfeffc, page), 0);
	cr_expect_eq(sh("%s verify -q $D/r --domid 1 --workers 3", verify).code, 0);
	cr_assert_eq(xr_model_peek(m, 0x434, page), 0);
	page[4095] ^= 1;
	cr_assert_eq(xr_model_poke(m, 0x434, page), 0);
	o = sh("%s verify $D/r --domid 1 --workers 3", verify);
	cr_expect_eq(o.code, 1, "%s", o.err);
	cr_expect_not_null(strstr(o.out, "differ    1 region\n          pfn 0x400 to 0x5ff\n"),
			   "%s", o.out);
	xr_model_destroy(&m);
}

/* A toolstack that calls xc_domain_restore() itself: the engine takes the call, or leaves it. */
Test(cli, a_toolstack_of_libxenguest_gets_the_engine_by_preload)
{
	struct outcome o = sh("LD_PRELOAD=%s:%s XR_MODEL_MAX_PAGES=%d %s -s 847 $S", SHIM, PRELOAD,
			      POPULATED + 600, STOCK_RESTORE);

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_not_null(strstr(o.out, DIGEST), "%s", o.out);
	cr_expect_not_null(strstr(o.out, "\"whole_2m\": 7"), "%s", o.out);
	o = sh("head -c 2000000 $S >$D/cut; LD_PRELOAD=%s:%s XR_MODEL_MAX_PAGES=9999 %s -s 847 $D/cut",
	       SHIM, PRELOAD, STOCK_RESTORE);
	cr_expect_neq(o.code, 0);
	cr_expect_not_null(strstr(o.err, "xc: error: xenrestore: stream"), "%s", o.err);
	cr_expect_not_null(strstr(o.out, "\"last_error\": 1"), "%s", o.out);
}

Test(cli, preloaded_the_engine_takes_pv_domains_too)
{
	struct outcome o =
		sh("LD_PRELOAD=%s:%s XR_MODEL_PV=1 %s -v -s 847 $S", SHIM, PRELOAD, STOCK_RESTORE);

	cr_expect_neq(o.code, 0);
	cr_expect_not_null(strstr(o.err, "xenrestore: setup: the stream holds an HVM"), "%s",
			   o.err);
	cr_expect_null(strstr(o.err, "x86_pv"), "%s", o.err);
}
