/* SPDX-License-Identifier: MIT */
/*
 * copy.c - copying a range of one file into another, or into another place of
 * the same, without the data leaving the process. Any thread.
 *
 * Where both offsets are equally far into a block, whole blocks go from key to
 * key: what is a hole in the source is one in the copy, and a short value stays
 * short. All else is read and written. Each batch of at most
 * FS_WRITE_BYTES_ATOMIC bytes is atomic, with both files locked; other
 * operations come between two batches.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs_impl.h"
#include "fs/write.h"

struct copying {
	struct fs *fs;
	struct inode *src, *dst;
	uint64_t from, to; /* offsets in src, dst */
	void *buf;         /* FS_WRITE_BYTES_ATOMIC bytes, made when needed */
	unsigned flags;
};

/* Whole blocks, count of them. */
static int copy_blocks(struct copying *c, struct writing *w, uint64_t from,
		       uint64_t to, uint64_t count)
{
	struct lsm_pin pins[BLOCK_GROUP] = {0};
	int found[BLOCK_GROUP];
	uint64_t existing;
	int r = writing_wholes(w, to, to + count, &existing);

	while (r == 0 && count > 0) {
		size_t n = count < BLOCK_GROUP ? count : BLOCK_GROUP;

		r = blocks_get(c->fs, c->src->ino, from, n, pins, found);
		for (size_t i = 0; r == 0 && i < n; i++) {
			if (found[i])
				writing_hole(w, to + i, existing > 0);
			else
				writing_whole(
					w, to + i,
					lsm_slice(pins[i].data, pins[i].len));
		}
		from += n;
		to += n;
		count -= n;
	}
	for (size_t i = 0; i < BLOCK_GROUP; i++)
		lsm_unpin(&pins[i]);
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

/* Both offsets are equally far into a block. */
static int copy_aligned(struct copying *c, size_t size)
{
	unsigned shift = c->fs->block_shift;
	size_t mask = c->fs->block_bytes - 1, head, tail, whole;
	struct writing w;
	int r = writing_begin(&w, c->fs, c->dst, c->to, size);

	head = -c->to & mask;
	if (head > size)
		head = size;
	tail = (size - head) & mask;
	whole = size - head - tail;
	if (r == 0 && head)
		r = copy_part(c, &w, 0, head);
	if (r == 0 && whole)
		r = copy_blocks(c, &w, (c->from + head) >> shift,
				(c->to + head) >> shift, whole >> shift);
	if (r == 0 && tail)
		r = copy_part(c, &w, head + whole, tail);
	if (r == 0)
		r = writing_commit(&w, c->flags);
	writing_end(&w);
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
	size_t mask = c->fs->block_bytes - 1;
	int r;

	if (c->from >= c->src->rec.size)
		return 0;
	if (size > c->src->rec.size - c->from)
		size = c->src->rec.size - c->from;
	/* A large copy is cut at borders of blocks. */
	if (size > FS_WRITE_BYTES_ATOMIC)
		size = FS_WRITE_BYTES_ATOMIC - (c->to & mask);
	if (((c->from ^ c->to) & mask) == 0) {
		r = copy_aligned(c, size);
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
