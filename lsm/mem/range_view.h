/* SPDX-License-Identifier: MIT */
/*
 * range_view.h - the fragments of a memtable's range tombstones as a sorted
 * array: what a get asks instead of the skip list of borders.
 *
 * Immutable once made. It knows the first `count` tombstones that were added;
 * it is as good as the list as long as no more were. Keys and cells are
 * borrowed from the memtable.
 *
 * Private to rangedel.c.
 */
#ifndef LSM_MEM_RANGE_VIEW_H
#define LSM_MEM_RANGE_VIEW_H

#include "lsm/base/key_numbers.h"

/* The tombstones over a fragment, newest first; a list whose cells never
 * change. */
struct range_cell {
	uint64_t seq;
	const struct range_cell *older; /* smaller seq */
};

/* A fragment begins here and reaches to the next border. */
struct view_border {
	struct lsm_slice key;
	const struct range_cell *cells;
};

struct range_view {
	uint64_t count; /* tombstones in it */
	uint32_t n;     /* borders */
	struct key_numbers numbers;
	struct view_border *border; /* ascending */
	/* A bit for each border that begins a covered fragment: most keys lie
	 * in none, and need nothing else then. */
	uint64_t *covered;
	uint64_t prefix[]; /* what numbers points to */
};

/* For n borders, to be filled in ascending order and then finished; freed with
 * free(). NULL: no memory. */
struct range_view *range_view_new(uint32_t n);
void range_view_finish(struct range_view *v);
size_t range_view_bytes(const struct range_view *v);

/* The tombstones over key; NULL: none. Any thread. */
const struct range_cell *range_view_find(const struct range_view *v,
					 struct lsm_slice key);

#endif
