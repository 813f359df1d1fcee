/* SPDX-License-Identifier: MIT */
/*
 * dir.h - directory entries: two records each, by name for lookups, by cookie
 * for readdir (schema.h).
 *
 * Cookies. A new entry gets the directory's next cookie. An entry renamed
 * inside its directory keeps its cookie, and one that replaces another takes
 * over that one's, so a scan that renames what it meets meets it once.
 */
#ifndef FS_DIR_H
#define FS_DIR_H

#include "fs/inode_cache.h"
#include "fs/txn.h"

/* 0, LSM_NOTFOUND, or an error. The directory is locked, or its entries do not
 * change for another reason. */
int dir_find(struct fs *fs, uint64_t dir, struct lsm_slice name,
	     struct entry_rec *out);
/* Puts both records; entry->name is ignored. */
void txn_put_entry(struct txn *t, uint64_t dir, struct lsm_slice name,
		   const struct entry_rec *entry);
void txn_delete_entry(struct txn *t, uint64_t dir, struct lsm_slice name,
		      uint64_t cookie);
/* Locks two inodes (which may be the same) for writing, in order. */
int inode_wrlock_two(struct inode *a, struct inode *b);
void inode_wrunlock_two(struct inode *a, struct inode *b);

/* A directory and the inode that one of its entries names, both referenced and
 * write-locked. */
struct entry_lock {
	struct inode *dir, *child;
	struct entry_rec entry;
};
/* -ENOENT: no such name. -ENOTDIR, -ESTALE and so on. */
int entry_lock(struct fs *fs, uint64_t dir, struct lsm_slice name,
	       struct entry_lock *out);
void entry_unlock(struct fs *fs, struct entry_lock *lock);

/* The inode that an entry names; a missing one is damage: -EUCLEAN, logged. */
int entry_inode(struct fs *fs, uint64_t dir, const struct entry_rec *entry,
		struct inode **out);

/*
 * The inode loses one name, or a directory its only one: rec, a copy of its
 * record, is changed and put into t, or everything of it deleted when nobody
 * knows it (*gone). The inode is write-locked.
 */
void txn_drop_name(struct txn *t, struct inode *inode, struct inode_rec *rec,
		   struct timespec now, bool *gone);

#endif
