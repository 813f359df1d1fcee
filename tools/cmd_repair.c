/* SPDX-License-Identifier: MIT */
/*
 * cmd_repair.c - tinylsm repair: makes a store open again whose files are lost
 * or damaged. What the filesystem in it then thinks of itself is for fsck.
 */
#include <errno.h>
#include <getopt.h>

#include "tools/cli.h"
#include "tools/store.h"

static const char help[] =
	"usage: tinylsm repair STORE [OPTIONS]\n\n"
	"Makes a store open again that does not: CURRENT, the manifest, tables "
	"or logs\n"
	"are missing or damaged. Everything that can be read is merged into new "
	"tables,\n"
	"which takes room for a second copy; damaged files are kept as "
	"NAME.bad. A sound\n"
	"store is not changed. Check a filesystem afterwards: tinylsm fsck -y "
	"STORE.\n\n"
	"What cannot be read is lost, and an older state of it may show. When "
	"the\n"
	"manifest cannot be read named snapshots are lost too, and deleted keys "
	"may be\n"
	"back.\n\n"
	"  -q, --quiet  print nothing but errors\n"
	"      --help   this text\n\n"
	"examples:\n"
	"  tinylsm repair /srv/store && tinylsm fsck -y /srv/store\n\n"
	"Exit status: 0 the store opens, 1 it could not be repaired, 2 wrong "
	"usage.\n";

static const struct option long_options[] = {
	{"quiet", no_argument, NULL, 'q'},
	{NULL, 0, NULL, 0},
};

static void print_line(void *arg, const char *line)
{
	if (arg)
		return;
	printf("%s\n", line);
	fflush(stdout);
}

static int run(int argc, char **argv)
{
	struct lsm_options options;
	bool quiet = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "q", long_options, NULL)) != -1) {
		if (c != 'q')
			return CLI_USAGE;
		quiet = true;
	}
	if (argc - optind != 1) {
		cli_usage(&cmd_repair, argc == optind ? "which STORE?"
						      : "one STORE at a time");
		return CLI_USAGE;
	}
	store_engine_options(&options);
	/* What the engine meets on the way is in the lines of the report. */
	cli_log_hold();
	err = lsm_repair(argv[optind], &options, print_line,
			 quiet ? &quiet : NULL);
	cli_log_release(err && err != -EBUSY && err != -ENOENT);
	if (err)
		store_error(argv[optind], err);
	return cli_flush() && !err ? CLI_OK : CLI_FAILED;
}

const struct command cmd_repair = {
	.name = "repair",
	.summary = "make a damaged store open again",
	.help = help,
	.run = run,
};
