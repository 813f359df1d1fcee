/* SPDX-License-Identifier: MIT */
/*
 * sst_index.c - building and searching a table's index in memory; see
 * sst_index.h.
 *
 * The index block comes from disk and is checked here as a whole (order,
 * handles without gaps), so that readers need not ask again.
 */
#include "lsm/table/sst_index.h"

#include <stdlib.h>

#include "lsm/base/key_numbers.h"

struct sizes {
	uint32_t count;
	uint64_t key_bytes; /* whole keys */
	bool tags;
	struct buf first, last;
};

/* First pass: what has to be allocated, and that the order is right. */
static int measure(struct block_cursor *c, struct sizes *s, const char **why)
{
	uint64_t last_tag = 0;
	int r, err;

	for (r = block_cursor_first(c); r > 0; r = block_cursor_next(c)) {
		struct lsm_slice key = block_cursor_key(c);

		if (s->count && entry_cmp(buf_slice(&s->last), last_tag, key,
					  c->tag) >= 0) {
			*why = "index keys are out of order";
			return -EUCLEAN;
		}
		if (!s->count) {
			err = buf_append(&s->first, key.data, key.len);
			if (err)
				return err;
		}
		buf_clear(&s->last);
		err = buf_append(&s->last, key.data, key.len);
		if (err)
			return err;
		last_tag = c->tag;
		s->count++;
		s->key_bytes += key.len;
		s->tags |= c->tag != 0;
	}
	if (r == -EUCLEAN)
		*why = "index entry cannot be decoded";
	return r;
}

/* Second pass. */
static int fill(struct sst_index *ix, struct block_cursor *c,
		uint64_t data_bytes, const char **why)
{
	uint64_t *number = (uint64_t *)ix->numbers.number;
	uint64_t *tag = (uint64_t *)ix->tag;
	struct sst_index_entry *entry = (struct sst_index_entry *)ix->entry;
	uint8_t *keys = (uint8_t *)ix->keys;
	uint64_t at = 0;
	uint32_t i = 0, key_at = 0;
	int r;

	*why = "index points to the wrong place";
	for (r = block_cursor_first(c); r > 0; r = block_cursor_next(c)) {
		struct lsm_slice rest =
			slice_skip(block_cursor_key(c), ix->numbers.common_len);
		struct sst_handle h;

		if (!sst_handle_decode(&h, c->value, data_bytes) ||
		    h.offset != at)
			return -EUCLEAN;
		at += h.bytes + SST_TRAILER_BYTES;
		number[i] = slice_prefix(rest);
		if (tag)
			tag[i] = c->tag;
		entry[i].offset = h.offset;
		entry[i].bytes =
			h.bytes | (h.type == SST_BLOCK_LZ4 ? SST_INDEX_LZ4 : 0);
		entry[i].key_at = key_at;
		memcpy(keys + key_at, rest.data, rest.len);
		key_at += (uint32_t)rest.len;
		i++;
	}
	entry[i].offset = at;
	entry[i].bytes = 0;
	entry[i].key_at = key_at;
	return at == data_bytes ? 0 : -EUCLEAN;
}

static int allocate(struct sst_index *ix, const struct sizes *s,
		    uint32_t **part, const char **why)
{
	size_t n = s->count;
	uint32_t common =
		key_numbers_common(buf_slice(&s->first), buf_slice(&s->last));
	uint64_t rest = s->key_bytes - (uint64_t)n * common;
	uint8_t *p;

	if (rest > UINT32_MAX) {
		*why = "index is too large";
		return -EUCLEAN;
	}
	ix->memory_bytes = n * sizeof(uint64_t) * (s->tags ? 2 : 1) +
			   key_numbers_part_bytes(n) +
			   (n + 1) * sizeof(*ix->entry) + common + rest;
	p = ix->memory = malloc(ix->memory_bytes);
	if (!p)
		return -ENOMEM;
	ix->count = s->count;
	ix->numbers.number = (uint64_t *)p;
	ix->numbers.count = s->count;
	ix->numbers.common_len = common;
	p += n * sizeof(uint64_t);
	if (s->tags) {
		ix->tag = (uint64_t *)p;
		p += n * sizeof(uint64_t);
	}
	ix->entry = (struct sst_index_entry *)p;
	p += (n + 1) * sizeof(*ix->entry);
	*part = (uint32_t *)p;
	p += key_numbers_part_bytes(n);
	ix->numbers.common = p;
	if (common)
		memcpy(p, s->first.data, common);
	ix->keys = p + common;
	return 0;
}

int sst_index_build(struct sst_index *ix, const struct block *b,
		    uint64_t data_bytes, const char **why)
{
	struct block_cursor c = {0};
	struct sizes s = {0};
	uint32_t *part;
	int err;

	memset(ix, 0, sizeof(*ix));
	block_cursor_set(&c, b);
	err = measure(&c, &s, why);
	if (!err)
		err = allocate(ix, &s, &part, why);
	if (!err)
		err = fill(ix, &c, data_bytes, why);
	if (!err)
		key_numbers_divide(&ix->numbers, part);
	else
		sst_index_release(ix);
	buf_release(&s.first);
	buf_release(&s.last);
	block_cursor_release(&c);
	return err;
}

void sst_index_release(struct sst_index *ix)
{
	free(ix->memory);
	memset(ix, 0, sizeof(*ix));
}

/* Order of what follows the common bytes. */
static int cmp_rest(const struct sst_index *ix, uint32_t i,
		    struct lsm_slice rest, uint64_t tag)
{
	uint32_t at = ix->entry[i].key_at;

	return entry_cmp(lsm_slice(ix->keys + at, ix->entry[i + 1].key_at - at),
			 ix->tag ? ix->tag[i] : 0, rest, tag);
}

int sst_index_cmp(const struct sst_index *ix, uint32_t i, struct lsm_slice key,
		  uint64_t tag)
{
	int c = slice_cmp_head(ix->numbers.common, ix->numbers.common_len, key);

	if (c)
		return c;
	return cmp_rest(ix, i, slice_skip(key, ix->numbers.common_len), tag);
}

uint32_t sst_index_seek(const struct sst_index *ix, struct lsm_slice key,
			uint64_t tag)
{
	struct lsm_slice rest;
	uint32_t lo, hi;

	key_numbers_find(&ix->numbers, key, &lo, &hi);
	if (lo == hi)
		return lo;
	rest = slice_skip(key, ix->numbers.common_len);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (cmp_rest(ix, mid, rest, tag) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
