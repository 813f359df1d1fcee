/* SPDX-License-Identifier: MIT */
/*
 * key_numbers.h - searching sorted keys by numbers: what all keys begin with is
 * taken off, and of each the next 8 bytes are one number (slice_prefix()). A
 * search halves an array of numbers; whole keys have to be compared only among
 * those whose numbers are equal.
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
};

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
	*lo = *hi = search_at_least(k->number, k->count, want);
	if (*lo < k->count && k->number[*lo] == want)
		*hi += search_above(k->number + *lo, k->count - *lo, want);
}

#endif
