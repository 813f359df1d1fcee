/* SPDX-License-Identifier: MIT */
/* level_bounds.c - see level_bounds.h. */
#include "lsm/tree/level_bounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/tree/version.h"

static struct lsm_slice smallest(const struct level_bounds *b, size_t i)
{
	return buf_slice(&b->tables[i]->meta.smallest);
}

static struct lsm_slice largest(const struct level_bounds *b, size_t i)
{
	return buf_slice(&b->tables[i]->meta.largest);
}

int level_bounds_make(struct level_bounds *b, struct table_file *const *tables,
		      size_t count)
{
	uint64_t *smaller, *larger;
	uint32_t common_len;
	size_t i;

	memset(b, 0, sizeof(*b));
	if (!count)
		return 0;
	b->memory = calloc(2 * count, sizeof(*b->memory));
	if (!b->memory)
		return -ENOMEM;
	larger = b->memory;
	smaller = larger + count;
	b->tables = tables;
	/* All others lie between these two. */
	common_len = key_numbers_common(smallest(b, 0), largest(b, count - 1));
	for (i = 0; i < count; i++) {
		smaller[i] = key_number(smallest(b, i), common_len);
		larger[i] = key_number(largest(b, i), common_len);
	}
	b->smallest = smaller;
	b->largest = (struct key_numbers){.number = larger,
					  .common = smallest(b, 0).data,
					  .count = (uint32_t)count,
					  .common_len = common_len};
	return 0;
}

void level_bounds_release(struct level_bounds *b)
{
	free(b->memory);
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

	if (!b->largest.count)
		return 0;
	key_numbers_find(&b->largest, key, &lo, &hi);
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
	const struct key_numbers *k = &b->largest;
	uint64_t want;

	if (slice_cmp_head(k->common, k->common_len, key))
		return true; /* it is not past the last one */
	want = key_number(key, k->common_len);
	if (b->smallest[i] != want)
		return want < b->smallest[i];
	return slice_cmp(key, smallest(b, i)) < 0;
}
