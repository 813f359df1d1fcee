/* SPDX-License-Identifier: MIT */
/*
 * write.h - one batch of new file data in the making: write.c fills it from
 * memory, copy.c from blocks of another file.
 *
 * What a large write costs is mostly compressing, so write.c has its whole
 * blocks prepared by the engine before it locks the inode (write_ahead()).
 *
 * Order of calls, the inode write-locked all the while: writing_begin(); any
 * blocks, each once; writing_commit() unless one failed; writing_end().
 */
#ifndef FS_WRITE_H
#define FS_WRITE_H

#include "fs/data.h"

struct writing {
	struct txn txn;
	struct inode *inode;
	struct inode_rec rec; /* as it will be */
	uint64_t end;         /* of the bytes written */
	int64_t added;        /* blocks that did not exist, less deleted ones */
	uint64_t stored_end;  /* behind the last block that was put */
	bool ahead;           /* whole blocks were put before the lock */
	struct lsm_pin pin;
};

/* size bytes at offset are to be written. */
int writing_begin(struct writing *w, struct fs *fs, struct inode *inode,
		  uint64_t offset, size_t size);
/* Bytes [from, to) of block become data, the others stay. */
int writing_part(struct writing *w, uint64_t block, const void *data,
		 size_t from, size_t to);
/* The whole blocks [from, to): how many of them exist, for which putting them
 * and writing_hole() ask. Nothing is done without blocks. */
int writing_wholes(struct writing *w, uint64_t from, uint64_t to,
		   uint64_t *existing);
/* Block becomes what it, on a block of a file, stands on. */
void writing_shared(struct writing *w, uint64_t block,
		    const struct lsm_iter *it);
/* Nothing is stored in the blocks [from, to) any more. */
void writing_holes(struct writing *w, uint64_t from, uint64_t to);
/* Nothing is stored in block any more; any: something may have been. */
void writing_hole(struct writing *w, uint64_t block, bool any);
/* flags: enum fs_write_flags */
int writing_commit(struct writing *w, unsigned flags);
void writing_end(struct writing *w);

/* All of that for up to FS_WRITE_BYTES_ATOMIC bytes at buf. */
int write_batch(struct fs *fs, struct inode *inode, const void *buf,
		size_t size, uint64_t offset, unsigned flags);

#endif
