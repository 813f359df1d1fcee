/* SPDX-License-Identifier: MIT */
/*
 * cmd_info.c - tinylsm info: what a store is and what it holds, for people or
 * as JSON.
 *
 * First everything is collected into struct info, then it is printed one way
 * or the other, so that both say the same. A store that another process has
 * open is read as it was at some moment of late; when that fails, because
 * files went away meanwhile, what its files and its mount point tell is shown.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "tools/cli.h"
#include "tools/info.h"
#include "tools/store.h"

static const char help[] =
	"usage: tinylsm info STORE [OPTIONS]\n\n"
	"Shows what a store is (label, UUID, format, features), what it holds "
	"and what\n"
	"it takes on disk. A store that is mounted is looked at from outside; "
	"a store\n"
	"of the engine without a filesystem is shown too. Nothing is "
	"changed.\n\n"
	"  -j, --json   one JSON object, sizes in bytes\n"
	"      --scan   read every key, for the exact live bytes of a store "
	"without\n"
	"               a filesystem\n"
	"      --help   this text\n\n"
	"examples:\n"
	"  tinylsm info /srv/store\n"
	"  tinylsm info --json /srv/store | jq .space_amplification\n\n"
	"Exit status: 0 shown, 1 cannot be read, 2 wrong usage.\n";

static const struct option long_options[] = {
	{"json", no_argument, NULL, 'j'},
	{"scan", no_argument, NULL, 'S'},
	{NULL, 0, NULL, 0},
};

static int take_snapshot(void *arg, const char *name, uint64_t sequence)
{
	struct info *in = arg;
	struct info_snapshot *grown;

	grown = reallocarray(in->snapshot, in->snapshots + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	in->snapshot = grown;
	grown += in->snapshots;
	grown->sequence = sequence;
	grown->name = strdup(name);
	if (!grown->name)
		return -ENOMEM;
	in->snapshots++;
	return 0;
}

/* Adds up keys and values that can be read. */
static int scan(struct lsm_db *db, struct info *in)
{
	struct lsm_iter_options io = {.no_fill_cache = true};
	struct lsm_iter *it;
	int err = lsm_iter_new(db, &io, &it);

	if (err)
		return err;
	for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it)) {
		in->live_entries++;
		in->live_bytes += lsm_iter_key(it).len + lsm_iter_value_len(it);
	}
	lsm_iter_free(it);
	in->scanned = err == LSM_END;
	return err == LSM_END ? 0 : err;
}

static int collect_fs(struct fs *fs, struct info *in)
{
	int err;

	fs_get_info(fs, &in->fs);
	err = fs_statfs(fs, &in->statfs);
	in->has_fs = !err;
	in->used_blocks = in->statfs.blocks - in->statfs.blocks_free;
	in->used_inodes = in->statfs.inodes - in->statfs.inodes_free;
	if (!in->scanned)
		in->live_bytes = in->used_blocks * in->statfs.block_bytes;
	return err;
}

static int collect_open(struct store *s, bool all_keys, struct info *in)
{
	int err = 0;

	in->opened = true;
	lsm_get_stats(s->db, &in->stats);
	if (all_keys)
		err = scan(s->db, in);
	if (!err && s->fs)
		err = collect_fs(s->fs, in);
	if (!err)
		err = lsm_snapshot_list(s->db, take_snapshot, in);
	return err;
}

/* Who has the store open, and what the mount point tells. */
static void collect_busy(const char *path, struct info *in)
{
	char text[FS_WRITTEN_TEXT];
	struct statvfs v;
	ssize_t n;

	in->busy = store_is_open(path, &in->holder);
	if (!in->busy)
		return;
	in->mounted = store_mountpoint(path, in->mountpoint);
	if (in->mounted && !statvfs(in->mountpoint, &v)) {
		in->has_usage = true;
		in->used_blocks = v.f_blocks - v.f_bfree;
		in->used_inodes = v.f_files - v.f_ffree;
		in->statfs.block_bytes = (uint32_t)v.f_frsize;
		in->live_bytes = in->used_blocks * v.f_frsize;
	}
	if (!in->mounted)
		return;
	n = getxattr(in->mountpoint, FS_XATTR_WRITTEN, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		in->has_written = !fs_written_from_text(&in->written, text);
	}
}

static int collect(const char *path, bool all_keys, struct info *in)
{
	struct store s;
	int err, closed;

	err = store_list_files(path, &in->files);
	if (err)
		return err;
	collect_busy(path, in);
	err = store_open(path, in->busy ? STORE_QUIET : STORE_PLAIN_IF_DAMAGED,
			 &s);
	/* A store in use may change while it is opened. */
	if (err && in->busy)
		return 0;
	if (err)
		return err;
	err = collect_open(&s, all_keys, in);
	closed = store_close(&s);
	return err ? err : closed;
}

static int run(int argc, char **argv)
{
	struct info in = {0};
	bool json = false, all_keys = false;
	const char *path;
	int c, err;
	size_t i;

	while ((c = getopt_long(argc, argv, "j", long_options, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'S')
			all_keys = true;
		else
			return CLI_USAGE;
	}
	if (argc - optind != 1) {
		cli_usage(&cmd_info, argc == optind ? "which STORE?"
						    : "one STORE at a time");
		return CLI_USAGE;
	}
	path = argv[optind];
	err = collect(path, all_keys, &in);
	if (err) {
		store_error(path, err);
	} else {
		in.path = path;
		if (json)
			info_print_json(&in);
		else
			info_print_text(&in);
	}
	for (i = 0; i < in.snapshots; i++)
		free(in.snapshot[i].name);
	free(in.snapshot);
	return err || !cli_flush() ? CLI_FAILED : CLI_OK;
}

const struct command cmd_info = {
	.name = "info",
	.summary = "show what a store is and holds",
	.help = help,
	.run = run,
};
