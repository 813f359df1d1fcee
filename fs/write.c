/* SPDX-License-Identifier: MIT */
/*
 * write.c - writing file data. Any thread; writers of one file take turns, but
 * not for what is dear about large writes: their whole blocks, which depend on
 * nothing that is stored, are compressed and written by the engine before the
 * inode is locked (lsm_batch_prepare()). They are not copied on the way.
 *
 * A whole block is written without looking at what was there. Of a partly
 * written block the old value is read, unless all its old bytes are
 * overwritten or it does not exist; that is at most the first and the last
 * block of a write.
 *
 * A whole block of zeros becomes a hole. Data rarely starts with a zero word,
 * so looking for such blocks costs one load each.
 */
#include "fs/write.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/fs_impl.h"

/* Of whole blocks in one write, for preparing to be worth it. */
#define AHEAD_BYTES ((size_t)64 << 10)

static const uint8_t zeros[FS_BLOCK_BYTES_MAX];

static bool all_zero(const uint8_t *data, size_t len)
{
	uint64_t first;

	if (len < sizeof(first))
		return memcmp(data, zeros, len) == 0;
	memcpy(&first, data, sizeof(first));
	return first == 0 && memcmp(data, zeros, len) == 0;
}

int writing_begin(struct writing *w, struct fs *fs, struct inode *inode,
		  uint64_t offset, size_t size)
{
	int r = usage_disk_room(fs, size);

	memset(w, 0, sizeof(*w));
	w->inode = inode;
	w->rec = inode->rec;
	w->end = offset + size;
	return r ? r : txn_begin(&w->txn, fs);
}

void writing_end(struct writing *w)
{
	/* Gives back what was prepared, should it not have been committed. */
	if (w->ahead && w->txn.batch)
		lsm_batch_clear(w->txn.batch);
	lsm_unpin(&w->pin);
	txn_end_large(&w->txn);
}

static void put_block(struct writing *w, uint64_t block,
		      const struct lsm_slice *parts, size_t count)
{
	struct key k;

	/* An error is remembered by the batch. */
	(void)lsm_batch_putv(w->txn.batch, key_block(&k, w->inode->ino, block),
			     parts, count);
	if (w->stored_end <= block)
		w->stored_end = block + 1;
}

int writing_part(struct writing *w, uint64_t block, const void *data,
		 size_t from, size_t to)
{
	struct fs *fs = w->txn.fs;
	struct inode *inode = w->inode;
	uint64_t start = block << fs->block_shift;
	struct lsm_slice parts[4];
	struct lsm_slice old = {NULL, 0};
	size_t n = 0, head;
	bool exists = block < inode->alloc_end;

	/* Bytes of the block inside the file, before this write. */
	if (exists && (from > 0 || start + to < inode->rec.size)) {
		int r = block_get(fs, inode->ino, block, &w->pin);

		if (r < 0)
			return r;
		exists = r == 0;
		if (exists)
			old = lsm_slice(w->pin.data, w->pin.len);
	} else if (exists) {
		uint64_t count;
		int r = blocks_count(fs, inode, block, block + 1, &count);

		if (r)
			return r;
		exists = count != 0;
	}
	if (!exists && all_zero(data, to - from))
		return 0;
	if (!exists)
		w->added++;
	head = old.len < from ? old.len : from;
	if (head)
		parts[n++] = lsm_slice(old.data, head);
	if (head < from)
		parts[n++] = lsm_slice(zeros, from - head);
	parts[n++] = lsm_slice(data, to - from);
	if (old.len > to)
		parts[n++] =
			lsm_slice((const uint8_t *)old.data + to, old.len - to);
	put_block(w, block, parts, n);
	return 0;
}

int writing_wholes(struct writing *w, uint64_t from, uint64_t to,
		   uint64_t *existing)
{
	int r = blocks_count(w->txn.fs, w->inode, from, to, existing);

	if (r == 0)
		w->added -= (int64_t)*existing;
	return r;
}

/* A whole block; the value stays where it is until the batch is written when it
 * is one of many. */
static void put_whole(struct writing *w, uint64_t block, const void *data)
{
	struct lsm_slice value = lsm_slice(data, w->txn.fs->block_bytes);
	struct key k;

	w->added++;
	if (!w->ahead) {
		put_block(w, block, &value, 1);
		return;
	}
	(void)lsm_batch_put_ref(w->txn.batch,
				key_block(&k, w->inode->ino, block), value);
	if (w->stored_end <= block)
		w->stored_end = block + 1;
}

void writing_shared(struct writing *w, uint64_t block,
		    const struct lsm_iter *it)
{
	struct key k;

	/* An error is remembered by the batch. */
	(void)lsm_batch_put_shared(w->txn.batch,
				   key_block(&k, w->inode->ino, block), it);
	if (w->stored_end <= block)
		w->stored_end = block + 1;
	w->added++;
}

void writing_holes(struct writing *w, uint64_t from, uint64_t to)
{
	struct key k, k2;

	if (to > w->inode->alloc_end)
		to = w->inode->alloc_end;
	if (to > from + 1)
		(void)lsm_batch_delete_range(w->txn.batch,
					     key_block(&k, w->inode->ino, from),
					     key_block(&k2, w->inode->ino, to));
	else
		writing_hole(w, from, true);
}

void writing_hole(struct writing *w, uint64_t block, bool any)
{
	struct key k;

	if (any && block < w->inode->alloc_end)
		txn_delete(&w->txn, key_block(&k, w->inode->ino, block));
}

int writing_commit(struct writing *w, unsigned flags)
{
	struct fs *fs = w->txn.fs;
	struct inode *inode = w->inode;
	bool put;
	int r;

	if (w->end > w->rec.size)
		w->rec.size = w->end;
	/* Unsigned arithmetic: a negative number subtracts. */
	w->rec.blocks += (uint64_t)w->added;
	if (w->rec.nlink > 0)
		txn_usage(&w->txn, inode->ino,
			  w->added * (int64_t)fs->units_per_block, 0);
	if (flags & FS_WRITE_KILL_PRIV)
		inode_kill_priv(&w->txn, inode->ino, &w->rec);
	/* What only changes times is left to the writeback thread. */
	put = w->added || w->rec.size != inode->rec.size ||
	      w->rec.mode != inode->rec.mode ||
	      w->rec.flags != inode->rec.flags;
	if (!(flags & FS_WRITE_NO_TIMES))
		w->rec.mtime = w->rec.ctime = time_now();
	if (put)
		txn_put_inode(&w->txn, inode->ino, &w->rec);
	r = txn_commit(&w->txn);
	if (r)
		return r;
	inode->rec = w->rec;
	if (inode->alloc_end < w->stored_end)
		inode->alloc_end = w->stored_end;
	if (inode->rec.blocks == 0)
		inode->alloc_end = 0;
	if (put)
		inode->dirty = false;
	else if (!(flags & FS_WRITE_NO_TIMES))
		inode_mark_dirty(fs, inode);
	return 0;
}

/* The data of [offset, end) is at buf. */
static int write_blocks(struct writing *w, const uint8_t *buf, uint64_t offset)
{
	struct fs *fs = w->txn.fs;
	uint64_t mask = fs->block_bytes - 1;
	uint64_t block = offset >> fs->block_shift;
	uint64_t whole_end = w->end >> fs->block_shift;
	uint64_t existing;
	int r;

	if ((offset & mask) || block == whole_end) {
		uint64_t block_end = (block + 1) << fs->block_shift;
		uint64_t to = w->end < block_end ? w->end : block_end;

		r = writing_part(w, block, buf, offset & mask,
				 to - (block << fs->block_shift));
		if (r || to == w->end)
			return r;
		block++;
	}
	buf += (block << fs->block_shift) - offset;
	if (block < whole_end) {
		r = writing_wholes(w, block, whole_end, &existing);
		if (r)
			return r;
	}
	for (; block < whole_end; block++, buf += fs->block_bytes) {
		if (all_zero(buf, fs->block_bytes))
			writing_hole(w, block, existing > 0);
		else if (!w->ahead)
			put_whole(w, block, buf);
	}
	if (w->end & mask)
		return writing_part(w, block, buf, 0, w->end & mask);
	return 0;
}

/* Up to FS_WRITE_BYTES_ATOMIC bytes in one batch. The inode is locked. */
int write_batch(struct fs *fs, struct inode *inode, const void *buf,
		size_t size, uint64_t offset, unsigned flags)
{
	struct writing w;
	int r = writing_begin(&w, fs, inode, offset, size);

	if (r == 0)
		r = write_blocks(&w, buf, offset);
	if (r == 0)
		r = writing_commit(&w, flags);
	writing_end(&w);
	return r;
}

static int check_range(size_t size, uint64_t offset)
{
	return offset >= FS_FILE_BYTES_MAX || size > FS_FILE_BYTES_MAX - offset
		       ? -EFBIG
		       : 0;
}

static int check_file(struct fs *fs, const struct inode *inode, size_t size)
{
	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode) || size > SSIZE_MAX)
		return -EINVAL;
	return fs->read_only ? -EROFS : 0;
}

static ssize_t write_locked(struct fs *fs, struct inode *inode, const void *buf,
			    size_t size, uint64_t offset, unsigned flags)
{
	size_t done = 0;
	int r = check_file(fs, inode, size);

	if (r)
		return r;
	if (flags & FS_WRITE_APPEND)
		offset = inode->rec.size;
	if (size == 0)
		return 0;
	r = check_range(size, offset);
	if (r)
		return r;
	while (done < size) {
		size_t n = size - done;

		/* A large write is cut at borders of blocks. */
		if (n > FS_WRITE_BYTES_ATOMIC)
			n = FS_WRITE_BYTES_ATOMIC -
			    ((offset + done) & (fs->block_bytes - 1));
		r = write_batch(fs, inode, (const uint8_t *)buf + done, n,
				offset + done, flags);
		if (r)
			return done ? (ssize_t)done : r;
		done += n;
	}
	return (ssize_t)done;
}

/* ---- large writes ---- */

/* Near the size limit a write may be refused after all, and what it had
 * prepared would be garbage. */
static bool is_large(const struct fs *fs, size_t size, uint64_t offset,
		     unsigned flags)
{
	return size >= AHEAD_BYTES + 2 * (size_t)fs->block_bytes &&
	       size <= FS_WRITE_BYTES_ATOMIC && !(flags & FS_WRITE_APPEND) &&
	       !fs->read_only && check_range(size, offset) == 0 &&
	       usage_fits(fs, size / 512 + 1);
}

/* Without the inode's lock: the whole blocks of the write, but for holes. */
static int write_ahead(struct writing *w, struct fs *fs, struct inode *inode,
		       const uint8_t *buf, size_t size, uint64_t offset)
{
	uint64_t block = fs_blocks(fs, offset);
	uint64_t end = (offset + size) >> fs->block_shift;
	int r = usage_disk_room(fs, size);

	memset(w, 0, sizeof(*w));
	w->inode = inode;
	w->end = offset + size;
	if (r == 0)
		r = txn_begin(&w->txn, fs);
	if (r)
		return r;
	w->ahead = true;
	buf += (block << fs->block_shift) - offset;
	for (; block < end; block++, buf += fs->block_bytes)
		if (!all_zero(buf, fs->block_bytes))
			put_whole(w, block, buf);
	return lsm_batch_prepare(fs->db, w->txn.batch);
}

static ssize_t write_large(struct fs *fs, struct inode *inode, const void *buf,
			   size_t size, uint64_t offset, unsigned flags)
{
	struct writing w;
	int r = write_ahead(&w, fs, inode, buf, size, offset);

	if (r == 0)
		r = inode_wrlock(inode);
	if (r == 0) {
		w.rec = inode->rec;
		r = check_file(fs, inode, size);
		if (r == 0)
			r = write_blocks(&w, buf, offset);
		if (r == 0)
			r = writing_commit(&w, flags);
		inode_wrunlock(inode);
	}
	writing_end(&w);
	return r ? r : (ssize_t)size;
}

ssize_t fs_write(struct fs *fs, uint64_t ino, const void *buf, size_t size,
		 uint64_t offset, unsigned flags)
{
	struct inode *inode;
	ssize_t n;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	if (is_large(fs, size, offset, flags)) {
		n = write_large(fs, inode, buf, size, offset, flags);
	} else {
		n = inode_wrlock(inode);
		if (n == 0) {
			n = write_locked(fs, inode, buf, size, offset, flags);
			inode_wrunlock(inode);
		}
	}
	inode_put(fs, inode);
	return n;
}
