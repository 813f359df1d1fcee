/* SPDX-License-Identifier: MIT */
/*
 * truncate.c - taking blocks away: truncation, punching holes, zeroing. Few
 * blocks are deleted one by one, many by one range, so the cost does not
 * depend on how much goes. Any thread; the inode is locked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "fs/data.h"
#include "fs/fs_impl.h"
#include "fs/recount.h"

#define POINT_DELETES_MAX 32

/* Deletes the blocks [from, to) in t, and lowers rec->blocks by those there
 * were unless counting them is left for later. */
static int txn_delete_blocks(struct txn *t, const struct inode *inode,
			     struct inode_rec *rec, uint64_t from, uint64_t to,
			     struct block_range *later)
{
	uint8_t v[RECORD_MAX];
	uint64_t count = 0;
	struct key k, k2;
	int r;

	if (to > inode->alloc_end)
		to = inode->alloc_end;
	if (from >= to)
		return 0;
	/* What has no name is deleted as a whole before long. */
	if (rec->nlink > 0 && blocks_count_is_long(t->fs, inode, from, to)) {
		*later = (struct block_range){from, to};
		txn_put(t, key_uncounted(&k, inode->ino),
			lsm_slice(v, uncounted_encode(v)));
	} else {
		r = blocks_count(t->fs, inode, from, to, &count);
		if (r || count == 0)
			return r;
	}
	if (to - from <= POINT_DELETES_MAX) {
		for (uint64_t b = from; b < to; b++)
			txn_delete(t, key_block(&k, inode->ino, b));
	} else {
		(void)lsm_batch_delete_range(t->batch,
					     key_block(&k, inode->ino, from),
					     key_block(&k2, inode->ino, to));
	}
	rec->blocks -= count < rec->blocks ? count : rec->blocks;
	return 0;
}

/* Bytes [from, to) of block become zeros. */
static int txn_zero_part(struct txn *t, const struct inode *inode,
			 struct inode_rec *rec, uint64_t block, size_t from,
			 size_t to)
{
	static const uint8_t zeros[FS_BLOCK_BYTES_MAX];
	struct lsm_pin pin = {0};
	struct lsm_slice parts[3];
	struct key k;
	size_t n = 0;
	int r;

	if (block >= inode->alloc_end)
		return 0;
	r = block_get(t->fs, inode->ino, block, &pin);
	if (r) {
		r = r < 0 ? r : 0;
	} else if (from == 0 && to >= pin.len) {
		txn_delete(t, key_block(&k, inode->ino, block));
		if (rec->blocks)
			rec->blocks--;
	} else if (from < pin.len) {
		if (from)
			parts[n++] = lsm_slice(pin.data, from);
		if (to < pin.len) {
			parts[n++] = lsm_slice(zeros, to - from);
			parts[n++] = lsm_slice((const uint8_t *)pin.data + to,
					       pin.len - to);
		}
		(void)lsm_batch_putv(t->batch, key_block(&k, inode->ino, block),
				     parts, n);
	}
	lsm_unpin(&pin);
	return r;
}

/* The usage follows what the changes did to rec->blocks. */
static void usage_of_blocks(struct txn *t, const struct inode *inode,
			    const struct inode_rec *rec)
{
	int64_t blocks = (int64_t)(rec->blocks - inode->rec.blocks);

	if (rec->nlink > 0)
		txn_usage(t, inode->ino, blocks * t->fs->units_per_block, 0);
}

int txn_truncate(struct txn *t, const struct inode *inode,
		 struct inode_rec *rec, uint64_t size, uint64_t *alloc_end,
		 struct block_range *later)
{
	uint64_t keep = fs_blocks(t->fs, size);
	size_t tail = size & (t->fs->block_bytes - 1);
	int r;

	if (size < rec->size) {
		r = txn_delete_blocks(t, inode, rec, keep, UINT64_MAX, later);
		if (r == 0 && tail)
			r = txn_zero_part(t, inode, rec, keep - 1, tail,
					  t->fs->block_bytes);
		if (r)
			return r;
		if (*alloc_end > keep)
			*alloc_end = keep;
		if (rec->blocks == 0)
			*alloc_end = 0;
		usage_of_blocks(t, inode, rec);
	}
	rec->size = size;
	return 0;
}

/* ---- fallocate ---- */

static int txn_punch(struct txn *t, const struct inode *inode,
		     struct inode_rec *rec, uint64_t offset, uint64_t end,
		     struct block_range *later)
{
	struct fs *fs = t->fs;
	uint64_t mask = fs->block_bytes - 1;
	uint64_t first, last;
	int r = 0;

	if (end > rec->size)
		end = rec->size;
	if (offset >= end)
		return 0;
	first = offset >> fs->block_shift;
	last = end >> fs->block_shift; /* the block end lies in */
	if (first == last)
		return txn_zero_part(t, inode, rec, first, offset & mask,
				     end & mask);
	if (offset & mask)
		r = txn_zero_part(t, inode, rec, first++, offset & mask,
				  fs->block_bytes);
	if (r == 0 && (end & mask))
		r = txn_zero_part(t, inode, rec, last, 0, end & mask);
	if (r == 0)
		r = txn_delete_blocks(t, inode, rec, first, last, later);
	return r;
}

static int check_room(struct fs *fs, const struct inode *inode, uint64_t offset,
		      uint64_t end)
{
	uint64_t from = offset >> fs->block_shift;
	uint64_t to = fs_blocks(fs, end), have;
	struct fs_statfs st;
	int r = blocks_count(fs, inode, from, to, &have);

	if (r == 0)
		r = usage_statfs(fs, &st);
	if (r == 0 && to - from > have && to - from - have > st.blocks_free)
		r = -ENOSPC;
	return r;
}

static int fallocate_locked(struct fs *fs, struct inode *inode, int mode,
			    uint64_t offset, uint64_t end, unsigned flags)
{
	struct inode_rec n = inode->rec;
	struct block_range later = {0};
	bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct txn t;
	int r;

	if (S_ISDIR(n.mode))
		return -EISDIR;
	if (!S_ISREG(n.mode))
		return -ENODEV;
	if (!(mode & FALLOC_FL_PUNCH_HOLE)) {
		r = check_room(fs, inode, offset, end);
		if (r)
			return r;
	}
	r = txn_begin(&t, fs);
	if (r)
		return r;
	if (zero) {
		r = txn_punch(&t, inode, &n, offset, end, &later);
		if (r)
			return r;
		usage_of_blocks(&t, inode, &n);
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > n.size)
		n.size = end;
	if (flags & FS_WRITE_KILL_PRIV)
		inode_kill_priv(&t, inode->ino, &n);
	if (!(flags & FS_WRITE_NO_TIMES))
		n.mtime = n.ctime = time_now();
	txn_put_inode(&t, inode->ino, &n);
	r = recount_commit(&t, inode, later.from, later.to);
	if (r)
		return r;
	inode->rec = n;
	inode->dirty = false;
	if (n.blocks == 0)
		inode->alloc_end = 0;
	return 0;
}

int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t offset,
		 uint64_t length, unsigned flags)
{
	struct inode *inode;
	int r;

	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (length == 0)
		return -EINVAL;
	if (offset > FS_FILE_BYTES_MAX || length > FS_FILE_BYTES_MAX - offset)
		return -EFBIG;
	r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	r = inode_wrlock(inode);
	if (r == 0) {
		r = fallocate_locked(fs, inode, mode, offset, offset + length,
				     flags);
		inode_wrunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}
