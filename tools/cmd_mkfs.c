/* SPDX-License-Identifier: MIT */
/*
 * cmd_mkfs.c - tinylsm mkfs: makes a filesystem in a directory.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "tools/cli.h"
#include "tools/store.h"

static const char help[] =
	"usage: tinylsm mkfs STORE [OPTIONS]\n\n"
	"Makes a filesystem in the directory STORE, which is missing or "
	"empty.\n\n"
	"  -L, --label LABEL        a name, up to 63 bytes\n"
	"  -b, --block-size BYTES   unit of file data: a power of two, 512 to "
	"64K\n"
	"                           (default 4K)\n"
	"  -s, --size BYTES         what df shows as the total and writers may "
	"fill\n"
	"                           (default: the disk underneath)\n"
	"  -c, --compression none|lz4\n"
	"                           of all data and metadata (default lz4)\n"
	"  -U, --uuid UUID          (default: random)\n"
	"  -f, --force              replace a filesystem that is there: "
	"everything in\n"
	"                           it is lost\n"
	"      --help               this text\n\n"
	"Sizes may end in K, M, G, T (powers of 1024).\n\n"
	"examples:\n"
	"  tinylsm mkfs /srv/store\n"
	"  tinylsm mkfs /srv/store -L home -s 100G -c none\n\n"
	"Exit status: 0 made, 1 failed, 2 wrong usage.\n";

static const struct option long_options[] = {
	{"label", required_argument, NULL, 'L'},
	{"block-size", required_argument, NULL, 'b'},
	{"size", required_argument, NULL, 's'},
	{"compression", required_argument, NULL, 'c'},
	{"uuid", required_argument, NULL, 'U'},
	{"force", no_argument, NULL, 'f'},
	{NULL, 0, NULL, 0},
};

static int parse_block_size(const char *text, uint32_t *out)
{
	uint64_t v;

	if (parse_size(text, &v) || v < 512 || v > FS_BLOCK_BYTES_MAX ||
	    (v & (v - 1)))
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

/* One option. False when its argument makes no sense, which was said. */
static bool take_option(int c, struct fs_mkfs_options *mkfs)
{
	static const uint8_t zero[16];

	switch (c) {
	case 'L':
		mkfs->label = optarg;
		if (strlen(optarg) <= FS_LABEL_MAX)
			return true;
		cli_usage(&cmd_mkfs, "a label has at most %d bytes",
			  FS_LABEL_MAX);
		return false;
	case 'b':
		if (!parse_block_size(optarg, &mkfs->block_bytes))
			return true;
		cli_usage(&cmd_mkfs,
			  "'%s' is not a power of two from 512 to 64K", optarg);
		return false;
	case 's':
		if (!parse_size(optarg, &mkfs->size_limit))
			return true;
		cli_usage(&cmd_mkfs, "'%s' is not a size", optarg);
		return false;
	case 'c':
		mkfs->compression = !strcmp(optarg, "lz4")
					    ? LSM_COMPRESSION_LZ4
					    : LSM_COMPRESSION_NONE;
		if (!strcmp(optarg, "lz4") || !strcmp(optarg, "none"))
			return true;
		cli_usage(&cmd_mkfs, "compression is none or lz4, not '%s'",
			  optarg);
		return false;
	case 'U':
		if (!uuid_parse(optarg, mkfs->uuid) &&
		    memcmp(mkfs->uuid, zero, sizeof(zero)) != 0)
			return true;
		cli_usage(&cmd_mkfs, "'%s' is not a UUID", optarg);
		return false;
	case 'f':
		mkfs->force = true;
		return true;
	default: /* getopt has said it */
		return false;
	}
}

static void complain(const char *path, int err)
{
	switch (err) {
	case -EEXIST:
		cli_error("%s: holds a filesystem already; --force replaces it",
			  path);
		break;
	case -ENOTEMPTY:
		cli_error("%s: is not empty and is not a filesystem: left "
			  "alone",
			  path);
		break;
	default:
		store_error(path, err);
	}
}

static int run(int argc, char **argv)
{
	struct fs_mkfs_options mkfs = {
		.root_uid = getuid(),
		.root_gid = getgid(),
	};
	struct lsm_options engine;
	const char *path;
	int c, err;

	store_engine_options(&engine);
	while ((c = getopt_long(argc, argv, "L:b:s:c:U:f", long_options,
				NULL)) != -1)
		if (!take_option(c, &mkfs))
			return CLI_USAGE;
	if (argc - optind != 1) {
		cli_usage(&cmd_mkfs, argc == optind ? "which STORE?"
						    : "one STORE at a time");
		return CLI_USAGE;
	}
	path = argv[optind];
	cli_log_hold();
	err = fs_mkfs(path, &engine, &mkfs);
	store_release_log(err);
	if (err) {
		complain(path, err);
		return CLI_FAILED;
	}
	/* Opened again for what it says of itself: a store that cannot be
	 * read back should be noticed now and not at the first mount. */
	err = store_print_made(path);
	return err || !cli_flush() ? CLI_FAILED : CLI_OK;
}

const struct command cmd_mkfs = {
	.name = "mkfs",
	.summary = "make a filesystem in a directory",
	.help = help,
	.run = run,
};
