/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals cancel, whenever they come. */
#include "cli/shell.h"

#include <criterion/criterion.h>

CLI_SUITE(signals);

Test(cli_signals, a_signal_cancels)
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

Test(cli_signals, a_signal_cancels_before_there_is_a_stream)
{
	struct outcome o =
		sh("mkfifo $D/f; $P restore $D/f & p=$!; " WAIT_IN_OPEN "kill -TERM $p; wait $p");

	expect_failure(&o, 4, "cancelled");
}

/* As timeout(1) sends them: to the process and to its group. */
Test(cli_signals, signals_that_come_together_are_one)
{
	struct outcome o =
		sh("mkfifo $D/f; $P restore $D/f & p=$!; exec 8>$D/f; head -c 1000000 $S >&8; "
		   "kill -TERM $p; kill -TERM $p; kill -HUP $p; wait $p");

	expect_failure(&o, 4, "cancelled");
}

Test(cli_signals, an_ignored_signal_stays_ignored)
{
	struct outcome o = sh(
		"trap '' HUP; mkfifo $D/f; $P restore -q --digest $D/f & p=$!; exec 8>$D/f; "
		"head -c 1000000 $S >&8; kill -HUP $p; tail -c +1000001 $S >&8; exec 8>&-; wait $p");

	cr_expect_eq(o.code, 0, "%s", o.err);
	cr_expect_str_eq(o.out, DIGEST "\n");
}
