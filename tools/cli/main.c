/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program: finds the command and runs it. */
#include "command.h"

#include "bench/bench.h"
#include "generate/generate.h"
#include "xenrestore.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int help(int argc, char **argv);

static int version(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("xenrestore %s\n", xr_version());
	return XR_EXIT_OK;
}

const struct xr_command xr_commands[] = {
	{ "restore", xr_cmd_restore, "[options] FILE|-", "restore a guest from a stream" },
	{ "generate", xr_cmd_generate, "[options] FILE|-", "write a synthetic stream" },
	{ "bench", xr_cmd_bench, "[options]", "measure restores, ours beside others" },
	{ "version", version, "", "print the version" },
	{ "help", help, "", "print this" },
	{ NULL, NULL, NULL, NULL },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: xenrestore COMMAND [options]\n\n");
	for (const struct xr_command *c = xr_commands; c->name; c++)
		fprintf(to, "  %-9s %-17s %s\n", c->name, c->args, c->what);
	fprintf(to, "\nxenrestore COMMAND --help tells the options of a command.\n"
		    "Exit codes: 0 done, 1 bad stream, 2 usage, 3 host failed, 4 cancelled.\n");
}

static int help(int argc, char **argv)
{
	(void)argc, (void)argv;
	usage(stdout);
	return XR_EXIT_OK;
}

/*
 * The number of a standard descriptor that is closed would go to the next file: to the stream, or
 * to the memory of the model. What takes its place can't be used, as before.
 */
static bool fill_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!fill_standard_fds())
		return XR_EXIT_HOST;
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version"))
		name = "version";
	for (const struct xr_command *c = xr_commands; c->name; c++)
		if (!strcmp(name, c->name))
			return c->run(argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "xenrestore: no command '%s'\n", name);
	usage(stderr);
	return XR_EXIT_USAGE;
}
