/* SPDX-License-Identifier: MIT */
/*
 * sst_iter.c - walking a table; and checking one as a whole.
 *
 * An iterator stands in one block, which it holds in one of four ways:
 *   - a view (cache entry or map), when it may fill the cache;
 *   - the same, of a block that happened to be in the cache;
 *   - the same, of an entry that was read ahead, which is in the cache only
 *     when it may be filled;
 *   - a private buffer it reads, decompresses and throws away, when it must
 *     not fill the cache. Reads of a forward walk then become large chunks.
 *
 * Blocks that come from disk one after the other, in either direction, are
 * taken for a scan: then the coming ones are read ahead, if the caller wants
 * that, or announced to the disk.
 *
 * One thread at a time.
 */
#include "lsm/table/sst_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "lsm/table/sst_ahead.h"
#include "lsm/table/stored.h"

/* Private reads of a forward walk grow from the first to the second. */
#define CHUNK_MIN (16u << 10)
#define CHUNK_MAX (256u << 10)
/* How much of the next block is asked from memory while this one is walked. */
#define HINT_BYTES 2048
/* Blocks read one after the other before that is taken for a scan, when the
 * caller did not say. */
#define SEQUENTIAL_BLOCKS 4
/* The same for one that may read ahead beside. */
#define AHEAD_BLOCKS 2

struct sst_iter {
	struct iter base;
	struct sst_reader *r;
	bool fill_cache, readahead, verify, want_ahead;
	bool private; /* the block is in a buffer below, not in view */
	bool loaded;  /* there is a block, number `at` */
	bool mapped;  /* it lies in the map */
	bool nothing; /* the table has no point that is wanted: none is read */
	uint32_t at;
	struct sst_view view;
	/* sequential access */
	uint32_t last_read; /* block that came from disk last */
	uint32_t in_row;
	bool row_backward;
	uint32_t window;      /* bytes of the next chunk, or announced */
	uint64_t ahead_until; /* announced up to there */
	uint32_t ahead_window;
	struct lsm_slice lower, upper;
	struct sst_ahead ahead;
	/* private reads */
	uint8_t *chunk, *plain;
	size_t chunk_cap, plain_cap;
	uint64_t chunk_offset;
	size_t chunk_len;
	struct block_cursor c;
};

static inline struct sst_iter *sst_iter(struct iter *it)
{
	return (struct sst_iter *)it;
}

static void fail(struct sst_iter *it, int err)
{
	it->base.valid = false;
	it->base.err = err;
}

static int corrupt(struct sst_iter *it)
{
	if (it->mapped && sst_view_lost(it->r, &it->view))
		return -EIO;
	return sst_block_corrupt(it->r, it->r->index.entry[it->at].offset,
				 "entry cannot be decoded");
}

/* The cursor said err. */
static void fail_entry(struct sst_iter *it, int err)
{
	fail(it, err == -EUCLEAN ? corrupt(it) : err);
}

/* ---- blocks ---------------------------------------------------------------
 */

static void unload(struct sst_iter *it)
{
	if (it->loaded && !it->private)
		sst_view_put(it->r, &it->view);
	it->loaded = false;
	it->mapped = false;
}

static int grow(uint8_t **p, size_t *cap, size_t want)
{
	uint8_t *n;

	if (*cap >= want)
		return 0;
	n = malloc(want);
	if (!n)
		return -ENOMEM;
	free(*p);
	*p = n;
	*cap = want;
	return 0;
}

/* Notes that block i comes from disk; true when that looks like a scan. */
static bool is_sequential(struct sst_iter *it, uint32_t i)
{
	if (it->in_row && i == it->last_read + 1) {
		it->in_row = it->row_backward ? 2 : it->in_row + 1;
		it->row_backward = false;
	} else if (it->in_row && i + 1 == it->last_read) {
		it->in_row = it->row_backward ? it->in_row + 1 : 2;
		it->row_backward = true;
		it->ahead_until = 0;
	} else if (!it->in_row || i != it->last_read) {
		it->in_row = 1;
		it->window = 0;
		it->ahead_until = 0;
	}
	it->last_read = i;
	if (it->row_backward)
		return false; /* chunks and announcements lead forward */
	return it->readahead || it->in_row >= SEQUENTIAL_BLOCKS;
}

static bool ahead_pays(const struct sst_iter *it)
{
	const struct sst_reader *r = it->r;

	/* What lies in the map need not be copied out of it. */
	return r->ahead && !(it->fill_cache && r->map &&
			     r->props.raw_blocks > r->props.data_blocks / 2);
}

/* From block i on, in the direction of the row. */
static void start_ahead(struct sst_iter *it, uint32_t i)
{
	const struct sst_index *ix = &it->r->index;
	struct sst_ahead *a = &it->ahead;

	a->fill = it->fill_cache;
	a->verify = it->verify;
	a->backward = it->row_backward;
	a->first = 0;
	a->end = ix->count;
	if (a->backward && it->lower.len)
		a->first = sst_index_seek(ix, it->lower, UINT64_MAX);
	if (!a->backward && it->upper.len) {
		a->end = sst_index_seek(ix, it->upper, UINT64_MAX);
		a->end += a->end < ix->count;
	}
	sst_ahead_start(a, it->r, i, it->ahead_window);
}

/* Block i came from disk, and was noted by is_sequential(). */
static void consider_ahead(struct sst_iter *it, uint32_t i)
{
	if (it->want_ahead && it->in_row >= AHEAD_BLOCKS &&
	    !sst_ahead_is_on(&it->ahead))
		start_ahead(it, it->row_backward ? i - 1 : i + 1);
}

static void widen(struct sst_iter *it, uint32_t min, uint32_t max)
{
	it->window = it->window ? 2 * it->window : min;
	if (it->window > max)
		it->window = max;
}

static uint64_t data_end(const struct sst_iter *it)
{
	return it->r->props.data_bytes;
}

/* Makes the chunk hold the stored block and its trailer. */
static int read_chunk(struct sst_iter *it, uint32_t i,
		      const struct sst_handle *h)
{
	uint64_t need = (uint64_t)h->bytes + SST_TRAILER_BYTES, want = need;
	int err;

	if (h->offset >= it->chunk_offset &&
	    h->offset + need <= it->chunk_offset + it->chunk_len) {
		it->last_read = i;
		return 0;
	}
	if (is_sequential(it, i)) {
		widen(it, it->readahead ? CHUNK_MAX : CHUNK_MIN, CHUNK_MAX);
		if (want < it->window)
			want = it->window;
		if (want > data_end(it) - h->offset)
			want = data_end(it) - h->offset;
	}
	it->chunk_len = 0;
	err = grow(&it->chunk, &it->chunk_cap, want);
	if (err)
		return err;
	err = env_object_read(it->r->object, h->offset, it->chunk, want);
	if (err == -EUCLEAN)
		return sst_block_corrupt(it->r, h->offset,
					 "file ends inside a block");
	if (err)
		return err;
	it->chunk_offset = h->offset;
	it->chunk_len = want;
	consider_ahead(it, i);
	/* the disk works on the next one while we work on this */
	if (want > need && h->offset + want < data_end(it))
		env_object_prefetch(it->r->object, h->offset + want,
				    it->window);
	return 0;
}

static int load_private(struct sst_iter *it, uint32_t i, struct block *b)
{
	struct sst_reader *r = it->r;
	struct sst_handle h = sst_index_handle(&r->index, i);
	const uint8_t *stored, *lz4;
	uint32_t len = h.bytes;
	int err = read_chunk(it, i, &h);

	if (err)
		return err;
	stored = it->chunk + (h.offset - it->chunk_offset);
	err = sst_block_check(r, &h, stored, it->verify || r->verify);
	if (err)
		return err;
	if (h.type == SST_BLOCK_LZ4) {
		lz4 = sst_lz4_header(stored, h.bytes, &len);
		if (!lz4)
			return sst_block_corrupt(
				r, h.offset, "block has an impossible length");
		err = grow(&it->plain, &it->plain_cap, len);
		if (!err)
			err = sst_block_expand(r, &h, lz4, stored + h.bytes,
					       it->plain, len);
		if (err)
			return err;
		stored = it->plain;
	}
	if (!block_init(b, stored, len))
		return sst_block_corrupt(r, h.offset,
					 "block has an impossible head");
	it->private = true;
	return 0;
}

static void announce(struct sst_iter *it, uint32_t i)
{
	uint64_t from = it->r->index.entry[i + 1].offset;
	bool scan = is_sequential(it, i);

	if (it->in_row == 1 && !it->readahead)
		sst_view_missed(it->r, i);
	consider_ahead(it, i);
	if (!scan || sst_ahead_is_on(&it->ahead))
		return;
	if (from >= data_end(it) || it->ahead_until > from + it->window / 2)
		return;
	widen(it, AHEAD_MIN, AHEAD_MAX);
	if (from < it->ahead_until)
		from = it->ahead_until;
	env_object_prefetch(it->r->object, from, it->window);
	it->ahead_until = from + it->window;
}

static int load_view(struct sst_iter *it, uint32_t i, struct block *b)
{
	bool from_disk;
	int err = sst_view_get(it->r, i, it->verify, &it->view, &from_disk);

	if (err)
		return err;
	if (from_disk)
		announce(it, i);
	*b = it->view.block;
	it->private = false;
	it->mapped = !it->view.entry;
	return 0;
}

/* A block that is in the cache anyway serves a walk that must not fill it. */
static bool load_if_cached(struct sst_iter *it, uint32_t i, struct block *b)
{
	struct sst_handle h = sst_index_handle(&it->r->index, i);
	struct cache_entry *e =
		cache_get(it->r->cache, it->r->number, h.offset);

	if (!e)
		return false;
	if (!block_init(b, cache_data(e), stored_plain_len(e, h.type))) {
		cache_put(it->r->cache, e);
		return false;
	}
	it->view.entry = e;
	it->view.block = *b;
	it->private = false;
	return true;
}

static int load_ahead(struct sst_iter *it, uint32_t i, struct cache_entry *e,
		      struct block *b)
{
	int err = sst_view_entry(it->r, i, e, &it->view);

	if (err)
		return err;
	*b = it->view.block;
	it->private = false;
	return 0;
}

/* The block if it was read ahead, or NULL. */
static struct cache_entry *take_ahead(struct sst_iter *it, uint32_t i)
{
	if (it->ahead_window) {
		/* The walk comes from the table before or after this one. */
		it->row_backward = i != 0;
		start_ahead(it, i);
		it->ahead_window = 0;
	}
	return sst_ahead_is_on(&it->ahead) ? sst_ahead_take(&it->ahead, i)
					   : NULL;
}

/* The walk goes on with the block before or after block i, which is loaded. */
static void hint_next(struct sst_iter *it, uint32_t i, bool backward)
{
	struct sst_reader *r = it->r;
	uint32_t next = backward ? i - 1 : i + 1;
	uint32_t after = backward ? i - 2 : i + 2;
	size_t bytes, from = 0;

	if (!it->view.entry || next >= r->index.count)
		return;
	/* it is going to be about as long as this one */
	bytes = cache_bytes(it->view.entry);
	if (backward && bytes > HINT_BYTES)
		from = bytes - HINT_BYTES;
	cache_hint_read(r->cache, r->number, r->index.entry[next].offset, from,
			backward ? HINT_BYTES : HINT_BYTES / 4);
	if (after < r->index.count)
		cache_hint_find(r->cache, r->number,
				r->index.entry[after].offset);
}

static int load(struct sst_iter *it, uint32_t i)
{
	struct cache_entry *e;
	struct block b;
	int err = 0;

	if (it->loaded && it->at == i) {
		/* whoever positions anew decodes from a restart */
		return 0;
	}
	unload(it);
	e = take_ahead(it, i);
	if (e)
		err = load_ahead(it, i, e, &b);
	else if (it->fill_cache)
		err = load_view(it, i, &b);
	else if (it->readahead || it->verify || !load_if_cached(it, i, &b))
		err = load_private(it, i, &b);
	if (err)
		return err;
	it->loaded = true;
	it->at = i;
	block_cursor_set(&it->c, &b);
	return 0;
}

/* ---- moving ---------------------------------------------------------------
 */

static inline void show(struct sst_iter *it)
{
	it->base.key = block_cursor_key(&it->c);
	it->base.tag = it->c.tag;
	slice_copy(&it->base.value, &it->c.value);
	it->base.valid = true;
	if (__builtin_expect(it->mapped, 0) && sst_view_lost(it->r, &it->view))
		fail(it, -EIO);
}

/* Goes on with the first entry of block i or of one after it. on: the cursor
 * was on the entry before that. */
static void enter_forward(struct sst_iter *it, uint32_t i, bool on)
{
	int r;

	for (; i < it->r->index.count; i++) {
		r = load(it, i);
		if (r) {
			fail(it, r);
			return;
		}
		r = on ? block_cursor_enter(&it->c)
		       : block_cursor_first(&it->c);
		if (r > 0) {
			if (on && !it->private)
				hint_next(it, i, false);
			show(it);
			it->base.newest = on && it->c.newest;
			return;
		}
		if (r < 0) {
			fail_entry(it, r);
			return;
		}
	}
	it->base.valid = false;
}

/* The same with the last entry of block i - 1 or of one before it. */
static void enter_backward(struct sst_iter *it, uint32_t i)
{
	int r;

	while (i-- > 0) {
		r = load(it, i);
		if (r) {
			fail(it, r);
			return;
		}
		r = block_cursor_last(&it->c);
		if (r > 0) {
			if (!it->private)
				hint_next(it, i, true);
			show(it);
			it->base.newest = it->c.newest;
			return;
		}
		if (r < 0) {
			fail_entry(it, r);
			return;
		}
	}
	it->base.valid = false;
}

static void iter_next_op(struct iter *base)
{
	struct sst_iter *it = sst_iter(base);
	int r = block_cursor_next(&it->c);

	if (__builtin_expect(r > 0, 1)) {
		show(it);
		it->base.newest = it->c.newest;
	} else if (!r) {
		enter_forward(it, it->at + 1, true);
	} else {
		fail_entry(it, r);
	}
}

static void iter_prev_op(struct iter *base)
{
	struct sst_iter *it = sst_iter(base);
	int r = block_cursor_prev(&it->c);

	if (r > 0) {
		show(it);
		it->base.newest = it->c.newest;
	} else if (!r) {
		enter_backward(it, it->at);
	} else {
		fail_entry(it, r);
	}
}

static void iter_first_op(struct iter *base)
{
	base->err = 0;
	base->valid = false;
	if (!sst_iter(base)->nothing)
		enter_forward(sst_iter(base), 0, false);
}

static void iter_last_op(struct iter *base)
{
	base->err = 0;
	base->valid = false;
	if (!sst_iter(base)->nothing)
		enter_backward(sst_iter(base), sst_iter(base)->r->index.count);
}

static void iter_seek_op(struct iter *base, struct lsm_slice key, uint64_t tag)
{
	struct sst_iter *it = sst_iter(base);
	uint32_t i = sst_index_seek(&it->r->index, key, tag);
	int r;

	base->err = 0;
	base->valid = false;
	base->newest = false;
	if (it->nothing || i == it->r->index.count)
		return;
	r = load(it, i);
	if (r) {
		fail(it, r);
		return;
	}
	r = block_cursor_seek(&it->c, key, tag);
	if (r > 0)
		show(it);
	else if (!r)
		enter_forward(it, i + 1,
			      false); /* the index key was a longer way */
	else
		fail_entry(it, r);
}

static void iter_seek_for_prev_op(struct iter *base, struct lsm_slice key,
				  uint64_t tag)
{
	iter_seek_op(base, key, tag);
	if (base->err)
		return;
	if (!base->valid)
		iter_last_op(base);
	else if (base->tag != tag || !slice_eq(base->key, key))
		iter_prev_op(base);
}

/* What a compaction reads into counts in the cache's budget. */
static void charge_chunk(const struct sst_iter *it, int sign)
{
	if (it->readahead)
		cache_charge(it->r->cache, sign * (int64_t)CHUNK_MAX);
}

static void iter_free_op(struct iter *base)
{
	struct sst_iter *it = sst_iter(base);

	unload(it);
	sst_ahead_stop(&it->ahead);
	block_cursor_release(&it->c);
	charge_chunk(it, -1);
	free(it->chunk);
	free(it->plain);
	sst_reader_put(it->r);
	free(it);
}

static const struct iter_ops sst_iter_ops = {
	.seek = iter_seek_op,
	.seek_for_prev = iter_seek_for_prev_op,
	.first = iter_first_op,
	.last = iter_last_op,
	.next = iter_next_op,
	.prev = iter_prev_op,
	.free = iter_free_op,
};

struct iter *sst_reader_iter(struct sst_reader *r,
			     const struct sst_iter_options *o)
{
	struct sst_iter *it = malloc(sizeof(*it));

	if (!it)
		return NULL;
	/* all but the key buffer, which is the larger part */
	memset(it, 0, offsetof(struct sst_iter, c.short_key));
	it->base.ops = &sst_iter_ops;
	it->base.tells = true;
	it->r = r;
	it->fill_cache = o->fill_cache;
	it->readahead = o->readahead;
	it->verify = o->verify;
	it->want_ahead = o->ahead && ahead_pays(it);
	it->ahead_window = it->want_ahead ? o->ahead_window : 0;
	it->lower = o->lower;
	it->upper = o->upper;
	it->nothing = !sst_reader_may_hold(r, o->lower, o->upper);
	sst_reader_ref(r);
	charge_chunk(it, 1);
	return &it->base;
}

uint32_t sst_iter_window(const struct iter *base)
{
	const struct sst_iter *it = (const struct sst_iter *)base;

	assert(base->ops == &sst_iter_ops);
	return sst_ahead_is_on(&it->ahead) ? it->ahead.window : 0;
}
