/* SPDX-License-Identifier: MIT */
/*
 * key_numbers.h - searching sorted keys by numbers: what all keys begin with is
 * taken off, and of each the next 8 bytes are one number (slice_prefix()). A
 * search halves an array of numbers; whole keys have to be compared only among
 * those whose numbers are equal. Of many numbers the upper bits tell first, by
 * a table of 256 parts of their span, where to begin: most keys are spread
 * evenly enough that few steps are left.
 *
 * Pure; any thread.
 */
#ifndef LSM_BASE_KEY_NUMBERS_H
#define LSM_BASE_KEY_NUMBERS_H

#include "lsm/base/search.h"
#include "lsm/base/slice.h"

struct key_numbers {
	const uint64_t *number; /* ascending */
	const void *common;     /* what all keys begin with */
	uint32_t count, common_len;
	uint32_t shift;
	/* Where each part begins, and where the last one ends; NULL: there are
	 * no parts. */
	const uint32_t *part;
};

#define KEY_NUMBERS_PARTS 256
#define KEY_NUMBERS_MANY  64

/* Bytes for the parts of so many numbers, a multiple of 8; 0: too few. */
static inline size_t key_numbers_part_bytes(size_t count)
{
	return count < KEY_NUMBERS_MANY
		       ? 0
		       : (KEY_NUMBERS_PARTS + 2) * sizeof(uint32_t);
}

/* Makes the parts once the rest is there, in memory that stays. */
static inline void key_numbers_divide(struct key_numbers *k, uint32_t *part)
{
	uint64_t first, span;
	uint32_t i, p = 0;

	if (!key_numbers_part_bytes(k->count))
		return;
	first = k->number[0];
	span = k->number[k->count - 1] - first;
	k->shift = 0;
	while (span >> k->shift >= KEY_NUMBERS_PARTS)
		k->shift++;
	for (i = 0; i < k->count; i++)
		while (p <= (k->number[i] - first) >> k->shift)
			part[p++] = i;
	while (p <= KEY_NUMBERS_PARTS)
		part[p++] = k->count;
	k->part = part;
}

/* How many bytes sorted keys begin with alike, of which these are the first
 * and the last. */
static inline uint32_t key_numbers_common(struct lsm_slice first,
					  struct lsm_slice last)
{
	return (uint32_t)bytes_common(
		first.data, last.data,
		first.len < last.len ? first.len : last.len);
}

static inline uint64_t key_number(struct lsm_slice key, uint32_t common_len)
{
	return slice_prefix(slice_skip(key, common_len));
}

/* Keys before *lo are less than key, those from *hi on greater; those between
 * are to be compared. */
static inline void key_numbers_find(const struct key_numbers *k,
				    struct lsm_slice key, uint32_t *lo,
				    uint32_t *hi)
{
	int c = slice_cmp_head(k->common, k->common_len, key);
	uint64_t want;

	if (c) {
		*lo = *hi = c > 0 ? 0 : k->count;
		return;
	}
	want = key_number(key, k->common_len);
	if (k->part) {
		if (want < k->number[0] || want > k->number[k->count - 1]) {
			*lo = *hi = want < k->number[0] ? 0 : k->count;
			return;
		}
		c = (int)((want - k->number[0]) >> k->shift);
		*lo = k->part[c];
		*lo += search_at_least(k->number + *lo, k->part[c + 1] - *lo,
				       want);
	} else {
		*lo = search_at_least(k->number, k->count, want);
	}
	*hi = *lo;
	if (*lo < k->count && k->number[*lo] == want)
		*hi += search_above(k->number + *lo, k->count - *lo, want);
}

#endif
