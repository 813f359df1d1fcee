/* SPDX-License-Identifier: MIT */
/*
 * level_bounds.h - the bounds of a level's tables as numbers, to find the one
 * table that may hold a key. Private to lsm/tree/.
 *
 * What all bounds begin with is taken off, and of each the next 8 bytes are
 * kept as one number (slice_prefix()). A search halves an array of numbers and
 * looks at tables only where the numbers are equal.
 *
 * Immutable once made; any thread.
 */
#ifndef LSM_TREE_LEVEL_BOUNDS_H
#define LSM_TREE_LEVEL_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "lsm/base/slice.h"

struct table_file;

struct level_bounds {
	/* The level's, in order and disjoint; not ours. */
	struct table_file *const *tables;
	uint32_t count;
	uint32_t common_len;
	uint64_t *largest;  /* NULL when there are no tables */
	uint64_t *smallest; /* in the same memory */
};

/* Keeps tables, which must stay. 0 or -ENOMEM. */
int level_bounds_make(struct level_bounds *b, struct table_file *const *tables,
		      size_t count);
void level_bounds_release(struct level_bounds *b);
/* Index of the first table whose bounds end at or after key; count when there
 * is none. */
size_t level_bounds_find(const struct level_bounds *b, struct lsm_slice key);
/* Does key lie before table i, which level_bounds_find() returned for it? */
bool level_bounds_before(const struct level_bounds *b, size_t i,
			 struct lsm_slice key);

#endif
