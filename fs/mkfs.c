/* SPDX-License-Identifier: MIT */
/*
 * mkfs.c - makes a filesystem in a directory: a store, and one batch in it.
 * An interrupted fs_mkfs() leaves a store without any key, which both
 * fs_mkfs() and fs_open() take for a place where nothing is yet.
 */
#include <errno.h>

#include "fs/fs.h"
#include "fs/super.h"

int fs_mkfs(const char *path, const struct lsm_options *engine,
	    const struct fs_mkfs_options *options)
{
	static const struct fs_mkfs_options defaults;
	struct lsm_options o = {0};
	struct superblock sb, old;
	struct lsm_db *db;
	bool wipe = false;
	int r, r2;

	if (!options)
		options = &defaults;
	if (engine)
		o = *engine;
	r = super_from_options(options, &sb);
	if (r)
		return r;
	o.no_create = o.error_if_exists = o.read_only = false;
	o.compression = sb.compression;
	r = lsm_open(path, &o, &db);
	if (r)
		return r;
	r = super_read(db, &old);
	if (r == LSM_NOTFOUND) {
		r = super_store_empty(db);
		if (r >= 0)
			r = r ? 0 : -ENOTEMPTY;
	} else if (r == 0 || r == -EUCLEAN || r == -EPROTONOSUPPORT) {
		r = options->force ? 0 : -EEXIST;
		wipe = true;
	}
	if (r == 0)
		r = super_make(db, &sb, options->root_uid, options->root_gid,
			       wipe);
	r2 = lsm_close(db);
	return r ? r : r2;
}
