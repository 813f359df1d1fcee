/* SPDX-License-Identifier: MIT */
/*
 * txn.h - one operation's batch and what it changes in the usage counters.
 *
 * An operation locks its inodes, checks everything, then: txn_begin(), the
 * changes, txn_commit(); only after success it changes the inodes in memory.
 * There is no abort: a transaction that is not committed leaves nothing. The
 * batch is the thread's own and is used again, so a thread has one
 * transaction at a time.
 *
 * Errors of building (no memory) are remembered and returned by txn_commit().
 */
#ifndef FS_TXN_H
#define FS_TXN_H

#include "fs/schema.h"

struct txn {
	struct fs *fs;
	struct lsm_batch *batch;
	/* usage changes of at most two inodes; a rename with whiteout that
	 * replaces a file has that many */
	struct {
		uint64_t ino;
		int64_t units; /* of 512 bytes */
		int64_t inodes;
	} usage[2];
	unsigned usages;
};

/* -EROFS, -ENOMEM */
int txn_begin(struct txn *t, struct fs *fs);
void txn_put_inode(struct txn *t, uint64_t ino, const struct inode_rec *rec);
void txn_put(struct txn *t, struct lsm_slice key, struct lsm_slice value);
void txn_delete(struct txn *t, struct lsm_slice key);
void txn_usage(struct txn *t, uint64_t ino, int64_t units, int64_t inodes);
/* Writes the batch. -ENOSPC: over the size limit, or the disk is full. */
int txn_commit(struct txn *t);
/* After one that may have been large, the thread's memory for it is handed on.
 * t is not used any more. */
void txn_end_large(struct txn *t);

#endif
