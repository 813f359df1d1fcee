/* SPDX-License-Identifier: MIT */
/*
 * super.c - the superblock's record, and the batch that makes a filesystem out
 * of an empty store. Any thread.
 */
#include "fs/super.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "fs/schema.h"
#include "lsm/base/coding.h"

#define SUPER_VERSION 1
#define SUPER_FIXED   74

static const char super_magic[8] = "TinyLSM\n";

size_t super_encode(const struct superblock *sb, uint8_t *out)
{
	uint8_t *p = out + RECORD_HEAD;
	size_t label = strlen(sb->label);

	record_head(out, SUPER_VERSION, SUPER_FIXED);
	memcpy(p, super_magic, 8);
	put_le32(p + 8, sb->format);
	put_le32(p + 12, sb->block_bytes);
	put_le64(p + 16, sb->compat);
	put_le64(p + 24, sb->incompat);
	put_le64(p + 32, sb->ro_compat);
	memcpy(p + 40, sb->uuid, 16);
	put_le64(p + 56, sb->size_limit);
	put_le64(p + 64, sb->created_ns);
	p[72] = (uint8_t)sb->compression;
	p[73] = (uint8_t)label;
	memcpy(p + SUPER_FIXED, sb->label, label);
	return RECORD_HEAD + SUPER_FIXED + label;
}

static bool block_bytes_valid(uint32_t bytes)
{
	return bytes >= FS_BLOCK_BYTES_MIN && bytes <= FS_BLOCK_BYTES_MAX &&
	       (bytes & (bytes - 1)) == 0;
}

int super_decode(struct lsm_slice v, struct superblock *sb)
{
	struct lsm_slice fixed, rest;
	const uint8_t *p;

	if (record_open(v, SUPER_VERSION, SUPER_FIXED, &fixed, &rest))
		return -EUCLEAN;
	p = fixed.data;
	if (memcmp(p, super_magic, 8) != 0)
		return -EUCLEAN;
	memset(sb, 0, sizeof(*sb));
	sb->format = get_le32(p + 8);
	sb->block_bytes = get_le32(p + 12);
	sb->compat = get_le64(p + 16);
	sb->incompat = get_le64(p + 24);
	sb->ro_compat = get_le64(p + 32);
	if (sb->format > FS_FORMAT ||
	    (sb->incompat & ~(uint64_t)SUPER_INCOMPAT_KNOWN))
		return -EPROTONOSUPPORT;
	memcpy(sb->uuid, p + 40, 16);
	sb->size_limit = get_le64(p + 56);
	sb->created_ns = get_le64(p + 64);
	sb->compression = p[72];
	if (sb->format == 0 || !block_bytes_valid(sb->block_bytes) ||
	    sb->compression > LSM_COMPRESSION_LZ4 || p[73] > FS_LABEL_MAX ||
	    p[73] != rest.len)
		return -EUCLEAN;
	memcpy(sb->label, rest.data, rest.len);
	return 0;
}

int super_read(struct lsm_db *db, struct superblock *sb)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r = lsm_get(db, NULL, key_global(&k, KEY_GLOBAL_SUPER), &pin);

	if (r == 0)
		r = super_decode(lsm_slice(pin.data, pin.len), sb);
	lsm_unpin(&pin);
	return r;
}

int super_from_options(const struct fs_mkfs_options *options,
		       struct superblock *sb)
{
	static const uint8_t none[16];
	struct timespec now;

	memset(sb, 0, sizeof(*sb));
	sb->format = FS_FORMAT;
	sb->block_bytes = options->block_bytes ? options->block_bytes
					       : FS_BLOCK_BYTES_DEFAULT;
	sb->size_limit = options->size_limit;
	sb->compression = options->compression;
	if (!block_bytes_valid(sb->block_bytes) ||
	    options->compression > LSM_COMPRESSION_LZ4)
		return -EINVAL;
	if (options->label) {
		if (strnlen(options->label, FS_LABEL_MAX + 1) > FS_LABEL_MAX)
			return -EINVAL;
		strcpy(sb->label, options->label);
	}
	memcpy(sb->uuid, options->uuid, 16);
	if (memcmp(sb->uuid, none, 16) == 0) {
		if (getrandom(sb->uuid, 16, 0) != 16)
			return -EIO;
		sb->uuid[6] = (sb->uuid[6] & 0x0f) | 0x40; /* RFC 9562, v4 */
		sb->uuid[8] = (sb->uuid[8] & 0x3f) | 0x80;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	sb->created_ns =
		(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return 0;
}

int super_make(struct lsm_db *db, const struct superblock *sb, uid_t uid,
	       gid_t gid, bool wipe)
{
	struct lsm_write_options sync = {.sync = true};
	struct lsm_batch *batch = lsm_batch_new();
	struct usage_rec usage = {.blocks = 0, .inodes = 1};
	struct inode_rec root = {
		.mode = S_IFDIR | 0755,
		.uid = uid,
		.gid = gid,
		.nlink = 2,
		.generation = 1,
		.next_cookie = COOKIE_FIRST,
		.parent = FS_ROOT_INO,
	};
	uint8_t rec[RECORD_MAX];
	struct key k, k2;
	int r;

	if (!batch)
		return -ENOMEM;
	clock_gettime(CLOCK_REALTIME, &root.btime);
	root.atime = root.mtime = root.ctime = root.btime;
	/* An error of building is remembered by the batch. */
	if (wipe) {
		memset(k2.data, 0xff, 16);
		lsm_batch_delete_range(batch, key_ino_start(&k, 0),
				       lsm_slice(k2.data, 16));
	}
	lsm_batch_put(batch, key_global(&k, KEY_GLOBAL_SUPER),
		      lsm_slice(rec, super_encode(sb, rec)));
	lsm_batch_put(batch, key_global(&k, KEY_GLOBAL_WATERMARK),
		      lsm_slice(rec, watermark_encode(FS_ROOT_INO + 1, rec)));
	lsm_batch_put(batch, key_usage(&k, FS_ROOT_INO % USAGE_SHARDS),
		      lsm_slice(rec, usage_rec_encode(&usage, rec)));
	lsm_batch_put(batch, key_ino(&k, FS_ROOT_INO, KEY_INODE),
		      lsm_slice(rec, inode_rec_encode(&root, rec)));
	r = lsm_write(db, batch, &sync);
	lsm_batch_free(batch);
	return r;
}

int super_store_empty(struct lsm_db *db)
{
	struct lsm_iter *it;
	int r = lsm_iter_new(db, NULL, &it);

	if (r)
		return r;
	r = lsm_iter_first(it);
	lsm_iter_free(it);
	return r == LSM_END ? 1 : r;
}
