/* SPDX-License-Identifier: MIT */
/* info.h - everything `tinylsm info` knows of a store, and its two forms. */
#ifndef TOOLS_INFO_H
#define TOOLS_INFO_H

#include "tools/store.h"

struct info_snapshot {
	char *name;
	uint64_t sequence;
};

struct info {
	const char *path;
	struct store_files files;

	bool opened; /* else only seen from outside */
	bool busy;   /* another process has the store open: */
	pid_t holder;
	bool mounted;
	char mountpoint[PATH_MAX];

	struct lsm_stats stats; /* when opened */
	size_t snapshots;
	struct info_snapshot *snapshot;

	bool has_fs;    /* fs and statfs are set */
	bool has_usage; /* used_* come from the mount point */
	struct fs_info fs;
	struct fs_statfs statfs;
	uint64_t used_blocks, used_inodes;

	bool has_written; /* what the daemon has written so far */
	struct fs_written written;

	bool scanned; /* every key was read */
	uint64_t live_entries, live_bytes;
};

void info_print_text(const struct info *in);
void info_print_json(const struct info *in);

#endif
