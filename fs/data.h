/* SPDX-License-Identifier: MIT */
/*
 * data.h - file data: block n of a file is one key, its value the block's
 * bytes. A value may be shorter than a block: the rest reads as zeros; a
 * missing key is a hole. No value reaches beyond the end of the file.
 *
 * Which blocks exist is often known without a look: none from alloc_end on,
 * and all below it when their number says so ("dense"). That keeps st_blocks
 * exact at no cost for files written from front to back.
 */
#ifndef FS_DATA_H
#define FS_DATA_H

#include "fs/inode_cache.h"
#include "fs/txn.h"

/* 0, or -EUCLEAN, reported: no block is that long. */
int value_check(struct fs *fs, uint64_t ino, uint64_t block, size_t len);
/* The block's value. 0, LSM_NOTFOUND (a hole), or an error. */
int block_get(struct fs *fs, uint64_t ino, uint64_t block, struct lsm_pin *pin);
/* The values of 1 to BLOCK_GROUP blocks from first on, in one pass.
 * found[i] is what block_get() returns for it. 0 or the first error. The pins
 * are the caller's to release. */
#define BLOCK_GROUP 16
int blocks_get(struct fs *fs, uint64_t ino, uint64_t first, size_t count,
	       struct lsm_pin *pins, int *found);
/* An iterator over the stored blocks [from, to). */
int block_iter(struct fs *fs, uint64_t ino, uint64_t from, uint64_t to,
	       struct lsm_iter **out);
/* Reading as fs_read() does, the inode locked and times left alone. */
ssize_t inode_read(struct fs *fs, struct inode *inode, void *buf, size_t size,
		   uint64_t offset);
/* How many of the blocks [from, to) are stored. The inode is locked. */
int blocks_count(struct fs *fs, const struct inode *inode, uint64_t from,
		 uint64_t to, uint64_t *count);
/* Deletes the blocks [from, to) in t and lowers rec->blocks and the usage by
 * those there were. */
int txn_delete_blocks(struct txn *t, const struct inode *inode,
		      struct inode_rec *rec, uint64_t from, uint64_t to);
/* Sets the file's size in rec, cuts and deletes blocks, lowers *alloc_end. The
 * caller writes rec. */
int txn_truncate(struct txn *t, const struct inode *inode,
		 struct inode_rec *rec, uint64_t size, uint64_t *alloc_end);
/* Clears setuid, setgid and security.capability, as a write does. */
void inode_kill_priv(struct txn *t, uint64_t ino, struct inode_rec *rec);

#endif
