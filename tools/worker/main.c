/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that the library starts for copy workers where it must not fork; not for users. */
#include "copy/spawn.h"

int main(int argc, char **argv)
{
	return xr_spawn_main(argc, argv);
}
