/* SPDX-License-Identifier: MIT */
/*
 * pieces.c - reading file data where it lies. Any thread.
 *
 * The values of a file's blocks are held in the engine's memory, and what is
 * wanted of each becomes one piece. Blocks that were written together lie side
 * by side in one block of a blob file, so a read of 1 MiB is a few dozen pieces
 * instead of hundreds. Holes, and the rest of short values, are pieces of one
 * page of zeros.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "fs/data.h"
#include "fs/fs_impl.h"

/* A hole of any size is made of these; never written, so it takes no memory. */
#define ZERO_BYTES ((size_t)64 << 10)
static uint8_t zeros[ZERO_BYTES];

/* A read of so much is part of a walk through the file, by whoever asks or by
 * his kernel. */
#define WALK_BYTES ((size_t)64 << 10)

struct builder {
	struct iovec *iov;
	unsigned count;
};

static void add_data(struct builder *b, const uint8_t *data, size_t len)
{
	struct iovec *last = b->count ? &b->iov[b->count - 1] : NULL;

	if (!len)
		return;
	if (last && (const uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return;
	}
	b->iov[b->count++] =
		(struct iovec){.iov_base = (void *)data, .iov_len = len};
}

/* Goes on in the zeros of the piece before, as far as they reach. */
static void add_zeros(struct builder *b, size_t len)
{
	struct iovec *last = b->count ? &b->iov[b->count - 1] : NULL;

	if (last && last->iov_base == zeros && len) {
		size_t more = ZERO_BYTES - last->iov_len;

		if (more > len)
			more = len;
		last->iov_len += more;
		len -= more;
	}
	if (len)
		add_data(b, zeros, len);
}

/* What [offset, end) of the file has of a block. */
static void add_block(struct fs *fs, struct builder *b, uint64_t block,
		      struct lsm_slice value, uint64_t offset, uint64_t end)
{
	uint64_t start = block << fs->block_shift;
	size_t from = offset > start ? (size_t)(offset - start) : 0;
	size_t to = end - start < fs->block_bytes ? (size_t)(end - start)
						  : fs->block_bytes;
	size_t have = value.len < to ? value.len : to;

	if (have > from)
		add_data(b, (const uint8_t *)value.data + from, have - from);
	else
		have = from;
	add_zeros(b, to - have);
}

#define BLOCK_KEY_ROOM 24

/* The arrays of one read, in one allocation. */
struct arrays {
	struct iovec *iov; /* three a block: data, and zeros in two parts */
	struct lsm_slice *keys, *values;
	uint8_t (*storage)[BLOCK_KEY_ROOM];
	int *found;
};

static void *arrays_new(struct arrays *a, size_t n)
{
	uint8_t *p = malloc(n * (3 * sizeof(*a->iov) + sizeof(*a->keys) +
				 sizeof(*a->values) + sizeof(*a->storage) +
				 sizeof(*a->found)));

	if (!p)
		return NULL;
	a->iov = (struct iovec *)p;
	a->keys = (struct lsm_slice *)(a->iov + 3 * n);
	a->values = a->keys + n;
	a->storage = (uint8_t(*)[BLOCK_KEY_ROOM])(a->values + n);
	a->found = (int *)(a->storage + n);
	return p;
}

static void make_key(struct arrays *a, size_t i, uint64_t ino, uint64_t block)
{
	struct key k;
	struct lsm_slice key = key_block(&k, ino, block);

	assert(key.len <= BLOCK_KEY_ROOM);
	memcpy(a->storage[i], key.data, key.len);
	a->keys[i] = lsm_slice(a->storage[i], key.len);
}

static int hold_blocks(struct fs *fs, const struct inode *inode, uint64_t first,
		       size_t n, uint64_t offset, uint64_t end, bool kept,
		       struct fs_pieces *out)
{
	const struct lsm_hold_options o = {
		.no_fill_cache = kept && end - offset >= WALK_BYTES};
	uint64_t end_stored = inode->alloc_end;
	struct builder b = {0};
	size_t stored = 0;
	struct arrays a;
	int r = 0;

	out->memory = arrays_new(&a, n);
	if (!out->memory)
		return -ENOMEM;
	for (; stored < n && first + stored < end_stored; stored++)
		make_key(&a, stored, inode->ino, first + stored);
	if (stored)
		r = lsm_hold_get(fs->db, &o, stored, a.keys, a.values, a.found,
				 &out->hold);
	b.iov = a.iov;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct lsm_slice value = {0};

		if (i < stored && a.found[i] == 0) {
			value = a.values[i];
			r = value_check(fs, inode->ino, first + i, value.len);
		}
		add_block(fs, &b, first + i, value, offset, end);
	}
	out->iov = b.iov;
	out->count = b.count;
	return r;
}

static ssize_t inode_pieces(struct fs *fs, struct inode *inode, size_t size,
			    uint64_t offset, bool kept, struct fs_pieces *out)
{
	uint64_t from, to;
	int r;

	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode))
		return -EINVAL;
	if (size > FS_PIECES_BYTES_MAX)
		return -EINVAL;
	if (size == 0 || offset >= inode->rec.size)
		return 0;
	if (size > inode->rec.size - offset)
		size = inode->rec.size - offset;
	from = offset >> fs->block_shift;
	to = fs_blocks(fs, offset + size);
	r = hold_blocks(fs, inode, from, to - from, offset, offset + size, kept,
			out);
	return r ? r : (ssize_t)size;
}

ssize_t fs_read_pieces(struct fs *fs, uint64_t ino, size_t size,
		       uint64_t offset, bool kept, struct fs_pieces *out)
{
	struct inode *inode;
	ssize_t n;
	int r;

	*out = (struct fs_pieces){0};
	r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	n = inode_rdlock(inode);
	if (n == 0) {
		n = inode_pieces(fs, inode, size, offset, kept, out);
		inode_rdunlock(inode);
		if (n >= 0 && size > 0)
			inode_touch_atime(fs, inode);
	}
	inode_put(fs, inode);
	return n;
}

size_t fs_pieces_drop_hole(struct fs_pieces *p)
{
	size_t dropped = 0;

	while (p->count && p->iov[p->count - 1].iov_base == zeros)
		dropped += p->iov[--p->count].iov_len;
	return dropped;
}

void fs_pieces_release(struct fs_pieces *p)
{
	lsm_hold_release(p->hold);
	free(p->memory);
	*p = (struct fs_pieces){0};
}
