/* SPDX-License-Identifier: MIT */
/*
 * cmd_mount.c - tinylsm mount: becomes tinylsmfs with the same arguments.
 *
 * The daemon is looked for beside this program first, so that a build
 * directory or an unpacked archive works without being installed, then on
 * PATH. What it does and exits with is its own, see tinylsmfs(8).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"

#define DAEMON "tinylsmfs"

static const char help[] =
	"usage: tinylsm mount STORE MOUNTPOINT [OPTIONS]\n\n"
	"Runs tinylsmfs, found beside tinylsm or on PATH, with the same "
	"arguments.\n"
	"A STORE that does not exist yet becomes a new filesystem. Ends when "
	"the\n"
	"filesystem is mounted; unmount it with umount or fusermount3 -u.\n\n"
	"  -f           stay in the foreground\n"
	"  -d           debug output, implies -f\n"
	"  -s           one thread\n"
	"  -o OPTIONS   mount options, separated by commas: see tinylsmfs(8)\n"
	"      --help   this text\n\n"
	"examples:\n"
	"  tinylsm mount /srv/store /mnt\n"
	"  tinylsm mount /srv/store /mnt -o ro,allow_other\n\n"
	"Exit status: that of tinylsmfs, as mount(8) has it; 1 when it cannot "
	"be run.\n";

/* Where the daemon is beside this program. False: nowhere there. */
static bool beside(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash || (size_t)(slash + 1 - out) + sizeof(DAEMON) > PATH_MAX)
		return false;
	memcpy(slash + 1, DAEMON, sizeof(DAEMON));
	return !access(out, X_OK);
}

static int run(int argc, char **argv)
{
	char path[PATH_MAX];

	if (argc < 3) {
		cli_usage(&cmd_mount, "STORE and MOUNTPOINT are wanted");
		return CLI_USAGE;
	}
	argv[0] = DAEMON;
	if (beside(path))
		execv(path, argv);
	execvp(DAEMON, argv);
	if (errno == ENOENT)
		cli_error(DAEMON " is neither beside tinylsm nor on PATH");
	else
		cli_error("cannot run " DAEMON ": %s", strerror(errno));
	return CLI_FAILED;
}

const struct command cmd_mount = {
	.name = "mount",
	.summary = "mount a store (runs tinylsmfs)",
	.help = help,
	.run = run,
};
