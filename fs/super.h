/* SPDX-License-Identifier: MIT */
/*
 * super.h - the superblock: what kind of filesystem the store holds.
 *
 *     magic8 "TinyLSM\n"  format4  block_bytes4
 *     compat8  incompat8  ro_compat8      feature bits
 *     uuid16  size_limit8  created_ns8  compression1  label_len1 | label
 *
 * Feature bits, as ext4 has them: an unknown incompat bit forbids opening, an
 * unknown ro_compat bit forbids writing, unknown compat bits are harmless.
 */
#ifndef FS_SUPER_H
#define FS_SUPER_H

#include "fs/fs.h"

#define FS_FORMAT            1
#define FS_BLOCK_BYTES_MIN   512
#define SUPER_COMPAT_KNOWN   0
#define SUPER_INCOMPAT_KNOWN 0
#define SUPER_RO_KNOWN       0
#define SUPER_BYTES_MAX      256

struct superblock {
	uint32_t format;
	uint32_t block_bytes;
	uint64_t compat, incompat, ro_compat;
	uint8_t uuid[16];
	uint64_t size_limit;
	uint64_t created_ns;
	enum lsm_compression compression;
	char label[FS_LABEL_MAX + 1];
};

/* Writes at most SUPER_BYTES_MAX bytes and returns their number. */
size_t super_encode(const struct superblock *sb, uint8_t *out);
/* 0, -EUCLEAN, or -EPROTONOSUPPORT: made by a newer program. */
int super_decode(struct lsm_slice v, struct superblock *sb);
/* 0, LSM_NOTFOUND, or an error of lsm_get() or super_decode(). */
int super_read(struct lsm_db *db, struct superblock *sb);

/*
 * Fills *sb from options; -EINVAL when they make no sense.
 */
int super_from_options(const struct fs_mkfs_options *options,
		       struct superblock *sb);
/*
 * Makes the filesystem sb in an open store in one durable batch: superblock,
 * root directory, watermark, usage. With wipe everything else in the store is
 * deleted by the same batch.
 */
int super_make(struct lsm_db *db, const struct superblock *sb, uid_t uid,
	       gid_t gid, bool wipe);
/* Whether the store holds no key at all: 1, 0 or an error. */
int super_store_empty(struct lsm_db *db);

#endif
