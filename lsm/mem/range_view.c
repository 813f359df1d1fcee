/* SPDX-License-Identifier: MIT */
/*
 * range_view.c - fragments in a sorted array: see range_view.h.
 *
 * Keys of one store often begin alike, so the numbers that are searched are
 * taken from behind what all borders have in common; whole keys are compared
 * only among borders whose numbers are equal.
 */
#include "lsm/mem/range_view.h"

#include <stdlib.h>

#include "lsm/base/search.h"

struct range_view *range_view_new(uint32_t n)
{
	struct range_view *v;

	v = malloc(sizeof(*v) +
		   n * (sizeof(v->prefix[0]) + sizeof(v->border[0])));
	if (!v)
		return NULL;
	v->count = 0;
	v->n = n;
	v->common_len = 0;
	v->border = (struct view_border *)(v->prefix + n);
	return v;
}

size_t range_view_bytes(const struct range_view *v)
{
	return sizeof(*v) +
	       v->n * (sizeof(v->prefix[0]) + sizeof(v->border[0]));
}

static struct lsm_slice rest_of(const struct range_view *v,
				struct lsm_slice key)
{
	return lsm_slice((const uint8_t *)key.data + v->common_len,
			 key.len - v->common_len);
}

void range_view_finish(struct range_view *v)
{
	const uint8_t *a, *b;
	size_t max, i;

	if (!v->n)
		return;
	/* Sorted: what the first and the last have in common, all have. */
	a = v->border[0].key.data;
	b = v->border[v->n - 1].key.data;
	max = v->border[0].key.len;
	if (max > v->border[v->n - 1].key.len)
		max = v->border[v->n - 1].key.len;
	while (v->common_len < max && a[v->common_len] == b[v->common_len])
		v->common_len++;
	for (i = 0; i < v->n; i++)
		v->prefix[i] = slice_prefix(rest_of(v, v->border[i].key));
}

/* How many borders are <= key. */
static uint32_t borders_up_to(const struct range_view *v, struct lsm_slice key)
{
	size_t n = key.len < v->common_len ? key.len : v->common_len;
	uint32_t lo, hi, mid;
	uint64_t prefix;
	int c;

	c = n ? memcmp(key.data, v->border[0].key.data, n) : 0;
	if (c)
		return c < 0 ? 0 : v->n;
	if (key.len < v->common_len)
		return 0;
	prefix = slice_prefix(rest_of(v, key));
	lo = search_at_least(v->prefix, v->n, prefix);
	hi = lo;
	if (lo < v->n && v->prefix[lo] == prefix)
		hi += search_above(v->prefix + lo, v->n - lo, prefix);
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

	return n ? v->border[n - 1].cells : NULL;
}
