/* SPDX-License-Identifier: MIT */
/*
 * block.h - a block: sorted entries with delta-encoded keys. Private to
 * lsm/table/.
 *
 *   block  head u32 | restart u32... | entry... | zero u64
 *   head   number of restarts (low 24 bits) | feature bits (high 8)
 *   entry  varint shared | varint unshared | varint value length
 *          | unshared key bytes | tag u64 | value
 *
 * shared is how many bytes of the key before are kept. It is 0 at a restart,
 * whose offset from the first entry the restart array holds, so that a search
 * can halve the block at restarts and then walk one interval. The array lies in
 * front, next to what finding the block has just touched, because at the end of
 * the block it would be one more wait for memory. The tag is fixed-width: it is
 * compared and handed on far more often than stored, and LZ4 takes most of its
 * zero bytes. Feature bits announce what a later format may put between the
 * restarts and the entries (a hash index); none exist yet.
 *
 * Why loads need so few checks: behind a key's last byte there are always at
 * least 8 (tag) + 8 (the zero bytes) more bytes of the block.
 *
 * Blocks are immutable; a cursor belongs to one thread.
 */
#ifndef LSM_TABLE_BLOCK_H
#define LSM_TABLE_BLOCK_H

#include <errno.h>

#include "lsm/base/buf.h"
#include "lsm/base/coding.h"
#include "lsm/base/slice.h"

#define BLOCK_ENTRY_MIN    11 /* three one-byte varints and a tag */
#define BLOCK_OVERHEAD     12 /* head and zero bytes */
#define BLOCK_RESTARTS_MAX ((1u << 24) - 1)

/* ---- building -------------------------------------------------------------
 */

/* Starts zeroed but for restart_interval; ends with release. The last key is
 * kept over clear, so that order is checked from block to block. */
struct block_builder {
	uint32_t restart_interval;
	uint32_t since_restart;
	uint32_t count;     /* entries of this block */
	struct buf buf;     /* entries so far */
	struct buf restart; /* u32 offsets */
	struct buf last_key;
	uint64_t last_tag;
	bool has_last;
};

void block_builder_release(struct block_builder *b);
void block_builder_clear(struct block_builder *b);
/* 0, -ENOMEM, or -EINVAL when the entry does not come after the last one. */
int block_builder_add(struct block_builder *b, struct lsm_slice key,
		      uint64_t tag, struct lsm_slice value);
/* Bytes if finished now. */
static inline size_t block_builder_bytes(const struct block_builder *b)
{
	return b->buf.len + b->restart.len + BLOCK_OVERHEAD;
}
/* Puts the restarts in front: b->buf is then the block. */
int block_builder_finish(struct block_builder *b);

/* ---- reading --------------------------------------------------------------
 */

struct block {
	const uint8_t *data; /* the first entry; the restarts lie before it */
	uint32_t limit;      /* bytes of entries */
	uint32_t restart_count;
};

/* False when data is no block. */
static inline bool block_init(struct block *b, const void *data, size_t len)
{
	uint32_t n;

	if (len < BLOCK_OVERHEAD || len > UINT32_MAX)
		return false;
	n = get_le32(data);
	if (n > BLOCK_RESTARTS_MAX || BLOCK_OVERHEAD + 4 * (size_t)n > len)
		return false;
	b->data = (const uint8_t *)data + 4 + 4 * (size_t)n;
	b->limit = (uint32_t)(len - BLOCK_OVERHEAD - 4 * (size_t)n);
	b->restart_count = n;
	return (n == 0) == (b->limit == 0);
}

struct block_entry {
	uint32_t shared, unshared, value_len;
	const uint8_t *key; /* unshared bytes, then tag, then value */
};

/* The start of the next entry, or NULL when there is no entry at p. */
static inline const uint8_t *
block_entry_decode(const uint8_t *p, const uint8_t *end, struct block_entry *e)
{
	if (end - p < BLOCK_ENTRY_MIN)
		return NULL;
	if (!((p[0] | p[1] | p[2]) & 0x80)) {
		e->shared = p[0];
		e->unshared = p[1];
		e->value_len = p[2];
		p += 3;
	} else {
		p = get_varint32(p, end, &e->shared);
		if (p)
			p = get_varint32(p, end, &e->unshared);
		if (p)
			p = get_varint32(p, end, &e->value_len);
		if (!p)
			return NULL;
	}
	if ((uint64_t)e->unshared + 8 + e->value_len > (uint64_t)(end - p))
		return NULL;
	e->key = p;
	return p + e->unshared + 8 + e->value_len;
}

/*
 * The newest version of key with a tag <= tag. 1 and *found_tag, *value; 0 when
 * the block has none; -EUCLEAN. Allocates nothing.
 */
int block_lookup(const struct block *b, struct lsm_slice key, uint64_t tag,
		 uint64_t *found_tag, struct lsm_slice *value);

/* One entry of the restart interval that a backward walk is in. */
struct block_back {
	const uint8_t *entry, *next, *value;
	uint64_t tag;
	uint32_t key_offset, key_len, value_len;
	bool newest;
};

/* Keys up to that need no memory of their own. */
#define BLOCK_CURSOR_KEY 240

/*
 * A position in a block. Start with block_cursor_set(); all moves return 1 (on
 * an entry), 0 (off the end; the cursor is then nowhere) or a negative error
 * (-EUCLEAN, -ENOMEM). Not to be copied.
 */
struct block_cursor {
	struct block b;
	const uint8_t *entry, *next; /* NULL, NULL: nowhere */
	uint64_t tag;
	struct lsm_slice value;
	const uint8_t *key_at; /* in key, or in back_keys */
	uint32_t key_len, key_cap;
	uint8_t *key; /* short_key, or memory; NULL before the first block */
	/* The entry before has another key. After block_cursor_next(): exactly;
	 * after block_cursor_prev(): at least if it says so. */
	bool newest;
	/* For walking backward: the interval that begins at back_restart,
	 * decoded; the cursor is on back[back_at]. */
	bool back_valid;
	uint32_t back_restart;
	size_t back_at, back_count, back_cap;
	struct block_back *back;
	struct buf back_keys;
	/* with room for copies of 16 bytes at a time, as key has */
	uint8_t short_key[BLOCK_CURSOR_KEY + 16];
};

/* Without *b: nowhere. The cursor's memory is kept for the next block; it was
 * zeroed before its first use. */
static inline void block_cursor_set(struct block_cursor *c,
				    const struct block *b)
{
	c->b = *b;
	c->entry = c->next = NULL;
	c->back_valid = false;
	if (!c->key) {
		c->key = c->short_key;
		c->key_cap = BLOCK_CURSOR_KEY;
	}
	c->key_at = c->key;
}
void block_cursor_release(struct block_cursor *c);
/* Room for a key of len bytes, more than there is. 0, -ENOMEM, or -EUCLEAN when
 * no key is that long. */
int block_cursor_grow(struct block_cursor *c, uint64_t len);

/* Decodes the entry at p, given that c->key holds the key before it. */
static inline __attribute__((always_inline)) int
block_cursor_load(struct block_cursor *c, const uint8_t *p)
{
	const uint8_t *end = c->b.data + c->b.limit;
	struct block_entry e;
	const uint8_t *next;

	if (p == end)
		return 0;
	next = block_entry_decode(p, end, &e);
	if (!next || e.shared > c->key_len)
		return -EUCLEAN;
	if (__builtin_expect((uint64_t)e.shared + e.unshared > c->key_cap, 0)) {
		int err = block_cursor_grow(c, (uint64_t)e.shared + e.unshared);

		if (err)
			return err;
	}
	/* Of equal keys the second is all shared, or stands at a restart. */
	c->newest = e.shared + e.unshared != c->key_len ||
		    (e.unshared &&
		     (e.shared || memcmp(c->key, e.key, e.unshared) != 0));
	if (e.unshared <= 16)
		memcpy(c->key + e.shared, e.key, 16);
	else
		memcpy(c->key + e.shared, e.key, e.unshared);
	c->key_len = e.shared + e.unshared;
	c->tag = get_le64(e.key + e.unshared);
	c->value = lsm_slice(e.key + e.unshared + 8, e.value_len);
	c->entry = p;
	c->next = next;
	return 1;
}

/* Turns from walking backward to walking forward. 0 or -ENOMEM. */
int block_cursor_turn(struct block_cursor *c);

static inline int block_cursor_next(struct block_cursor *c)
{
	if (__builtin_expect(c->back_valid, 0)) {
		int err = block_cursor_turn(c);

		if (err)
			return err;
	}
	return block_cursor_load(c, c->next);
}

static inline int block_cursor_first(struct block_cursor *c)
{
	c->back_valid = false;
	c->key_at = c->key;
	c->key_len = 0;
	return block_cursor_load(c, c->b.data);
}

/* The same for a walk that comes from the last entry of the block before, which
 * the cursor was on: newest is as after block_cursor_next(). */
static inline int block_cursor_enter(struct block_cursor *c)
{
	/* an entry that leans on none must come first */
	if (c->b.limit && c->b.data[0])
		return -EUCLEAN;
	return block_cursor_load(c, c->b.data);
}

int block_cursor_last(struct block_cursor *c);
int block_cursor_prev(struct block_cursor *c);
/* The first entry >= (key, tag). */
int block_cursor_seek(struct block_cursor *c, struct lsm_slice key,
		      uint64_t tag);

static inline struct lsm_slice block_cursor_key(const struct block_cursor *c)
{
	return lsm_slice(c->key_at, c->key_len);
}

#endif
