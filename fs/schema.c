/* SPDX-License-Identifier: MIT */
/*
 * schema.c - encoding and decoding of keys and records; schema.h has the
 * drawing. Nothing else in fs/ knows an offset inside a key or a record.
 */
#include "fs/schema.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "lsm/base/coding.h"

#define INODE_VERSION      1
#define INODE_FIXED        100
#define INODE_FIXED_DIR    124
#define ENTRY_VERSION      1
#define ENTRY_NAME_FIXED   17
#define ENTRY_COOKIE_FIXED 9
#define USAGE_VERSION      1
#define USAGE_FIXED        16
#define WATERMARK_VERSION  1
#define WATERMARK_FIXED    8
#define ORPHAN_VERSION     1
#define UNCOUNTED_VERSION  1

/* ---- keys ---- */

struct lsm_slice key_ino(struct key *k, uint64_t ino, unsigned type)
{
	put_be64(k->data, ino);
	k->data[8] = (uint8_t)type;
	return lsm_slice(k->data, KEY_PREFIX);
}

struct lsm_slice key_ino_start(struct key *k, uint64_t ino)
{
	put_be64(k->data, ino);
	return lsm_slice(k->data, 8);
}

struct lsm_slice key_global(struct key *k, enum key_type type)
{
	return key_ino(k, 0, type);
}

struct lsm_slice key_usage(struct key *k, unsigned shard)
{
	key_ino(k, 0, KEY_GLOBAL_USAGE);
	k->data[9] = (uint8_t)shard;
	return lsm_slice(k->data, 10);
}

static struct lsm_slice key_number(struct key *k, uint64_t ino, unsigned type,
				   uint64_t number)
{
	key_ino(k, ino, type);
	put_be64(k->data + KEY_PREFIX, number);
	return lsm_slice(k->data, KEY_PREFIX + 8);
}

struct lsm_slice key_orphan(struct key *k, uint64_t ino)
{
	return key_number(k, 0, KEY_GLOBAL_ORPHAN, ino);
}

struct lsm_slice key_uncounted(struct key *k, uint64_t ino)
{
	return key_number(k, 0, KEY_GLOBAL_UNCOUNTED, ino);
}

struct lsm_slice key_cookie(struct key *k, uint64_t ino, uint64_t cookie)
{
	return key_number(k, ino, KEY_ENTRY_COOKIE, cookie);
}

struct lsm_slice key_block(struct key *k, uint64_t ino, uint64_t block)
{
	return key_number(k, ino, KEY_BLOCK, block);
}

struct lsm_slice key_name(struct key *k, uint64_t ino, enum key_type type,
			  struct lsm_slice name)
{
	key_ino(k, ino, type);
	memcpy(k->data + KEY_PREFIX, name.data, name.len);
	return lsm_slice(k->data, KEY_PREFIX + name.len);
}

int key_decode(struct lsm_slice key, struct key_parts *out)
{
	const uint8_t *p = key.data;
	size_t want; /* bytes of rest; SIZE_MAX: a name */

	if (key.len < KEY_PREFIX)
		return -EUCLEAN;
	out->ino = get_be64(p);
	out->type = p[8];
	out->rest = lsm_slice(p + KEY_PREFIX, key.len - KEY_PREFIX);
	out->number = 0;
	if (out->ino == 0) {
		switch (out->type) {
		case KEY_GLOBAL_SUPER:
		case KEY_GLOBAL_WATERMARK:
			want = 0;
			break;
		case KEY_GLOBAL_USAGE:
			want = 1;
			break;
		case KEY_GLOBAL_ORPHAN:
		case KEY_GLOBAL_UNCOUNTED:
			want = 8;
			break;
		case KEY_GLOBAL_SNAPSHOT:
			want = SIZE_MAX;
			break;
		default:
			return -EUCLEAN;
		}
	} else {
		switch (out->type) {
		case KEY_INODE:
		case KEY_SYMLINK:
			want = 0;
			break;
		case KEY_XATTR:
		case KEY_ENTRY_NAME:
			want = SIZE_MAX;
			break;
		case KEY_ENTRY_COOKIE:
		case KEY_BLOCK:
			want = 8;
			break;
		default:
			return -EUCLEAN;
		}
	}
	if (want == SIZE_MAX) {
		if (out->rest.len < 1 || out->rest.len > 255)
			return -EUCLEAN;
	} else if (out->rest.len != want) {
		return -EUCLEAN;
	}
	if (want == 8)
		out->number = get_be64(out->rest.data);
	else if (want == 1)
		out->number = p[KEY_PREFIX];
	return 0;
}

/* ---- record heads ---- */

void record_head(uint8_t *out, unsigned version, size_t length)
{
	out[0] = (uint8_t)version;
	put_le16(out + 1, (uint16_t)length);
}

int record_open(struct lsm_slice v, unsigned version, size_t min,
		struct lsm_slice *fixed, struct lsm_slice *rest)
{
	const uint8_t *p = v.data;
	size_t length;

	if (v.len < RECORD_HEAD || p[0] != version)
		return -EUCLEAN;
	length = get_le16(p + 1);
	if (length < min || length > v.len - RECORD_HEAD)
		return -EUCLEAN;
	*fixed = lsm_slice(p + RECORD_HEAD, length);
	*rest = lsm_slice(p + RECORD_HEAD + length,
			  v.len - RECORD_HEAD - length);
	return 0;
}

/* ---- inode ---- */

static uint8_t *put_time(uint8_t *p, struct timespec t)
{
	put_le64(p, (uint64_t)t.tv_sec);
	put_le32(p + 8, (uint32_t)t.tv_nsec);
	return p + 12;
}

static const uint8_t *get_time(const uint8_t *p, struct timespec *t, bool *ok)
{
	uint32_t nsec = get_le32(p + 8);

	t->tv_sec = (time_t)(int64_t)get_le64(p);
	t->tv_nsec = nsec;
	if (nsec >= 1000000000)
		*ok = false;
	return p + 12;
}

size_t inode_rec_encode(const struct inode_rec *r, uint8_t *out)
{
	uint8_t *p = out + RECORD_HEAD;

	put_le32(p, r->mode);
	put_le32(p + 4, r->uid);
	put_le32(p + 8, r->gid);
	put_le32(p + 12, r->nlink);
	put_le64(p + 16, r->rdev);
	put_le64(p + 24, r->size);
	put_le64(p + 32, r->blocks);
	put_le32(p + 40, r->flags);
	put_le64(p + 44, r->generation);
	p = put_time(p + 52, r->atime);
	p = put_time(p, r->mtime);
	p = put_time(p, r->ctime);
	p = put_time(p, r->btime);
	if (S_ISDIR(r->mode)) {
		put_le64(p, r->next_cookie);
		put_le64(p + 8, r->parent);
		put_le64(p + 16, r->entries);
		p += 24;
	}
	record_head(out, INODE_VERSION, (size_t)(p - out) - RECORD_HEAD);
	return (size_t)(p - out);
}

int inode_rec_decode(struct lsm_slice v, struct inode_rec *r)
{
	struct lsm_slice fixed, rest;
	const uint8_t *p;
	bool ok = true;

	if (record_open(v, INODE_VERSION, INODE_FIXED, &fixed, &rest) ||
	    rest.len != 0)
		return -EUCLEAN;
	p = fixed.data;
	memset(r, 0, sizeof(*r));
	r->mode = get_le32(p);
	r->uid = get_le32(p + 4);
	r->gid = get_le32(p + 8);
	r->nlink = get_le32(p + 12);
	r->rdev = get_le64(p + 16);
	r->size = get_le64(p + 24);
	r->blocks = get_le64(p + 32);
	r->flags = get_le32(p + 40);
	r->generation = get_le64(p + 44);
	p = get_time(p + 52, &r->atime, &ok);
	p = get_time(p, &r->mtime, &ok);
	p = get_time(p, &r->ctime, &ok);
	p = get_time(p, &r->btime, &ok);
	if (!ok || mode_to_dt(r->mode) == DT_UNKNOWN ||
	    (r->mode & ~(uint32_t)(S_IFMT | 07777)) ||
	    r->size > FS_FILE_BYTES_MAX || r->nlink > FS_LINK_MAX)
		return -EUCLEAN;
	if (!S_ISDIR(r->mode))
		return 0;
	if (fixed.len < INODE_FIXED_DIR)
		return -EUCLEAN;
	r->next_cookie = get_le64(p);
	r->parent = get_le64(p + 8);
	r->entries = get_le64(p + 16);
	if (r->next_cookie < COOKIE_FIRST || r->next_cookie > COOKIE_MAX ||
	    r->parent == 0 || r->parent > INO_MAX)
		return -EUCLEAN;
	return 0;
}

/* ---- directory entries ---- */

size_t entry_name_encode(const struct entry_rec *r, uint8_t *out)
{
	record_head(out, ENTRY_VERSION, ENTRY_NAME_FIXED);
	put_le64(out + RECORD_HEAD, r->ino);
	put_le64(out + RECORD_HEAD + 8, r->cookie);
	out[RECORD_HEAD + 16] = r->type;
	return RECORD_HEAD + ENTRY_NAME_FIXED;
}

static int entry_check(const struct entry_rec *r)
{
	return r->ino == 0 || r->ino > INO_MAX || !dt_to_mode(r->type)
		       ? -EUCLEAN
		       : 0;
}

int entry_name_decode(struct lsm_slice v, struct entry_rec *r)
{
	struct lsm_slice fixed, rest;
	const uint8_t *p;

	if (record_open(v, ENTRY_VERSION, ENTRY_NAME_FIXED, &fixed, &rest) ||
	    rest.len != 0)
		return -EUCLEAN;
	p = fixed.data;
	r->ino = get_le64(p);
	r->cookie = get_le64(p + 8);
	r->type = p[16];
	r->name = lsm_slice(NULL, 0);
	if (r->cookie < COOKIE_FIRST || r->cookie > COOKIE_MAX)
		return -EUCLEAN;
	return entry_check(r);
}

size_t entry_cookie_encode(const struct entry_rec *r, uint8_t *out)
{
	record_head(out, ENTRY_VERSION, ENTRY_COOKIE_FIXED);
	put_le64(out + RECORD_HEAD, r->ino);
	out[RECORD_HEAD + 8] = r->type;
	memcpy(out + RECORD_HEAD + 9, r->name.data, r->name.len);
	return RECORD_HEAD + 9 + r->name.len;
}

int entry_cookie_decode(struct lsm_slice v, struct entry_rec *r)
{
	struct lsm_slice fixed, rest;
	const uint8_t *p;

	if (record_open(v, ENTRY_VERSION, ENTRY_COOKIE_FIXED, &fixed, &rest))
		return -EUCLEAN;
	p = fixed.data;
	r->ino = get_le64(p);
	r->cookie = 0;
	r->type = p[8];
	r->name = rest;
	if (rest.len < 1 || rest.len > FS_NAME_MAX ||
	    memchr(rest.data, '/', rest.len) || memchr(rest.data, 0, rest.len))
		return -EUCLEAN;
	return entry_check(r);
}

/* ---- globals ---- */

size_t usage_rec_encode(const struct usage_rec *r, uint8_t *out)
{
	record_head(out, USAGE_VERSION, USAGE_FIXED);
	put_le64(out + RECORD_HEAD, r->blocks);
	put_le64(out + RECORD_HEAD + 8, r->inodes);
	return RECORD_HEAD + USAGE_FIXED;
}

int usage_rec_decode(struct lsm_slice v, struct usage_rec *r)
{
	struct lsm_slice fixed, rest;

	if (record_open(v, USAGE_VERSION, USAGE_FIXED, &fixed, &rest))
		return -EUCLEAN;
	r->blocks = get_le64(fixed.data);
	r->inodes = get_le64((const uint8_t *)fixed.data + 8);
	return 0;
}

size_t watermark_encode(uint64_t next, uint8_t *out)
{
	record_head(out, WATERMARK_VERSION, WATERMARK_FIXED);
	put_le64(out + RECORD_HEAD, next);
	return RECORD_HEAD + WATERMARK_FIXED;
}

int watermark_decode(struct lsm_slice v, uint64_t *next)
{
	struct lsm_slice fixed, rest;

	if (record_open(v, WATERMARK_VERSION, WATERMARK_FIXED, &fixed, &rest))
		return -EUCLEAN;
	*next = get_le64(fixed.data);
	return *next > FS_ROOT_INO ? 0 : -EUCLEAN;
}

size_t orphan_encode(uint8_t *out)
{
	record_head(out, ORPHAN_VERSION, 0);
	return RECORD_HEAD;
}

size_t uncounted_encode(uint8_t *out)
{
	record_head(out, UNCOUNTED_VERSION, 0);
	return RECORD_HEAD;
}

/* ---- types and names ---- */

uint8_t mode_to_dt(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return (uint8_t)IFTODT(mode);
	default:
		return DT_UNKNOWN;
	}
}

uint32_t dt_to_mode(uint8_t dt)
{
	uint32_t mode = DTTOIF((uint32_t)dt);

	return dt < 16 && mode_to_dt(mode) == dt ? mode : 0;
}

int name_check(const char *name, struct lsm_slice *out)
{
	size_t len = strnlen(name, FS_NAME_MAX + 1);

	if (len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len))
		return -EINVAL;
	*out = lsm_slice(name, len);
	return 0;
}
