/* SPDX-License-Identifier: MIT */
/*
 * block.c - searching blocks and walking them backward; the format is in
 * block.h.
 *
 * The bytes come from disk. Whatever they say, nothing outside the block is
 * read; an entry that cannot be decoded is -EUCLEAN.
 */
#include "lsm/table/block.h"

#include <stdlib.h>

#define PREFETCH_RESTARTS 8
/* How much of an interval is asked from memory before it is walked. */
#define PREFETCH_BYTES 1024
/* The same for the interval before the one that is walked backward. */
#define PREFETCH_BACK 2048
/* The common beginning of two keys is copied in one piece of fixed size up to
 * that. */
#define BACK_COPY 32

static inline uint32_t restart_offset(const struct block *b, uint32_t i)
{
	return get_le32(b->data - 4 * (size_t)(b->restart_count - i));
}

/* Order of the complete key at a restart against the wanted (key, tag), of
 * which prefix is slice_prefix(key). */
static inline int restart_cmp(const struct block_entry *e, struct lsm_slice key,
			      uint64_t prefix, uint64_t tag)
{
	if (e->unshared >= 8 && key.len >= 8) {
		uint64_t p = get_be64(e->key);

		if (p != prefix)
			return p < prefix ? -1 : 1;
	}
	return entry_cmp(lsm_slice(e->key, e->unshared),
			 get_le64(e->key + e->unshared), key, tag);
}

/* Only a hint: an offset from disk may point anywhere. */
static inline void prefetch(const struct block *b, uint32_t offset)
{
	__builtin_prefetch(b->data + offset);
}

static inline void prefetch_range(const struct block *b, uint32_t from,
				  uint32_t to)
{
	if (to - from > PREFETCH_BACK)
		from = to - PREFETCH_BACK;
	for (; from < to; from += 64)
		prefetch(b, from);
}

/* *at: the last restart whose entry lies before (key, tag), or the first. */
static int find_restart(const struct block *b, struct lsm_slice key,
			uint64_t tag, uint32_t *at)
{
	uint64_t prefix = slice_prefix(key);
	uint32_t lo = 0, hi = b->restart_count;

	/* The keys at few restarts are asked from memory all at once: one
	 * wait instead of one for each halving. */
	if (hi <= PREFETCH_RESTARTS) {
		uint32_t i;

		for (i = 1; i < hi; i++)
			prefetch(b, restart_offset(b, i));
	}
	/* restart lo lies before the wish or is 0; restart hi does not */
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		uint32_t off = restart_offset(b, mid);
		struct block_entry e;

		if (off >= b->limit ||
		    !block_entry_decode(b->data + off, b->data + b->limit,
					&e) ||
		    e.shared)
			return -EUCLEAN;
		if (restart_cmp(&e, key, prefix, tag) < 0)
			lo = mid;
		else
			hi = mid;
	}
	*at = lo;
	return 0;
}

int block_lookup(const struct block *b, struct lsm_slice key, uint64_t tag,
		 uint64_t *found_tag, struct lsm_slice *value)
{
	const uint8_t *want = key.data, *end = b->data + b->limit;
	const uint8_t *p, *next;
	uint32_t restart, off, ahead;
	size_t matched = 0;

	if (!b->restart_count)
		return 0;
	if (find_restart(b, key, tag, &restart))
		return -EUCLEAN;
	off = restart_offset(b, restart);
	if (off >= b->limit)
		return -EUCLEAN;
	for (ahead = 64; ahead < PREFETCH_BYTES; ahead += 64)
		prefetch(b, off + ahead);
	/*
	 * No key is put together. Every entry walked over lies before the
	 * wanted key and agrees with it in `matched` bytes. One that shares
	 * more with its predecessor differs from the wanted key just where
	 * the predecessor did; any other is compared from where it departs.
	 */
	for (p = b->data + off; p < end; p = next) {
		struct block_entry e;
		size_t n, m, len;
		uint64_t t;

		next = block_entry_decode(p, end, &e);
		if (!next)
			return -EUCLEAN;
		if (e.shared > matched)
			continue;
		n = key.len - e.shared;
		if (n > e.unshared)
			n = e.unshared;
		m = bytes_common(e.key, want + e.shared, n);
		matched = e.shared + m;
		if (m < n) {
			if (e.key[m] > want[matched])
				return 0;
			continue;
		}
		len = (size_t)e.shared + e.unshared;
		if (len > key.len)
			return 0;
		if (len < key.len)
			continue;
		t = get_le64(e.key + e.unshared);
		if (t > tag)
			continue;
		*found_tag = t;
		*value = lsm_slice(e.key + e.unshared + 8, e.value_len);
		return 1;
	}
	return 0;
}

void block_cursor_release(struct block_cursor *c)
{
	free(c->back);
	buf_release(&c->back_keys);
	c->back = NULL;
	c->back_cap = 0;
	c->back_valid = false;
}

int block_cursor_seek(struct block_cursor *c, struct lsm_slice key,
		      uint64_t tag)
{
	uint32_t restart, off;
	int r;

	c->back_valid = false;
	c->key_at = c->key;
	if (!c->b.restart_count)
		return 0;
	if (find_restart(&c->b, key, tag, &restart))
		return -EUCLEAN;
	off = restart_offset(&c->b, restart);
	if (off >= c->b.limit)
		return -EUCLEAN;
	c->key_len = 0;
	r = block_cursor_load(c, c->b.data + off);
	while (r > 0 && entry_cmp(block_cursor_key(c), c->tag, key, tag) < 0)
		r = block_cursor_load(c, c->next);
	return r;
}

void block_cursor_turn(struct block_cursor *c)
{
	memcpy(c->key, c->key_at, c->key_len);
	c->key_at = c->key;
	c->back_valid = false;
}

/* Room for one more entry, and for a key of the greatest length and what copies
 * of fixed size reach beyond it. */
static int back_room(struct block_cursor *c)
{
	struct block_back *e;
	size_t cap;

	if (c->back_keys.len > UINT32_MAX - LSM_KEY_MAX)
		return -EUCLEAN; /* no writer makes intervals this long */
	if (c->back_count < c->back_cap)
		return buf_reserve(&c->back_keys, LSM_KEY_MAX + BACK_COPY);
	cap = c->back_cap ? 2 * c->back_cap : 32;
	e = realloc(c->back, cap * sizeof(*e));
	if (!e)
		return -ENOMEM;
	c->back = e;
	c->back_cap = cap;
	return buf_reserve(&c->back_keys, LSM_KEY_MAX + BACK_COPY);
}

/* Puts key together behind the one before, of which it has the first bytes. */
static void back_key(struct block_cursor *c, const struct block_entry *e,
		     uint32_t before)
{
	uint8_t *to = c->back_keys.data + c->back_keys.len;
	const uint8_t *from = c->back_keys.data + before;

	if (e->shared <= BACK_COPY)
		memmove(to, from, BACK_COPY);
	else
		memcpy(to, from, e->shared);
	if (e->unshared <= 16)
		memcpy(to + e->shared, e->key, 16);
	else
		memcpy(to + e->shared, e->key, e->unshared);
	c->back_keys.len += e->shared + e->unshared;
}

/* Decodes one entry; the start of the next one, or NULL and *err. */
static const uint8_t *back_push(struct block_cursor *c, const uint8_t *p,
				const uint8_t *end, int *err)
{
	const struct block_back *last =
		c->back_count ? &c->back[c->back_count - 1] : NULL;
	uint32_t before = last ? last->key_offset : 0;
	uint32_t before_len = last ? last->key_len : 0;
	const uint8_t *next;
	struct block_entry d;
	struct block_back *e;

	next = block_entry_decode(p, end, &d);
	if (!next || d.shared > before_len ||
	    (uint64_t)d.shared + d.unshared > LSM_KEY_MAX) {
		*err = -EUCLEAN;
		return NULL;
	}
	*err = back_room(c);
	if (*err)
		return NULL;
	e = &c->back[c->back_count];
	e->entry = p;
	e->next = next;
	e->tag = get_le64(d.key + d.unshared);
	e->value = d.key + d.unshared + 8;
	e->value_len = d.value_len;
	e->key_offset = (uint32_t)c->back_keys.len;
	e->key_len = d.shared + d.unshared;
	/* of the first one the key before is not known */
	e->newest = c->back_count++ && (d.unshared || d.shared != before_len);
	back_key(c, &d, before);
	return next;
}

static int back_show(struct block_cursor *c)
{
	const struct block_back *e = &c->back[c->back_at];

	c->entry = e->entry;
	c->next = e->next;
	c->tag = e->tag;
	c->value = lsm_slice(e->value, e->value_len);
	c->key_at = c->back_keys.data + e->key_offset;
	c->key_len = e->key_len;
	c->newest = e->newest;
	return 1;
}

/* Decodes the entries from a restart up to the offset stop, and stays on the
 * last of them. */
static int back_load(struct block_cursor *c, uint32_t restart, uint32_t stop)
{
	uint32_t off = restart_offset(&c->b, restart);
	const uint8_t *p = c->b.data + off, *end = c->b.data + stop;
	int err = 0;

	c->back_valid = false;
	c->key_at = c->key;
	c->key_len = 0;
	c->back_count = 0;
	buf_clear(&c->back_keys);
	if (off >= stop || stop > c->b.limit)
		return -EUCLEAN;
	/* The processor does not expect that we go down from here. */
	if (restart)
		prefetch_range(&c->b, restart_offset(&c->b, restart - 1), off);
	while (p != end) {
		p = back_push(c, p, end, &err);
		if (!p)
			return err;
	}
	c->back_valid = true;
	c->back_restart = restart;
	c->back_at = c->back_count - 1;
	return back_show(c);
}

int block_cursor_last(struct block_cursor *c)
{
	if (!c->b.restart_count)
		return 0;
	return back_load(c, c->b.restart_count - 1, c->b.limit);
}

int block_cursor_prev(struct block_cursor *c)
{
	uint32_t at = (uint32_t)(c->entry - c->b.data);
	uint32_t lo = 0, hi = c->b.restart_count;

	if (c->back_valid && c->back_at > 0) {
		c->back_at--;
		return back_show(c);
	}
	if (!at)
		return 0;
	if (c->back_valid) {
		if (!c->back_restart)
			return 0;
		return back_load(c, c->back_restart - 1, at);
	}
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (restart_offset(&c->b, mid) < at)
			lo = mid;
		else
			hi = mid;
	}
	return back_load(c, lo, at);
}
