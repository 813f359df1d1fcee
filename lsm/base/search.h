/* SPDX-License-Identifier: MIT */
/*
 * search.h - binary search in sorted numbers, most often the first bytes of
 * keys (slice_prefix()).
 *
 * Pure; any thread.
 */
#ifndef LSM_BASE_SEARCH_H
#define LSM_BASE_SEARCH_H

#include <stdint.h>

/* The first of a[0..n) that is >= v, n when none. Without a branch that
 * depends on the data. */
static inline uint32_t search_at_least(const uint64_t *a, uint32_t n,
				       uint64_t v)
{
	const uint64_t *base = a;

	while (n > 1) {
		uint32_t half = n / 2;

		base += half & -(uint32_t)(base[half - 1] < v);
		n -= half;
	}
	return (uint32_t)(base - a) + (n && *base < v);
}

/* The first of a[0..n) that is > v, n when none. */
static inline uint32_t search_above(const uint64_t *a, uint32_t n, uint64_t v)
{
	return v == UINT64_MAX ? n : search_at_least(a, n, v + 1);
}

#endif
