/* SPDX-License-Identifier: MIT */
/*
 * orphan.h - inodes without a name: they live until nobody knows them, then
 * their space is given back. Their keys in the store (see schema.h) let the
 * next mount finish what a crash interrupted.
 */
#ifndef FS_ORPHAN_H
#define FS_ORPHAN_H

#include "fs/txn.h"

/* Deletes everything of ino in t: few keys one by one, many by one range. */
void txn_delete_inode(struct txn *t, uint64_t ino, const struct inode_rec *rec);
/* Deletes ino and its orphan key in one batch of its own. */
int orphan_reclaim(struct fs *fs, uint64_t ino, const struct inode_rec *rec);
/* Makes the iterator over the orphans that the last run left, and starts the
 * thread that reclaims them if there is one. */
int orphan_start(struct fs *fs);
void orphan_stop(struct fs *fs);

#endif
