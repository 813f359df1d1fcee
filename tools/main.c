/* SPDX-License-Identifier: MIT */
/*
 * main.c - the program tinylsm: finds the command and runs it.
 *
 * `tinylsm COMMAND --help` and `tinylsm help COMMAND` print the same text. A
 * command line that cannot be understood is one line on stderr and exit
 * status 2 (16 for fsck, as e2fsck has it).
 */
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"

static const struct command *const commands[] = {
	&cmd_mkfs,   &cmd_mount, &cmd_info,  &cmd_fsck,
	&cmd_repair, &cmd_dump,  &cmd_bench,
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_usage(FILE *to)
{
	size_t i;

	fputs("usage: tinylsm COMMAND [ARGUMENTS]\n"
	      "       tinylsm [COMMAND] --help\n"
	      "       tinylsm --version\n\n"
	      "Makes, mounts, checks, shows and measures TinyLSM stores.\n\n"
	      "commands:\n",
	      to);
	for (i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name,
			commands[i]->summary);
	fputs("  help     show the help of a command\n\n"
	      "Exit status: 0 success, 1 failure, 2 wrong usage; fsck has its "
	      "own.\n"
	      "See tinylsm(1), tinylsm(5) and tinylsmfs(8).\n",
	      to);
}

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int show_help(const struct command *cmd)
{
	if (cmd)
		fputs(cmd->help, stdout);
	else
		print_usage(stdout);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

static int help_command(int argc, char **argv)
{
	const struct command *cmd = NULL;

	if (argc > 3) {
		cli_error("help takes one command");
		return CLI_USAGE;
	}
	if (argc == 3) {
		cmd = find(argv[2]);
		if (!cmd) {
			cli_error("'%s' is not a command (see tinylsm --help)",
				  argv[2]);
			return CLI_USAGE;
		}
	}
	return show_help(cmd);
}

static bool wants_help(int argc, char **argv)
{
	int i;

	for (i = 2; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct command *cmd;
	char name[32];

	if (argc < 2) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return show_help(NULL);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("tinylsm %s\n", lsm_version());
		return cli_flush() ? CLI_OK : CLI_FAILED;
	}
	if (!strcmp(argv[1], "help"))
		return help_command(argc, argv);
	cmd = find(argv[1]);
	if (!cmd) {
		cli_error("'%s' is not %s (see tinylsm --help)", argv[1],
			  argv[1][0] == '-' ? "an option" : "a command");
		return CLI_USAGE;
	}
	if (wants_help(argc, argv))
		return show_help(cmd);
	snprintf(name, sizeof(name), "tinylsm %s", cmd->name);
	argv[1] = name;
	return cmd->run(argc - 1, argv + 1);
}
