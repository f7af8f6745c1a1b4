/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bench command alone, as a program that the suite can start and stop. */
#include "bench/bench.h"

int main(int argc, char **argv)
{
	return xr_command_bench.run(argc, argv);
}
