/* SPDX-License-Identifier: MIT */
/*
 * slice.h - comparing and cutting struct lsm_slice, and the tag that orders
 * the versions of one key.
 *
 * A stored entry is a user key, a tag and a value. The tag is
 * sequence << 8 | kind. Entries are ordered by user key ascending, then by
 * tag DESCENDING: the newest version of a key comes first.
 */
#ifndef LSM_BASE_SLICE_H
#define LSM_BASE_SLICE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "lsm/base/coding.h"
#include "lsm/lsm.h"

enum entry_kind {
	KIND_DELETE = 0,
	KIND_PUT = 1,
	KIND_BLOB = 2,         /* the value is a handle into a blob file */
	KIND_RANGE_DELETE = 3, /* key: start, value: end (exclusive) */
	KIND_MAX = 3,
};

#define SEQ_MAX ((1ull << 56) - 1)

static inline uint64_t tag_make(uint64_t seq, enum entry_kind kind)
{
	return seq << 8 | (uint64_t)kind;
}

static inline uint64_t tag_seq(uint64_t tag)
{
	return tag >> 8;
}

static inline enum entry_kind tag_kind(uint64_t tag)
{
	return (enum entry_kind)(tag & 0xff);
}

/* The tag to seek with: every version of the key that snapshot seq can see
 * sorts at or after (key, tag_seek(seq)). */
static inline uint64_t tag_seek(uint64_t seq)
{
	return seq << 8 | 0xff;
}

static inline int slice_cmp(struct lsm_slice a, struct lsm_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	if (c)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool slice_eq(struct lsm_slice a, struct lsm_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

/* Internal order: see the top of this file. */
static inline int entry_cmp(struct lsm_slice ak, uint64_t at,
			    struct lsm_slice bk, uint64_t bt)
{
	int c = slice_cmp(ak, bk);

	if (c)
		return c;
	return at > bt ? -1 : at < bt;
}

/* The first 8 bytes of a key as a number that compares as the bytes do; a
 * shorter key is padded with zero bytes, so equal prefixes decide nothing. */
static inline uint64_t slice_prefix(struct lsm_slice k)
{
	uint64_t v = 0;

	memcpy(&v, k.data, k.len < 8 ? k.len : 8);
	return be64toh(v);
}

/* How many of the first max bytes of a and b are equal. */
static inline size_t bytes_common(const uint8_t *a, const uint8_t *b,
				  size_t max)
{
	size_t i = 0;

	while (i + 8 <= max) {
		uint64_t x = get_le64(a + i) ^ get_le64(b + i);

		if (x)
			return i + (size_t)(__builtin_ctzll(x) >> 3);
		i += 8;
	}
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* How n bytes compare with as many of key's first; 0: key begins with them. */
static inline int slice_cmp_head(const void *bytes, size_t n,
				 struct lsm_slice key)
{
	int c;

	if (!n)
		return 0;
	if (key.len >= n)
		return memcmp(bytes, key.data, n);
	c = key.len ? memcmp(bytes, key.data, key.len) : 0;
	return c ? c : 1;
}

/* What comes after the first n bytes, of which there are so many. */
/*
 * *to = *from, as two words. Compilers copy both at once, and a load of 16
 * bytes that were just stored as twice 8 has to wait until they are in the
 * first-level cache; in a scan that is a tenth of the time.
 */
static inline void slice_copy(struct lsm_slice *to,
			      const struct lsm_slice *from)
{
	const void *data = from->data;
	size_t len = from->len;

	__asm__("" : "+r"(data), "+r"(len));
	to->data = data;
	to->len = len;
}

static inline struct lsm_slice slice_skip(struct lsm_slice k, size_t n)
{
	return lsm_slice((const uint8_t *)k.data + n, k.len - n);
}

static inline struct lsm_slice slice_str(const char *s)
{
	return lsm_slice(s, strlen(s));
}

#endif
