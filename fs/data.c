/* SPDX-License-Identifier: MIT */
/*
 * data.c - reading file data. Any thread.
 */
#include "fs/data.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs_impl.h"

int value_check(struct fs *fs, uint64_t ino, uint64_t block, size_t len)
{
	if (len > 0 && len <= fs->block_bytes)
		return 0;
	fs_log(fs, LSM_LOG_ERROR, "inode %llu: block %llu has %zu bytes",
	       (unsigned long long)ino, (unsigned long long)block, len);
	return -EUCLEAN;
}

int block_get(struct fs *fs, uint64_t ino, uint64_t block, struct lsm_pin *pin)
{
	struct key k;
	int r = lsm_get(fs->db, NULL, key_block(&k, ino, block), pin);

	return r == 0 ? value_check(fs, ino, block, pin->len) : r;
}

int blocks_get(struct fs *fs, uint64_t ino, uint64_t first, size_t count,
	       struct lsm_pin *pins, int *found)
{
	struct lsm_slice keys[BLOCK_GROUP];
	struct key storage[BLOCK_GROUP];
	size_t n = 0;
	int r;

	do {
		keys[n] = key_block(&storage[n], ino, first + n);
	} while (++n < count);
	r = lsm_multi_get(fs->db, NULL, count, keys, pins, found);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (found[i] == 0)
			r = value_check(fs, ino, first + i, pins[i].len);
	return r;
}

static int block_iter_at(struct fs *fs, const struct lsm_snapshot *at,
			 uint64_t ino, uint64_t from, uint64_t to,
			 struct lsm_iter **out)
{
	struct lsm_iter_options o = {.snapshot = at};
	struct key k, k2;

	o.lower = key_block(&k, ino, from);
	o.upper = key_block(&k2, ino, to);
	return lsm_iter_new(fs->db, &o, out);
}

int block_iter(struct fs *fs, uint64_t ino, uint64_t from, uint64_t to,
	       struct lsm_iter **out)
{
	return block_iter_at(fs, NULL, ino, from, to, out);
}

/* ---- counting ---- */

/* Adds to *count. By walking over their keys, some 50 to 100 ns each; values
 * are not read. */
static int add_walked(struct fs *fs, const struct block_set *s, uint64_t from,
		      uint64_t to, uint64_t *count)
{
	struct lsm_iter *it;
	int r;

	if (from >= to)
		return 0;
	r = block_iter_at(fs, s->at, s->ino, from, to, &it);
	if (r)
		return r;
	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it))
		(*count)++;
	lsm_iter_free(it);
	return r == LSM_END ? 0 : r;
}

int block_set_walk(struct fs *fs, const struct block_set *s, uint64_t from,
		   uint64_t to, uint64_t *count)
{
	*count = 0;
	return add_walked(fs, s, from, to, count);
}

/* Is the number known without a look? Then *count. from < to <= s->end */
static bool is_known(const struct block_set *s, uint64_t from, uint64_t to,
		     uint64_t *count)
{
	if (s->blocks == BLOCKS_UNKNOWN)
		return false;
	if (s->blocks >= s->end)
		*count = to - from;
	else if (from == 0 && to == s->end)
		*count = s->blocks;
	else
		return false;
	return true;
}

int block_set_count(struct fs *fs, const struct block_set *s, uint64_t from,
		    uint64_t to, uint64_t *count)
{
	uint64_t outside = 0;
	int r;

	if (to > s->end)
		to = s->end;
	*count = 0;
	if (from >= to || s->blocks == 0 || is_known(s, from, to, count))
		return 0;
	if (to - from == 1) {
		struct key k;

		r = lsm_exists(fs->db, s->at, key_block(&k, s->ino, from));
		if (r == 0)
			*count = 1;
		return r < 0 ? r : 0;
	}
	if (to - from <= s->end / 2 || s->blocks == BLOCKS_UNKNOWN)
		return block_set_walk(fs, s, from, to, count);
	/* The whole is known, so the smaller part is counted. */
	r = add_walked(fs, s, 0, from, &outside);
	if (r == 0)
		r = add_walked(fs, s, to, s->end, &outside);
	if (r)
		return r;
	if (outside > s->blocks) /* the record is wrong */
		return block_set_walk(fs, s, from, to, count);
	*count = s->blocks - outside;
	return 0;
}

static struct block_set blocks_of(const struct inode *inode)
{
	return (struct block_set){
		.ino = inode->ino,
		.blocks = inode->uncounted ? BLOCKS_UNKNOWN : inode->rec.blocks,
		.end = inode->alloc_end};
}

int blocks_count(struct fs *fs, const struct inode *inode, uint64_t from,
		 uint64_t to, uint64_t *count)
{
	struct block_set s = blocks_of(inode);

	return block_set_count(fs, &s, from, to, count);
}

bool blocks_count_is_long(const struct fs *fs, const struct inode *inode,
			  uint64_t from, uint64_t to)
{
	struct block_set s = blocks_of(inode);
	uint64_t count, most;

	if (to > s.end)
		to = s.end;
	/* One range at a time: another is counted at once. */
	if (from >= to || inode->uncounted || is_known(&s, from, to, &count))
		return false;
	most = to - from < s.end / 2 ? to - from : s.end - (to - from);
	return most > fs->count_max && s.blocks > fs->count_max;
}

/* ---- reading ---- */

struct read_range {
	uint8_t *buf;
	uint64_t offset, end; /* in the file */
};

/* Copies what block's value has of the range, zeros for the rest. */
static void copy_block(struct fs *fs, const struct read_range *range,
		       uint64_t block, const void *value, size_t len)
{
	uint64_t start = block << fs->block_shift;
	uint64_t from = range->offset > start ? range->offset - start : 0;
	uint64_t to = range->end - start;
	uint8_t *dst = range->buf + (start + from - range->offset);
	size_t have = 0;

	if (to > fs->block_bytes)
		to = fs->block_bytes;
	if (len > from) {
		have = (len < to ? len : to) - from;
		memcpy(dst, (const uint8_t *)value + from, have);
	}
	memset(dst + have, 0, to - from - have);
}

/*
 * In groups of keys looked up at once. An iterator over the range is a tenth
 * faster at 1 MiB where one table holds all of it, and several times slower
 * where the newest data lies in overlapping tables, which is what was just
 * written.
 */
static int read_lookups(struct fs *fs, uint64_t ino,
			const struct read_range *range, uint64_t from,
			uint64_t to)
{
	struct lsm_pin pins[BLOCK_GROUP] = {0};
	int found[BLOCK_GROUP], r = 0;

	while (r == 0 && from < to) {
		size_t n = to - from < BLOCK_GROUP ? to - from : BLOCK_GROUP;

		r = blocks_get(fs, ino, from, n, pins, found);
		for (size_t i = 0; r == 0 && i < n; i++)
			copy_block(fs, range, from + i, pins[i].data,
				   found[i] ? 0 : pins[i].len);
		from += n;
	}
	for (size_t i = 0; i < BLOCK_GROUP; i++)
		lsm_unpin(&pins[i]);
	return r;
}

static int read_one(struct fs *fs, uint64_t ino, const struct read_range *range,
		    uint64_t block)
{
	struct lsm_pin pin = {0};
	int r = block_get(fs, ino, block, &pin);

	if (r >= 0)
		copy_block(fs, range, block, pin.data, r ? 0 : pin.len);
	lsm_unpin(&pin);
	return r < 0 ? r : 0;
}

ssize_t inode_read(struct fs *fs, struct inode *inode, void *buf, size_t size,
		   uint64_t offset)
{
	struct read_range range = {.buf = buf, .offset = offset};
	uint64_t from, to;
	int r;

	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode))
		return -EINVAL;
	if (size > SSIZE_MAX)
		size = SSIZE_MAX;
	if (size == 0 || offset >= inode->rec.size)
		return 0;
	if (size > inode->rec.size - offset)
		size = inode->rec.size - offset;
	range.end = offset + size;
	from = offset >> fs->block_shift;
	to = fs_blocks(fs, range.end);
	if (from >= inode->alloc_end) {
		memset(buf, 0, size);
		return (ssize_t)size;
	}
	if (to - from == 1)
		r = read_one(fs, inode->ino, &range, from);
	else
		r = read_lookups(fs, inode->ino, &range, from, to);
	return r ? r : (ssize_t)size;
}

ssize_t fs_read(struct fs *fs, uint64_t ino, void *buf, size_t size,
		uint64_t offset)
{
	struct inode *inode;
	ssize_t n;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	n = inode_rdlock(inode);
	if (n == 0) {
		n = inode_read(fs, inode, buf, size, offset);
		inode_rdunlock(inode);
		if (n >= 0 && size > 0)
			inode_touch_atime(fs, inode);
	}
	inode_put(fs, inode);
	return n;
}

/* ---- where data is ---- */

static int seek_data(struct fs *fs, const struct inode *inode, uint64_t offset,
		     uint64_t *out)
{
	uint64_t block = offset >> fs->block_shift;
	struct lsm_iter *it;
	struct key_parts k;
	int r;

	if (block >= inode->alloc_end)
		return -ENXIO;
	r = block_iter(fs, inode->ino, block, inode->alloc_end, &it);
	if (r)
		return r;
	r = lsm_iter_first(it);
	if (r == 0)
		r = key_decode(lsm_iter_key(it), &k);
	lsm_iter_free(it);
	if (r == LSM_END)
		return -ENXIO;
	if (r == 0)
		*out = k.number > block ? k.number << fs->block_shift : offset;
	return r;
}

static int seek_hole(struct fs *fs, const struct inode *inode, uint64_t offset,
		     uint64_t *out)
{
	uint64_t block = offset >> fs->block_shift;
	uint64_t at = block;
	struct lsm_iter *it;
	int r = LSM_END;

	if (inode->rec.blocks >= inode->alloc_end) {
		if (at < inode->alloc_end)
			at = inode->alloc_end;
	} else if (block < inode->alloc_end) {
		r = block_iter(fs, inode->ino, block, inode->alloc_end, &it);
		if (r)
			return r;
		for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
			struct key_parts k;

			r = key_decode(lsm_iter_key(it), &k);
			if (r || k.number != at)
				break;
			at++;
		}
		lsm_iter_free(it);
	}
	if (r < 0)
		return r;
	*out = at > block ? at << fs->block_shift : offset;
	if (*out > inode->rec.size)
		*out = inode->rec.size;
	return 0;
}

int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence,
	    uint64_t *out)
{
	struct inode *inode;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r == 0) {
		if (!S_ISREG(inode->rec.mode) ||
		    (whence != SEEK_DATA && whence != SEEK_HOLE))
			r = -EINVAL;
		else if (offset >= inode->rec.size)
			r = -ENXIO;
		else if (whence == SEEK_DATA)
			r = seek_data(fs, inode, offset, out);
		else
			r = seek_hole(fs, inode, offset, out);
		inode_rdunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}
