/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore restore` as its users see it: sources, exit codes, one line for a failure, stable
 * JSON. */
#include "cli/shell.h"
#include "lib/sanitizer.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CLI_SUITE(restore);

Test(cli_restore, every_source_gives_the_same_guest)
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

Test(cli_restore, what_stands_behind_the_stream_is_left)
{
	struct outcome o = sh("{ $P restore -q - && cat; } <$S | od -An -tx1");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_str_eq(o.out, " 00 00 00 00 00 00 00 00\n"); /* libxl's END */
	o = sh("cat $S | { $P restore -q - && cat; } | od -An -tx1");
	cr_expect_str_eq(o.out, " 00 00 00 00 00 00 00 00\n");
}

Test(cli_restore, failures_have_codes_and_one_line)
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
	expect_failure(&o, 2, "Bad file descriptor");
	o = sh("$P restore $S >&-");
	expect_failure(&o, 5, "summary");
	o = sh("$P restore $D/none");
	expect_failure(&o, 2, "No such file");
	o = sh("$P restore --policy best $S");
	expect_failure(&o, 2, "best");
	o = sh("$P restore --max-order 4 $S");
	expect_failure(&o, 2, "max-order takes 0 (4K), 9 (2M) or 18 (1G), not '4'");
	o = sh("$P restore --host xen $S");
	expect_failure(&o, 2, "--domid");
	o = sh("$P restore --host model --domid 5 $S");
	expect_failure(&o, 2, "--domid is of --host xen");
	o = sh("$P restore --host xen --domid 1 $S");
	expect_failure(&o, 3, "privcmd");
	o = sh("$P restore --maxmem 4 $S");
	expect_failure(&o, 3, "maxmem");
	cr_expect_not_null(strstr(o.err, "pfn"));
}

#define AT ", at offset "

/* In every record's header, and beside it. */
Test(cli_restore, a_stream_cut_at_any_record_is_a_bad_stream)
{
	static const char *const ways[] = { "$P restore $D/cut", "cat $D/cut | $P restore -" };
	size_t records = 0;
	struct outcome o;
	char path[64];
	FILE *f;
	long at = 847 + 24 + 16; /* the headers of libxl and libxc */
	uint32_t head[2];

	snprintf(path, sizeof(path), "%s/s", shell_dir);
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
			if (head[0] == 1 && records > 5 && records % (SANITIZED ? 500 : 100))
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

Test(cli_restore, json_has_stable_keys)
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

/* The guest of the last checkpoint is that of a migration which ended there. */
Test(cli_restore, streams_of_remus_are_made_and_restored)
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
