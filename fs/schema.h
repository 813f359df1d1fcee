/* SPDX-License-Identifier: MIT */
/*
 * schema.h - how the filesystem's objects become keys and records.
 *
 * Every key starts with an inode number, big-endian, so that memcmp order is
 * the logical order and everything of one inode is one range [ino, ino + 1):
 *
 *     ino(8) type(1) rest            record
 *     ------------------------------ -------------------------------------
 *     0      0x01                    superblock
 *     0      0x02                    inode watermark: numbers below it may
 *                                    have been used, never used are those
 *                                    from it on
 *     0      0x03    shard(1)        usage of the inodes with
 *                                    ino % USAGE_SHARDS == shard
 *     0      0x04    ino(8)          orphan: an inode without a name
 *     0      0x05    name            snapshot name (reserved)
 *     0      0x06    ino(8)          uncounted: inode.blocks may be too large
 *
 *     ino    0x00                    inode
 *     ino    0x08                    target of a symbolic link, bare bytes
 *     ino    0x10    name            extended attribute, bare bytes
 *     ino    0x20    name            entry by name:   ino, type, cookie
 *     ino    0x30    cookie(8)       entry by cookie: ino, type, name
 *     ino    0x40    block(8)        file data, bare bytes, 1 to block_bytes
 *
 * Records other than bare bytes start with version(1) length(2), little-endian
 * like all their numbers; length counts the fixed fields that follow, then
 * comes the variable part (a name) if there is one:
 *
 *     version length | fixed fields ...                | name
 *     1       2      | length bytes                    | the rest
 *
 * A reader takes the fields it knows and skips the others, so fields can be
 * added at the end (an older program would drop them on the next write: a
 * feature bit of the superblock must say so); another version means another
 * layout and is refused.
 *
 *     inode       mode4 uid4 gid4 nlink4 rdev8 size8 blocks8 flags4
 *                 generation8 atime12 mtime12 ctime12 btime12
 *                 directories only: next_cookie8 parent8 entries8
 *                 a time is seconds(8, signed) nanoseconds(4): 64 bits of
 *                 nanoseconds end in 2262, and utimensat() may ask for more
 *     by name     ino8 cookie8 type1
 *     by cookie   ino8 type1 | name
 *     usage       blocks8 (512-byte units) inodes8
 *     watermark   next8
 *     orphan      (no fields)
 *     uncounted   (no fields)
 *     superblock  see super.h
 *
 * What always holds:
 *   - an entry's two records agree; its cookie is above 2 and below the
 *     directory's next_cookie; cookies are never used twice
 *   - no block lies at or behind the end of its file, also no byte of the
 *     last one: making a file longer therefore reveals zeros
 *   - inode.blocks is the number of 0x40 keys (with an uncounted key: at
 *     least that), inode.entries of 0x20 keys, a directory's nlink is 2 + its
 *     subdirectories
 *   - an inode with nlink 0 has an orphan key and is not in the usage
 *
 * Pure functions, any thread. Decoders trust nothing: 0 or -EUCLEAN.
 */
#ifndef FS_SCHEMA_H
#define FS_SCHEMA_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/fs.h"
#include "lsm/base/buf.h"

#define USAGE_SHARDS  64
#define INO_MAX       (((uint64_t)1 << 48) - 1) /* above: snapshots */
#define COOKIE_DOT    1
#define COOKIE_DOTDOT 2
#define COOKIE_FIRST  3
#define COOKIE_MAX    ((uint64_t)INT64_MAX)
#define RECORD_MAX    512 /* of every record but superblock and bytes */
#define KEY_BYTES_MAX (9 + 255)
#define KEY_PREFIX    9 /* ino and type */

enum key_type {
	KEY_GLOBAL_SUPER = 0x01,
	KEY_GLOBAL_WATERMARK = 0x02,
	KEY_GLOBAL_USAGE = 0x03,
	KEY_GLOBAL_ORPHAN = 0x04,
	KEY_GLOBAL_SNAPSHOT = 0x05,
	KEY_GLOBAL_UNCOUNTED = 0x06,

	KEY_INODE = 0x00,
	KEY_SYMLINK = 0x08,
	KEY_XATTR = 0x10,
	KEY_ENTRY_NAME = 0x20,
	KEY_ENTRY_COOKIE = 0x30,
	KEY_BLOCK = 0x40,
};

/* Storage of one key; the functions below fill it and return it as a slice
 * that points into it. */
struct key {
	uint8_t data[KEY_BYTES_MAX];
};

struct lsm_slice key_global(struct key *k, enum key_type type);
struct lsm_slice key_usage(struct key *k, unsigned shard);
struct lsm_slice key_orphan(struct key *k, uint64_t ino);
struct lsm_slice key_uncounted(struct key *k, uint64_t ino);
/* ino and type alone: an inode record, a symlink, or where a range starts. */
struct lsm_slice key_ino(struct key *k, uint64_t ino, unsigned type);
/* Before all keys of ino. */
struct lsm_slice key_ino_start(struct key *k, uint64_t ino);
/* xattr or entry by name; name of 1 to 255 bytes. */
struct lsm_slice key_name(struct key *k, uint64_t ino, enum key_type type,
			  struct lsm_slice name);
struct lsm_slice key_cookie(struct key *k, uint64_t ino, uint64_t cookie);
struct lsm_slice key_block(struct key *k, uint64_t ino, uint64_t block);

/* A key taken apart. rest points into the key. */
struct key_parts {
	uint64_t ino;
	unsigned type;
	struct lsm_slice rest;
	uint64_t number; /* cookie, block, ino of a global key, shard */
};
int key_decode(struct lsm_slice key, struct key_parts *out);

/*
 * The value an iterator stands at. It may have to be read from a file of its
 * own, so this can fail: 0 or what lsm_iter_error() says.
 */
static inline int iter_value(const struct lsm_iter *it, struct lsm_slice *value)
{
	*value = lsm_iter_value(it);
	return lsm_iter_error(it);
}

/* ---- records ---- */

enum inode_flags {
	INODE_XATTRS = 1,      /* there may be extended attributes */
	INODE_ACL_ACCESS = 2,  /* there is system.posix_acl_access */
	INODE_ACL_DEFAULT = 4, /* there is system.posix_acl_default */
	INODE_CAPABILITY = 8,  /* there is security.capability */
};

struct inode_rec {
	uint32_t mode, uid, gid, nlink;
	uint64_t rdev;
	uint64_t size;   /* 0 for directories */
	uint64_t blocks; /* stored blocks, each of block_bytes */
	uint32_t flags;  /* enum inode_flags */
	uint64_t generation;
	struct timespec atime, mtime, ctime, btime;
	/* directories */
	uint64_t next_cookie, parent, entries;
};

/* Writes at most RECORD_MAX bytes to out and returns their number. */
size_t inode_rec_encode(const struct inode_rec *r, uint8_t *out);
int inode_rec_decode(struct lsm_slice v, struct inode_rec *r);

struct entry_rec {
	uint64_t ino;
	uint64_t cookie;       /* by cookie: not in the record, see the key */
	uint8_t type;          /* DT_DIR and so on */
	struct lsm_slice name; /* by cookie only; points into the value */
};
size_t entry_name_encode(const struct entry_rec *r, uint8_t *out);
int entry_name_decode(struct lsm_slice v, struct entry_rec *r);
size_t entry_cookie_encode(const struct entry_rec *r, uint8_t *out);
int entry_cookie_decode(struct lsm_slice v, struct entry_rec *r);

struct usage_rec {
	uint64_t blocks; /* of 512 bytes */
	uint64_t inodes;
};
size_t usage_rec_encode(const struct usage_rec *r, uint8_t *out);
int usage_rec_decode(struct lsm_slice v, struct usage_rec *r);

size_t watermark_encode(uint64_t next, uint8_t *out);
int watermark_decode(struct lsm_slice v, uint64_t *next);
size_t orphan_encode(uint8_t *out);
size_t uncounted_encode(uint8_t *out);

/* For records kept elsewhere (super.c): the head of a record, and what it says
 * about v: the fixed part of at least min bytes, and the rest. */
void record_head(uint8_t *out, unsigned version, size_t length);
int record_open(struct lsm_slice v, unsigned version, size_t min,
		struct lsm_slice *fixed, struct lsm_slice *rest);
#define RECORD_HEAD 3

/* Names of types, for text. "file", "directory", ... */
const char *mode_to_text(uint32_t mode);
/* DT_ of a mode, and the S_IF of a DT_. */
uint8_t mode_to_dt(uint32_t mode);
uint32_t dt_to_mode(uint8_t dt);

/* Appends; 0 or -ENOMEM. */
int inode_rec_to_text(const struct inode_rec *r, struct buf *out);

/* 0, -EINVAL (empty, or with a slash) or -ENAMETOOLONG. "." and ".." are names
 * here. *out points to name. */
int name_check(const char *name, struct lsm_slice *out);
static inline bool name_is_dot(struct lsm_slice name)
{
	const char *p = name.data;

	return p[0] == '.' && (name.len == 1 || (name.len == 2 && p[1] == '.'));
}

#endif
