/* SPDX-License-Identifier: MIT */
/*
 * range_view.c - fragments in a sorted array: see range_view.h.
 */
#include "lsm/mem/range_view.h"

#include <stdlib.h>
#include <string.h>

static size_t map_bytes(uint32_t n)
{
	return ((size_t)n + 63) / 64 * sizeof(uint64_t);
}

static size_t bytes_for(uint32_t n)
{
	return sizeof(struct range_view) +
	       (size_t)n * (sizeof(uint64_t) + sizeof(struct view_border)) +
	       map_bytes(n) + key_numbers_part_bytes(n);
}

struct range_view *range_view_new(uint32_t n)
{
	struct range_view *v;

	v = malloc(bytes_for(n));
	if (!v)
		return NULL;
	v->count = 0;
	v->n = n;
	memset(&v->numbers, 0, sizeof(v->numbers));
	v->border = (struct view_border *)(v->prefix + n);
	v->covered = (uint64_t *)(v->border + n);
	memset(v->covered, 0, map_bytes(n));
	return v;
}

size_t range_view_bytes(const struct range_view *v)
{
	return bytes_for(v->n);
}

void range_view_finish(struct range_view *v)
{
	uint32_t common_len, i;

	if (!v->n)
		return;
	common_len =
		key_numbers_common(v->border[0].key, v->border[v->n - 1].key);
	for (i = 0; i < v->n; i++) {
		v->prefix[i] = key_number(v->border[i].key, common_len);
		if (v->border[i].cells)
			v->covered[i / 64] |= 1ull << i % 64;
	}
	v->numbers = (struct key_numbers){.number = v->prefix,
					  .common = v->border[0].key.data,
					  .count = v->n,
					  .common_len = common_len};
	key_numbers_divide(&v->numbers,
			   (uint32_t *)(v->covered + (v->n + 63) / 64));
}

/* How many borders are <= key. */
static uint32_t borders_up_to(const struct range_view *v, struct lsm_slice key)
{
	uint32_t lo, hi, mid;

	key_numbers_find(&v->numbers, key, &lo, &hi);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (slice_cmp(v->border[mid].key, key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct range_cell *range_view_find(const struct range_view *v,
					 struct lsm_slice key)
{
	uint32_t n = borders_up_to(v, key);

	if (!n-- || !(v->covered[n / 64] >> n % 64 & 1))
		return NULL;
	return v->border[n].cells;
}
