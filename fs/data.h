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
#define BLOCKS_UNKNOWN UINT64_MAX

/* The blocks of a file, now or as they were. */
struct block_set {
	uint64_t ino;
	uint64_t blocks;               /* so many; BLOCKS_UNKNOWN */
	uint64_t end;                  /* none from here on */
	const struct lsm_snapshot *at; /* NULL: now */
};
/* How many of the blocks [from, to) are in the set: one after the other, or as
 * few of them as tell it. */
int block_set_walk(struct fs *fs, const struct block_set *s, uint64_t from,
		   uint64_t to, uint64_t *count);
int block_set_count(struct fs *fs, const struct block_set *s, uint64_t from,
		    uint64_t to, uint64_t *count);
/* How many of the blocks [from, to) are stored. The inode is locked. */
int blocks_count(struct fs *fs, const struct inode *inode, uint64_t from,
		 uint64_t to, uint64_t *count);
/* Might that mean walking over more than fs->count_max blocks? */
bool blocks_count_is_long(const struct fs *fs, const struct inode *inode,
			  uint64_t from, uint64_t to);
/* A range whose blocks are to be counted when they are gone (recount.h): what
 * follows sets it, recount_commit() wants it. All zero: none. */
struct block_range {
	uint64_t from, to;
};
/* Sets the file's size in rec, cuts and deletes blocks, lowers *alloc_end. The
 * caller writes rec. */
int txn_truncate(struct txn *t, const struct inode *inode,
		 struct inode_rec *rec, uint64_t size, uint64_t *alloc_end,
		 struct block_range *later);
/* Clears setuid, setgid and security.capability, as a write does. */
void inode_kill_priv(struct txn *t, uint64_t ino, struct inode_rec *rec);

#endif
