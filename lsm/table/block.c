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

/* An entry that a search ended on. */
struct place {
	const uint8_t *at, *next;
	struct block_entry e;
	bool equal; /* its key is the wanted one */
};

/*
 * The first entry from off on that does not come before (key, tag). 1, 0 or
 * -EUCLEAN.
 *
 * No key is put together. Every entry walked over lies before the wanted one
 * and agrees with its key in `matched` bytes. One that shares more with its
 * predecessor differs from the wanted key just where the predecessor did; any
 * other is compared from where it departs. So the entry that is found has its
 * shared bytes in common with the wanted key.
 */
static inline int find_entry(const struct block *b, uint32_t off,
			     struct lsm_slice key, uint64_t tag,
			     struct place *at)
{
	const uint8_t *want = key.data, *end = b->data + b->limit;
	const uint8_t *p, *next;
	size_t matched = 0;

	for (p = b->data + off; p < end; p = next) {
		size_t n, m, len;
		struct block_entry e;

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
		at->equal = false;
		if (m < n) {
			if (e.key[m] < want[matched])
				continue;
		} else {
			len = (size_t)e.shared + e.unshared;
			if (len < key.len)
				continue;
			at->equal = len == key.len;
			if (at->equal && get_le64(e.key + e.unshared) > tag)
				continue;
		}
		at->at = p;
		at->next = next;
		at->e = e;
		return 1;
	}
	return 0;
}

/* Where the restart interval begins that (key, tag) lies in; it is asked from
 * memory. 1, 0 or -EUCLEAN. */
static inline int find_interval(const struct block *b, struct lsm_slice key,
				uint64_t tag, uint32_t *off)
{
	uint32_t restart, ahead;

	if (!b->restart_count)
		return 0;
	if (find_restart(b, key, tag, &restart))
		return -EUCLEAN;
	*off = restart_offset(b, restart);
	if (*off >= b->limit)
		return -EUCLEAN;
	for (ahead = 64; ahead < PREFETCH_BYTES; ahead += 64)
		prefetch(b, *off + ahead);
	return 1;
}

int block_lookup(const struct block *b, struct lsm_slice key, uint64_t tag,
		 uint64_t *found_tag, struct lsm_slice *value)
{
	struct place at;
	uint32_t off;
	int r = find_interval(b, key, tag, &off);

	if (r > 0)
		r = find_entry(b, off, key, tag, &at);
	if (r <= 0)
		return r;
	if (!at.equal)
		return 0;
	*found_tag = get_le64(at.e.key + at.e.unshared);
	*value = lsm_slice(at.e.key + at.e.unshared + 8, at.e.value_len);
	return 1;
}

void block_cursor_release(struct block_cursor *c)
{
	free(c->back);
	buf_release(&c->back_keys);
	c->back = NULL;
	c->back_cap = 0;
	c->back_valid = false;
	if (c->key != c->short_key)
		free(c->key);
	c->key = NULL;
}

int block_cursor_grow(struct block_cursor *c, uint64_t len)
{
	uint8_t *key;

	if (len > LSM_KEY_MAX)
		return -EUCLEAN;
	/* once for all */
	key = malloc(LSM_KEY_MAX + 16);
	if (!key)
		return -ENOMEM;
	memcpy(key, c->key, c->key_cap);
	if (c->key_at == c->key)
		c->key_at = key;
	c->key = key;
	c->key_cap = LSM_KEY_MAX;
	return 0;
}

int block_cursor_seek(struct block_cursor *c, struct lsm_slice key,
		      uint64_t tag)
{
	struct place at;
	uint32_t off;
	uint64_t len;
	int r;

	c->back_valid = false;
	c->key_at = c->key;
	c->entry = c->next = NULL;
	r = find_interval(&c->b, key, tag, &off);
	if (r > 0)
		r = find_entry(&c->b, off, key, tag, &at);
	if (r <= 0)
		return r;
	len = (uint64_t)at.e.shared + at.e.unshared;
	r = len > c->key_cap ? block_cursor_grow(c, len) : 0;
	if (r)
		return r;
	c->key_len = (uint32_t)len;
	memcpy(c->key, key.data, at.e.shared);
	memcpy(c->key + at.e.shared, at.e.key, at.e.unshared);
	c->tag = get_le64(at.e.key + at.e.unshared);
	c->value = lsm_slice(at.e.key + at.e.unshared + 8, at.e.value_len);
	c->entry = at.at;
	c->next = at.next;
	c->newest = false;
	return 1;
}

int block_cursor_turn(struct block_cursor *c)
{
	int err =
		c->key_len > c->key_cap ? block_cursor_grow(c, c->key_len) : 0;

	if (err)
		return err;
	memcpy(c->key, c->key_at, c->key_len);
	c->key_at = c->key;
	c->back_valid = false;
	return 0;
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
