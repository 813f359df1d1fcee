/* SPDX-License-Identifier: MIT */
/*
 * level_bounds.h - the bounds of a level's tables as numbers (key_numbers.h),
 * to find the one table that may hold a key. Private to lsm/tree/.
 *
 * Immutable once made; any thread.
 */
#ifndef LSM_TREE_LEVEL_BOUNDS_H
#define LSM_TREE_LEVEL_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "lsm/base/key_numbers.h"

struct table_file;

struct level_bounds {
	/* The level's, in order and disjoint; not ours. */
	struct table_file *const *tables;
	struct key_numbers largest;
	const uint64_t *smallest; /* numbers as well */
	uint64_t *memory;         /* of both; NULL when there are no tables */
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
