/* SPDX-License-Identifier: MIT */
/*
 * copy.c - copying a range of one file into another, or into another place of
 * the same, without the data leaving the process. Any thread.
 *
 * Where both offsets are equally far into a block, whole blocks go from key to
 * key: what is a hole in the source is one in the copy, and a short value stays
 * short. A value outside of the engine's tree is not even read: the copy shares
 * it, so that a gigabyte costs what writing a quarter of a million handles
 * does. All else is read and written.
 *
 * A batch is atomic, with both files locked; other operations come between two
 * batches. It ends after COPY_BLOCKS blocks, or when values that had to be
 * copied fill it.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs_impl.h"
#include "fs/write.h"

/* File data that is shared in one batch. */
#define COPY_BLOCK_BYTES ((uint64_t)64 << 20)
/* A batch that has grown to this is written. */
#define COPY_BATCH_BYTES ((size_t)4 << 20)

struct copying {
	struct fs *fs;
	struct inode *src, *dst;
	uint64_t from, to; /* offsets in src, dst */
	void *buf;         /* FS_WRITE_BYTES_ATOMIC bytes, made when needed */
	unsigned flags;
};

/* What lies between two stored blocks of the source. */
static void copy_holes(struct writing *w, uint64_t from, uint64_t to,
		       uint64_t existing)
{
	if (from < to && existing)
		writing_holes(w, from, to);
}

/* The stored blocks in [from, from + *count), until the batch is full: *count
 * becomes how many blocks it is then. */
static int share_blocks(struct writing *w, struct lsm_iter *it, uint64_t from,
			uint64_t to, uint64_t *count, uint64_t existing)
{
	uint64_t done = 0; /* blocks behind from */
	struct key_parts k;
	int r;

	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
		r = key_decode(lsm_iter_key(it), &k);
		if (r)
			return r;
		copy_holes(w, to + done, to + (k.number - from), existing);
		writing_shared(w, to + (k.number - from), it);
		done = k.number - from + 1;
		if (lsm_batch_size(w->txn.batch) >= COPY_BATCH_BYTES) {
			*count = done;
			return 0;
		}
	}
	if (r != LSM_END)
		return r;
	copy_holes(w, to + done, to + *count, existing);
	return 0;
}

/* Whole blocks, *count of them; fewer when the batch is full. */
static int copy_blocks(struct copying *c, struct writing *w, uint64_t from,
		       uint64_t to, uint64_t *count)
{
	uint64_t all = *count, existing;
	struct lsm_iter *it;
	int r = blocks_count(c->fs, c->dst, to, to + all, &existing);

	if (r == 0)
		r = block_iter(c->fs, c->src->ino, from, from + all, &it);
	if (r)
		return r;
	r = share_blocks(w, it, from, to, count, existing);
	lsm_iter_free(it);
	if (r == 0 && *count < all)
		r = blocks_count(c->fs, c->dst, to, to + *count, &existing);
	w->added -= (int64_t)existing;
	return r;
}

static int read_source(struct copying *c, size_t size, uint64_t offset)
{
	ssize_t n;

	if (!c->buf) {
		c->buf = malloc(FS_WRITE_BYTES_ATOMIC);
		if (!c->buf)
			return -ENOMEM;
	}
	n = inode_read(c->fs, c->src, c->buf, size, offset);
	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EIO;
}

/* Part of one block. */
static int copy_part(struct copying *c, struct writing *w, uint64_t skip,
		     size_t size)
{
	uint64_t to = c->to + skip;
	size_t at = to & (c->fs->block_bytes - 1);
	int r = read_source(c, size, c->from + skip);

	if (r)
		return r;
	return writing_part(w, to >> c->fs->block_shift, c->buf, at, at + size);
}

/* The parts of [c->to, c->to + *size) into w. *size becomes less when the batch
 * is full before. */
static int fill_aligned(struct copying *c, struct writing *w, uint64_t *size)
{
	unsigned shift = c->fs->block_shift;
	uint64_t mask = c->fs->block_bytes - 1, head, tail, whole, blocks;
	int r = 0;

	head = -c->to & mask;
	if (head > *size)
		head = *size;
	tail = (*size - head) & mask;
	whole = *size - head - tail;
	if (head)
		r = copy_part(c, w, 0, head);
	if (r == 0 && whole) {
		blocks = whole >> shift;
		r = copy_blocks(c, w, (c->from + head) >> shift,
				(c->to + head) >> shift, &blocks);
		if (blocks < whole >> shift) {
			*size = head + (blocks << shift);
			return r;
		}
	}
	if (r == 0 && tail)
		r = copy_part(c, w, head + whole, tail);
	return r;
}

/* Both offsets are equally far into a block. */
static int copy_aligned(struct copying *c, uint64_t *size)
{
	struct writing w;
	/* How much is written is known when the batch is there. */
	int r = writing_begin(&w, c->fs, c->dst, c->to, 0);

	if (r == 0)
		r = fill_aligned(c, &w, size);
	w.end = c->to + *size;
	if (r == 0)
		r = usage_disk_room(c->fs, lsm_batch_size(w.txn.batch));
	if (r == 0)
		r = writing_commit(&w, c->flags);
	writing_end(&w);
	/* It keeps what it shares from being deleted. */
	if (w.txn.batch)
		lsm_batch_clear(w.txn.batch);
	return r;
}

static int check_types(const struct copying *c)
{
	if (S_ISDIR(c->src->rec.mode) || S_ISDIR(c->dst->rec.mode))
		return -EISDIR;
	if (!S_ISREG(c->src->rec.mode) || !S_ISREG(c->dst->rec.mode))
		return -EINVAL;
	return 0;
}

/* One batch of at most size bytes: the number copied, 0 at the end of the
 * source. Both inodes are locked. */
static ssize_t copy_batch(struct copying *c, uint64_t size)
{
	uint64_t mask = c->fs->block_bytes - 1, most;
	bool aligned;
	int r;

	if (c->from >= c->src->rec.size)
		return 0;
	if (size > c->src->rec.size - c->from)
		size = c->src->rec.size - c->from;
	aligned = ((c->from ^ c->to) & mask) == 0;
	most = aligned ? COPY_BLOCK_BYTES : FS_WRITE_BYTES_ATOMIC;
	/* A large copy is cut at borders of blocks. */
	if (size > most)
		size = most - (c->to & mask);
	if (aligned) {
		r = copy_aligned(c, &size);
	} else {
		r = read_source(c, size, c->from);
		if (r == 0)
			r = write_batch(c->fs, c->dst, c->buf, size, c->to,
					c->flags);
	}
	return r ? r : (ssize_t)size;
}

/* Linux compares the ranges after the end of the source has cut them. */
static int check(struct copying *c, size_t *size)
{
	struct inode *locked[2] = {c->src, c->dst};
	int count = inode_wrlock_all(locked, 2), r;

	if (count < 0)
		return count;
	r = check_types(c);
	if (c->from >= c->src->rec.size)
		*size = 0;
	else if (*size > c->src->rec.size - c->from)
		*size = c->src->rec.size - c->from;
	inode_wrunlock_all(locked, (unsigned)count);
	if (r == 0 && c->src == c->dst && c->from < c->to + *size &&
	    c->to < c->from + *size)
		r = -EINVAL;
	return r;
}

static ssize_t copy(struct copying *c, uint64_t size)
{
	uint64_t done = 0;
	ssize_t n = 0;

	while (done < size) {
		struct inode *locked[2] = {c->src, c->dst};
		int count = inode_wrlock_all(locked, 2);

		n = count;
		if (count > 0) {
			n = copy_batch(c, size - done);
			inode_wrunlock_all(locked, (unsigned)count);
		}
		if (n <= 0)
			break;
		done += (uint64_t)n;
		c->from += (uint64_t)n;
		c->to += (uint64_t)n;
	}
	if (done > 0) {
		inode_touch_atime(c->fs, c->src);
		return (ssize_t)done;
	}
	return n;
}

ssize_t fs_copy_file_range(struct fs *fs, uint64_t src, uint64_t src_offset,
			   uint64_t dst, uint64_t dst_offset, size_t size,
			   unsigned flags)
{
	struct copying c = {
		.fs = fs, .from = src_offset, .to = dst_offset, .flags = flags};
	ssize_t n;
	int r;

	if (fs->read_only)
		return -EROFS;
	if (src_offset > FS_FILE_BYTES_MAX ||
	    size > FS_FILE_BYTES_MAX - src_offset)
		return -EOVERFLOW;
	if (dst_offset > FS_FILE_BYTES_MAX ||
	    size > FS_FILE_BYTES_MAX - dst_offset)
		return -EFBIG;
	r = inode_get(fs, src, &c.src);
	if (r)
		return r;
	r = inode_get(fs, dst, &c.dst);
	if (r == 0) {
		r = check(&c, &size);
		n = r ? r : copy(&c, size);
		inode_put(fs, c.dst);
	} else {
		n = r;
	}
	inode_put(fs, c.src);
	free(c.buf);
	return n;
}
