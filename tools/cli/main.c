/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program: finds the command and runs it. */
#include "command.h"
#include "completions.h"

#include "bench/bench.h"
#include "generate/generate.h"
#include "inspect/inspect.h"
#include "xenrestore.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int help(int argc, char **argv);
static int completions(int argc, char **argv);

static int version(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("xenrestore %s\n", xr_version());
	return XR_EXIT_OK;
}

static const struct xr_command generate = {
	.name = "generate",
	.run = xr_cmd_generate,
	.args = "[options] FILE|-",
	.what = "write a synthetic stream",
};

static const struct xr_command bench = {
	.name = "bench",
	.run = xr_cmd_bench,
	.args = "[options]",
	.what = "measure restores, ours beside others",
};

static const struct xr_command version_command = {
	.name = "version",
	.run = version,
	.args = "",
	.what = "print the version",
};

static const struct xr_command help_command = {
	.name = "help",
	.run = help,
	.args = "",
	.what = "print this",
};

static const struct xr_command completions_command = {
	.name = "completions",
	.run = completions,
	.args = "bash|zsh|fish|names",
	.what = "write what a shell completes",
	.hidden = true,
};

static const struct xr_command *const commands[] = {
	&xr_command_restore, &xr_command_inspect,  &generate, &bench, &version_command,
	&help_command,	     &completions_command, NULL,
};

static void usage(FILE *to)
{
	fprintf(to, "usage: xenrestore COMMAND [options]\n\n");
	for (unsigned int i = 0; commands[i] && !commands[i]->hidden; i++)
		fprintf(to, "  %-9s %-17s %s\n", commands[i]->name, commands[i]->args,
			commands[i]->what);
	fprintf(to, "\nxenrestore COMMAND --help tells the options of a command.\n"
		    "Exit codes: 0 done, 1 bad stream, 2 usage, 3 host failed, 4 cancelled.\n");
}

static int completions(int argc, char **argv)
{
	return argc == 2 ? xr_completions(stdout, commands, argv[1]) : XR_EXIT_USAGE;
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
	for (unsigned int i = 0; commands[i]; i++)
		if (!strcmp(name, commands[i]->name))
			return commands[i]->run(argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "xenrestore: no command '%s'\n", name);
	usage(stderr);
	return XR_EXIT_USAGE;
}
