/* SPDX-License-Identifier: MIT */
/*
 * recount.h - counting afterwards what a large range of blocks held that was
 * deleted: truncating a sparse file and punching a hole return at once.
 *
 * How many blocks a range has is known without a look when it is the whole
 * file, or when the file has no holes. Otherwise their keys have to be walked
 * over. When those are many the range is deleted first, while the inode goes on
 * counting what is gone, and an uncounted key (schema.h) says so in the store.
 * A snapshot from before keeps the keys to be counted. Nobody sees the wrong
 * number: whoever locks the inode next makes the count before anything else
 * (inode_lock.c), but for who changes nothing but times and the like, and so
 * does fs_statfs() for all. The writeback thread does what nobody else did for
 * a second.
 *
 * What cannot be counted, of a disk that fails, is tried again with the next
 * lock; until then the number is too large, and nothing is concluded from it.
 * What was counted and cannot be written is shown nevertheless.
 * After a crash the next mount counts the blocks of such inodes anew.
 */
#ifndef FS_RECOUNT_H
#define FS_RECOUNT_H

#include "fs/inode_cache.h"
#include "fs/txn.h"

/* A range that was deleted from an inode. Belongs to the list of fs, which
 * holds a reference of the inode; what the inode points to has not been
 * counted. */
struct uncounted {
	struct fs *fs;
	struct inode *inode;
	struct uncounted *next; /* protected by fs->dirty_mutex */
	/* protected by the inode's lock */
	const struct lsm_snapshot *before;
	bool known;    /* it has been counted, but could not be written */
	uint64_t gone; /* so many, then */
	bool failed;   /* that was said */
	uint64_t from, to;
	uint64_t blocks, end; /* of the inode then: rec.blocks, alloc_end */
};

/* txn_commit() for a change of the inode, which is write-locked, that left
 * [from, to) uncounted; to 0: none. -ENOMEM before anything is written. */
int recount_commit(struct txn *t, struct inode *inode, uint64_t from,
		   uint64_t to);
/* Counts what inode->uncounted says, which is not NULL, and makes it NULL. When
 * that fails it is said, and stays as it was. The inode is write-locked. */
void recount_now(struct inode *inode);
/* All that is uncounted. No lock of fs/ is held. */
void recount_all(struct fs *fs);
/* Before closing: leaves the rest to the next mount. */
void recount_give_up(struct fs *fs);
/* After opening: what an earlier run left uncounted. 0 or an error. */
int recount_leftovers(struct fs *fs);

#endif
