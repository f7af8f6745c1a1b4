/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program: finds the command and runs it. */
#include "command.h"
#include "completions.h"

#include "bench/bench.h"
#include "generate/generate.h"
#include "inspect/inspect.h"
#include "receipt/receipt.h"
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
	&xr_command_restore,  &xr_command_inspect,  &xr_command_verify,
	&xr_command_generate, &xr_command_bench,    &version_command,
	&help_command,	      &completions_command, NULL,
};

static const struct {
	enum xr_exit code;
	const char *what;
} exits[] = {
	{ XR_EXIT_OK, "done; of inspect: the stream is good; of verify: nothing differs" },
	{ XR_EXIT_STREAM,
	  "the stream is bad, is cut short, or is of a kind that is not supported; of verify: something differs" },
	{ XR_EXIT_USAGE, "the call is wrong: an option, a file, or the domain to restore into" },
	{ XR_EXIT_HOST, "the host failed, or the domain is too small for the guest" },
	{ XR_EXIT_CANCELLED, "cancelled by SIGINT, SIGTERM or SIGHUP" },
	{ XR_EXIT_FILES,
	  "the guest is complete, but a receipt, report or the like could not be written" },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: xenrestore COMMAND [options]\n\n");
	for (unsigned int i = 0; commands[i] && !commands[i]->hidden; i++)
		fprintf(to, "  %-9s %-17s %s\n", commands[i]->name, commands[i]->args,
			commands[i]->what);
	fprintf(to, "\nxenrestore COMMAND --help tells the options of a command.\n\nExit codes\n");
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		fprintf(to, "  %d  %s\n", exits[i].code, exits[i].what);
}

static int completions(int argc, char **argv)
{
	return argc == 2 ? xr_completions(stdout, commands, argv[1]) : XR_EXIT_USAGE;
}

static int help(int argc, char **argv)
{
	for (unsigned int i = 0; argc > 1 && commands[i]; i++)
		if (!strcmp(argv[1], commands[i]->name)) {
			xr_options_help(stdout, commands[i]);
			return XR_EXIT_OK;
		}
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
