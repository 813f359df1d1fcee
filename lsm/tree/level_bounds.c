/* SPDX-License-Identifier: MIT */
/* level_bounds.c - see level_bounds.h. */
#include "lsm/tree/level_bounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/search.h"
#include "lsm/tree/version.h"

static struct lsm_slice smallest(const struct level_bounds *b, size_t i)
{
	return buf_slice(&b->tables[i]->meta.smallest);
}

static struct lsm_slice largest(const struct level_bounds *b, size_t i)
{
	return buf_slice(&b->tables[i]->meta.largest);
}

static uint64_t rest_prefix(const struct level_bounds *b, struct lsm_slice key)
{
	return slice_prefix(slice_skip(key, b->common_len));
}

int level_bounds_make(struct level_bounds *b, struct table_file *const *tables,
		      size_t count)
{
	struct lsm_slice first, last;
	uint32_t i;

	memset(b, 0, sizeof(*b));
	if (!count)
		return 0;
	b->largest = calloc(2 * count, sizeof(*b->largest));
	if (!b->largest)
		return -ENOMEM;
	b->smallest = b->largest + count;
	b->tables = tables;
	b->count = (uint32_t)count;
	/* All others lie between these two. */
	first = smallest(b, 0);
	last = largest(b, count - 1);
	b->common_len = (uint32_t)bytes_common(
		first.data, last.data,
		first.len < last.len ? first.len : last.len);
	for (i = 0; i < b->count; i++) {
		b->smallest[i] = rest_prefix(b, smallest(b, i));
		b->largest[i] = rest_prefix(b, largest(b, i));
	}
	return 0;
}

void level_bounds_release(struct level_bounds *b)
{
	free(b->largest);
	memset(b, 0, sizeof(*b));
}

static bool ends_before(const struct level_bounds *b, uint32_t i,
			struct lsm_slice key)
{
	const struct sst_meta *m = &b->tables[i]->meta;
	int c = slice_cmp(buf_slice(&m->largest), key);

	return c < 0 || (!c && m->largest_exclusive);
}

size_t level_bounds_find(const struct level_bounds *b, struct lsm_slice key)
{
	uint32_t lo, hi;
	uint64_t want;
	int c;

	if (!b->count)
		return 0;
	c = slice_cmp_head(smallest(b, 0).data, b->common_len, key);
	if (c)
		return c > 0 ? 0 : b->count;
	want = rest_prefix(b, key);
	lo = search_at_least(b->largest, b->count, want);
	if (lo == b->count || b->largest[lo] != want)
		return lo;
	hi = lo + search_above(b->largest + lo, b->count - lo, want);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (ends_before(b, mid, key))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool level_bounds_before(const struct level_bounds *b, size_t i,
			 struct lsm_slice key)
{
	uint64_t want;

	if (slice_cmp_head(smallest(b, 0).data, b->common_len, key))
		return true; /* it is not past the last one */
	want = rest_prefix(b, key);
	if (b->smallest[i] != want)
		return want < b->smallest[i];
	return slice_cmp(key, smallest(b, i)) < 0;
}
